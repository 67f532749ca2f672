"""OpenLineage events of a run and of its commits, as the specification 2-0-2 has them. Pure; nothing is sent here."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from config.models import Config, Dataset
from core.status import instant
from core.tiers import TIER_WORDS
from store.layout import Layout, table_name
from store.lineage import ColumnNumbers, SourceNumbers, TableNumbers

PRODUCER = "urn:assay"
SPEC = "https://openlineage.io/spec/"
EVENT = f"{SPEC}2-0-2/OpenLineage.json#/$defs/RunEvent"
JOB = "assay"
"""The run as a whole; each source is a job of its own below it, `assay.<source>`."""
FACETS = {
    "schema": "1-2-0/SchemaDatasetFacet",
    "parent": "1-2-0/ParentRunFacet",
    "errorMessage": "1-0-1/ErrorMessageRunFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
    "dataQualityAssertions": "1-1-0/DataQualityAssertionsDatasetFacet",
    "dataQualityMetrics": "1-0-1/DataQualityMetricsDatasetFacet",
    "inputQualityMetrics": "1-0-3/DataQualityMetricsInputDatasetFacet",
}
Event = dict[str, Any]


def facet(kind: str, **content: Any) -> dict[str, Any]:
    """A facet with its producer and schema."""
    name = FACETS[kind]
    return {
        "_producer": PRODUCER,
        "_schemaURL": f"{SPEC}facets/{name}.json#/$defs/{name.partition('/')[2]}",
        **content,
    }


class Events:
    """Builds the events of one configuration. Equal input gives equal events, byte by byte."""

    def __init__(self, config: Config, layout: Layout) -> None:
        self._config = config
        self._layout = layout
        self._namespace = config.lineage.namespace

    def run(
        self, kind: str, run: str, at_us: int, source: str | None = None, error: str | None = None
    ) -> Event:
        """START, COMPLETE, FAIL or ABORT of a run, or of one source in it."""
        event = self._event(kind, run, at_us, source)
        if error is not None:
            event["run"]["facets"]["errorMessage"] = facet(
                "errorMessage", message=error, programmingLanguage="Python"
            )
        if source in self._config.sources:
            dataset = self._config.sources[source].dataset
            event["inputs"] = [self._input(source)]
            event["outputs"] = [self._output(table_name(tier, dataset)) for tier in TIER_WORDS]
        return event

    def commit(self, run: str, at_us: int, source: str, numbers: SourceNumbers) -> Event:
        """RUNNING: what a commit holds of a source."""
        event = self._event("RUNNING", run, at_us, source)
        event["inputs"] = [self._input(source, numbers)]
        event["outputs"] = [self._output(name, table) for name, table in sorted(numbers.tables.items())]
        return event

    def _event(self, kind: str, run: str, at_us: int, source: str | None) -> Event:
        job = {"namespace": self._namespace, "name": JOB if source is None else f"{JOB}.{source}"}
        facets: dict[str, Any] = {}
        if source is not None:
            whole = {"namespace": self._namespace, "name": JOB}
            facets["parent"] = facet("parent", run={"runId": run}, job=whole)
        return {
            "eventType": kind, "eventTime": instant(at_us / 1e6), "producer": PRODUCER, "schemaURL": EVENT,
            "run": {"runId": run_of(run, source), "facets": facets}, "job": job, "inputs": [], "outputs": [],
        }  # fmt: skip

    def _input(self, source: str, numbers: SourceNumbers | None = None) -> dict[str, Any]:
        settings = self._config.sources.get(source)
        namespace, name = dataset_name(settings) if settings else (self._namespace, source)
        dataset = self._config.datasets.get(settings.dataset) if settings else None
        found: dict[str, Any] = {"namespace": namespace, "name": name, "facets": {}, "inputFacets": {}}
        fields = _fields(dataset)
        if fields:
            found["facets"]["schema"] = facet("schema", fields=fields)
        if numbers is not None:
            merged: dict[str, ColumnNumbers] = {}
            for table in numbers.tables.values():
                for column, more in table.columns.items():
                    merged.setdefault(column, ColumnNumbers()).add(more)
            own = {name: one for name, one in merged.items() if not name.startswith("assay_")}
            found["inputFacets"] = {
                "dataQualityMetrics": facet(
                    "inputQualityMetrics", rowCount=numbers.read, columnMetrics=_metrics(own)
                ),
                "dataQualityAssertions": facet(
                    "dataQualityAssertions", assertions=_assertions(dataset, numbers)
                ),
            }
        return found

    def _output(self, table: str, numbers: TableNumbers | None = None) -> dict[str, Any]:
        found: dict[str, Any] = {
            "namespace": "file",
            "name": str(self._layout.warehouse / table),
            "facets": {},
        }
        if numbers is not None:
            count = {"rowCount": numbers.rows, "fileCount": numbers.files}
            fields = [{"name": name, "type": kind} for name, kind in numbers.types.items()]
            metrics = _metrics(numbers.columns)
            found["facets"]["dataQualityMetrics"] = facet(
                "dataQualityMetrics", **count, bytes=numbers.size, columnMetrics=metrics
            )
            if fields:
                found["facets"]["schema"] = facet("schema", fields=fields)
            found["outputFacets"] = {
                "outputStatistics": facet("outputStatistics", **count, size=numbers.size)
            }
        return found


def run_of(run: str, source: str | None) -> str:
    """The id of a source's part of a run, made from the run's."""
    return run if source is None else str(uuid.uuid5(uuid.UUID(run), source))


def dataset_name(settings: Any) -> tuple[str, str]:
    """Namespace and name of what a source reads, after OpenLineage's naming; never with a user or password."""
    if settings.type == "file":
        return "file", str(Path(settings.path).absolute())
    if settings.type == "kafka":
        topics = settings.topic if isinstance(settings.topic, str) else ",".join(settings.topic)
        return f"kafka://{settings.bootstrap_servers.partition(',')[0]}", topics
    if settings.type == "hive_table":
        return "hive", settings.table
    url = urlsplit(settings.url.get_secret_value().removeprefix("jdbc:"))
    what = settings.table or "query"
    if url.scheme == "sqlite":
        return "file", f"{Path(url.path.removeprefix('/')).absolute()}#{what}"
    host = (url.hostname or "") + (f":{url.port}" if url.port else "")
    scheme = {"postgresql": "postgres", "mariadb": "mysql"}.get(url.scheme, url.scheme)
    return f"{scheme}://{host}", f"{url.path.strip('/')}.{what}".lstrip(".")


