"""Schemas, rules and aggregates of a configuration, compiled to find what is wrong with them before anything starts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from config.faults import ConfigErrors, Fault
from config.models import Config, Dataset
from config.places import Places
from core.errors import AssayError, ConfigError


def compile_all(config: Config, places: Places) -> None:
    """Compile each dataset's schema, rules and aggregates, and keep nothing.

    Raises:
        ConfigErrors: with every fault, at the place of its rule or schema.
    """
    faults = [fault for name, dataset in config.datasets.items() for fault in _faults(name, dataset, places)]
    if faults:
        raise ConfigErrors(faults)


def _faults(name: str, dataset: Dataset, places: Places) -> Iterator[Fault]:
    """First each rule by itself, so that all wrong ones are said; then the dataset as a whole."""
    found = list(_rule_faults(name, dataset, places))
    found = found or list(_judge_faults(name, dataset, places))
    yield from found or _aggregate_faults(name, dataset, places)


def _rule_faults(name: str, dataset: Dataset, places: Places) -> Iterator[Fault]:
    from quality import check_rule

    for number, rule in enumerate(dataset.rules):
        for part, text in (("check", rule.check), ("when", rule.when)):
            try:
                if text is not None:
                    check_rule(text)
            except ConfigError as error:
                said = f"rule `{rule.id}`, `{part}`: {error.message} (column {error.facts.get('column', 1)} of the rule)"
                place = places.at("datasets", name, "rules", number, part)
                yield Fault(places.file, *place, error.code, said)


def _judge_faults(name: str, dataset: Dataset, places: Places) -> Iterator[Fault]:
    from quality import JudgeSpec, compile_judge

    schema = Path(str(dataset.schema_))
    try:
        compile_judge(schema.read_bytes(), JudgeSpec.from_mapping(dataset.model_dump(by_alias=True)))
    except AssayError as error:
        place = _place(name, dataset, error, places)
        yield Fault(places.file, *place, error.code, f"dataset `{name}` (`{schema}`): {error.message}")


def _aggregate_faults(name: str, dataset: Dataset, places: Places) -> Iterator[Fault]:
    from actors.aggregates import definition_of
    from schemas.columns import columns

    if not dataset.aggregates:
        return
    derived: dict[str, dict[str, str]] = {field: {} for field in dataset.derive}
    found = columns(json.loads(Path(str(dataset.schema_)).read_bytes()), derived=derived)
    for number, aggregate in enumerate(dataset.aggregates):
        try:
            definition_of(name, aggregate, found)
        except ConfigError as error:
            spot: list[str | int] = ["datasets", name, "aggregates", number, error.facts["part"]]
            at = error.facts["name"]
            spot.append(aggregate.keys.index(at) if error.facts["part"] == "keys" else at)
            yield Fault(places.file, *places.at(*spot), error.code, error.message)


def _place(name: str, dataset: Dataset, error: AssayError, places: Places) -> tuple[int, int]:
    for number, rule in enumerate(dataset.rules):
        if rule.id == error.facts.get("rule"):
            return places.at("datasets", name, "rules", number, str(error.facts.get("part", "check")))
    return places.at("datasets", name, *_setting(dataset, error) or ("schema",))


def _setting(dataset: Dataset, error: AssayError) -> tuple[str | int, ...]:
    """Where a name stands that the schema lacks: in ``event_time``, ``clock`` or one of ``expected``."""
    part, field = error.facts.get("part"), str(error.facts.get("name"))
    if part != "expected":
        return (part,) if part in {"event_time", "clock"} else ()
    expected = dataset.expected
    return (part, expected.index(field) if isinstance(expected, tuple) and field in expected else field)
