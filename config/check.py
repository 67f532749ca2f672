"""What no single model can see: names, and whether the parts of a file fit each other and the disk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

from config.complaints import near
from config.faults import Fault
from config.places import Path, Place, dotted
from config.yaml_text import Document
from core.aggregation import BadAggregate, aggregate_table, window_name, window_s

SOURCE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
DATASET_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
NOT_YET = ("standardise", "derive", "order_by")
"""Keys of a dataset that this version reads and does nothing with."""


def check(document: Document, data: dict[str, Any]) -> None:
    """Note faults of names and of what refers to what. Tolerates parts that are themselves faulty."""
    sources, datasets = _mapping(data, "sources"), _mapping(data, "datasets")
    places = document.places
    if not data.get("sources") and not any(fault.code == "E105" for fault in document.faults):
        place = places.key("sources") if "sources" in data else (1, 1)
        document.fault(
            place, "E107", "no sources; add at least one below `sources:`, such as `flights: {type: file, …}`"
        )
    for name in sources:
        if not SOURCE_NAME.fullmatch(name):
            _bad_name(document, places.key("sources", name), "source", name, "digits, `_` and `-`")
    for name in datasets:
        if not DATASET_NAME.fullmatch(name):
            _bad_name(document, places.key("datasets", name), "dataset", name, "digits and `_`")
        elif "_by_" in name:
            why = "holds `_by_`, which names aggregates; choose another name"
            document.fault(places.key("datasets", name), "E140", f"the dataset name `{name}` {why}")
    _references(document, sources, datasets)
    _schemas(document, datasets)
    _rule_ids(document, datasets)
    _aggregates(document, datasets)
    warehouse = _mapping(data, "storage").get("warehouse")
    if isinstance(warehouse, str) and "://" in warehouse:
        message = f"the warehouse `{warehouse}` is not on this machine, and this version writes local files only; give a path"
        document.fault(places.at("storage", "warehouse"), "E121", message)
    logging = data.get("logging")
    if isinstance(logging, str) and not FilePath(logging).is_file():
        message = f"the logging document `{logging}` does not exist below `{FilePath.cwd()}`"
        document.fault(places.at("logging"), "E149", message)


def ignored(document: Document, data: dict[str, Any]) -> list[Fault]:
    """Warnings about settings that this version does nothing with."""
    spots: list[Path] = [
        ("datasets", name, key)
        for name, dataset in _mapping(data, "datasets").items()
        for key in NOT_YET
        if isinstance(dataset, dict) and dataset.get(key)
    ]
    if _mapping(data, "spark").get("cache"):
        spots.append(("spark", "cache"))
    if _mapping(data, "search").get("enabled") is True:
        spots.append(("search", "enabled"))
    file = document.places.file
    return [
        Fault(file, *document.places.key(*spot), "E121", f"`{dotted(spot)}` has no effect in this version")
        for spot in spots
    ]


def _references(document: Document, sources: dict[str, Any], datasets: dict[str, Any]) -> None:
    for name, source in sources.items():
        dataset = source.get("dataset") if isinstance(source, dict) else None
        if not isinstance(dataset, str):
            continue
        place = document.places.at("sources", name, "dataset")
        if dataset not in datasets:
            hint = near(dataset, datasets)
            document.fault(place, "E145", f"the dataset `{dataset}` is not defined below `datasets:`; {hint}")


def _schemas(document: Document, datasets: dict[str, Any]) -> None:
    for name, dataset in datasets.items():
        schema = dataset.get("schema") if isinstance(dataset, dict) else None
        if dataset is None or (isinstance(dataset, dict) and schema is None):
            place = document.places.key("datasets", name)
            message = f"the dataset `{name}` names no schema; write `schema: schemas/{name}.json`"
            document.fault(place, "E145", message)
        elif isinstance(schema, str) and not FilePath(schema).is_file():
            place = document.places.at("datasets", name, "schema")
            message = f"the schema file `{schema}` does not exist below `{FilePath.cwd()}`"
            document.fault(place, "E145", message)


def _rule_ids(document: Document, datasets: dict[str, Any]) -> None:
    for name, dataset in datasets.items():
        ids: dict[str, Place] = {}
        for number, rule in _rules(dataset):
            identity = rule.get("id")
            place = document.places.at("datasets", name, "rules", number, "id")
            if isinstance(identity, str) and identity in ids:
                lines = f"on line {ids[identity][0]} and on line {place[0]}"
                document.fault(place, "E104", f"the rule `{identity}` stands twice, {lines}; keep one")
            elif isinstance(identity, str):
                ids[identity] = place
        critical = dataset.get("critical") if isinstance(dataset, dict) else None
        for number, identity in enumerate(critical if isinstance(critical, list) else []):
            if isinstance(identity, str) and identity not in ids:
                place = document.places.at("datasets", name, "critical", number)
                message = (
                    f"`critical` names `{identity}`, which is no rule of `{name}`; {near(identity, ids)}"
                )
                document.fault(place, "E145", message)


def _aggregates(document: Document, datasets: dict[str, Any]) -> None:
    for dataset, settings in datasets.items():
        found = settings.get("aggregates") if isinstance(settings, dict) else None
        if not isinstance(found, list) or not found:
            continue
        if settings.get("event_time") is None:
            why = "has aggregates but no `event_time`; name the field that says when it happened"
            place = document.places.key("datasets", dataset, "aggregates")
            document.fault(place, "E158", f"the dataset `{dataset}` {why}")
        tables: dict[str, Place] = {}
        for number, one in enumerate(found):
            place = document.places.at("datasets", dataset, "aggregates", number)
            name = _suffix(one)
            if name in tables:
                table, first = aggregate_table(dataset, name), tables[name]
                where = f"on line {first[0]} and on line {place[0]}"
                message = f"two aggregates would be `{table}`, {where}; give one of them a `name`"
                document.fault(place, "E157", message)
            elif name is not None:
                tables[name] = place


def _suffix(aggregate: Any) -> str | None:
    """The last part of the table's name; None where that cannot be told."""
    if not isinstance(aggregate, dict):
        return None
    try:
        return str(aggregate.get("name") or window_name(window_s(str(aggregate.get("window")))))
    except BadAggregate:
        return None


def _rules(dataset: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    rules = dataset.get("rules") if isinstance(dataset, dict) else None
    for number, rule in enumerate(rules if isinstance(rules, list) else []):
        if isinstance(rule, dict):
            yield number, rule


def _bad_name(document: Document, place: Place, kind: str, name: str, also: str) -> None:
    shown = name if len(name) <= 40 else f"{name[:37]}… ({len(name)} characters)"
    message = f"the {kind} name `{shown}` is not allowed; use a small letter, then small letters, {also}, at most 63 in all"
    document.fault(place, "E140", message)


def _mapping(data: dict[str, Any], key: str) -> dict[str, Any]:
    found = data.get(key)
    return found if isinstance(found, dict) else {}