def _fields(dataset: Dataset | None) -> list[dict[str, str]]:
    """Properties of the dataset's schema document and their JSON types; none where it cannot be read."""
    if dataset is None or dataset.schema_ is None:
        return []
    try:
        schema = json.loads(Path(dataset.schema_).read_bytes())
    except (OSError, ValueError):
        return []
    properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
    return [_field(name, one if isinstance(one, dict) else {}) for name, one in properties.items()]


def _field(name: str, schema: Mapping[str, Any]) -> dict[str, str]:
    kinds = schema.get("type", [])
    words = "|".join([kinds] if isinstance(kinds, str) else kinds)
    found = {"name": name, **({"type": words} if words else {})}
    return (
        {**found, "description": schema["description"]}
        if isinstance(schema.get("description"), str)
        else found
    )


def _metrics(columns: Mapping[str, ColumnNumbers]) -> dict[str, Any]:
    found = {}
    for name, one in columns.items():
        bounds = {"min": one.least, "max": one.greatest} if one.least is not None else {}
        found[name] = {"nullCount": one.nulls, "count": one.values, **bounds}
    return found


def _assertions(dataset: Dataset | None, numbers: SourceNumbers) -> list[dict[str, Any]]:
    """No record is Rejected; and each rule of the dataset with how often it was broken."""
    found: list[dict[str, Any]] = [
        {
            "assertion": "not_rejected",
            "success": not numbers.rejected,
            "expected": "0",
            "actual": str(numbers.rejected),
        }
    ]
    if dataset is None or numbers.breaches is None:
        return found
    for rule in dataset.rules:
        broken = numbers.breaches.get(rule.id, 0)
        severity = "error" if rule.severity == "critical" or rule.id in dataset.critical else "warn"
        found.append({
            "assertion": rule.id, "name": rule.id, "success": not broken, "severity": severity,
            "expected": "0", "actual": str(broken), "content": rule.check, "contentType": "expression",
        })  # fmt: skip
    return found
