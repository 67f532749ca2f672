"""Schemas and rules of a configuration, compiled to find what is wrong with them before anything starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from config.faults import ConfigErrors, Fault
from config.models import Config, Dataset
from config.places import Places
from core.errors import AssayError


def compile_all(config: Config, places: Places) -> None:
    """Compile each dataset's schema and rules, and keep nothing.

    Raises:
        ConfigErrors: with every fault, at the place of its rule or schema.
    """
    faults = list(compile_faults(config, places))
    if faults:
        raise ConfigErrors(faults)


def compile_faults(config: Config, places: Places) -> Iterator[Fault]:
    """What compiling each dataset's schema and rules finds."""
    for name, dataset in config.datasets.items():
        found = list(_rule_faults(name, dataset, places))
        yield from found
        if not found:
            yield from _judge_faults(name, dataset, places)


def _rule_faults(name: str, dataset: Dataset, places: Places) -> Iterator[Fault]:
    from quality.rules import check_rule

    for number, rule in enumerate(dataset.rules):
        try:
            check_rule(rule.model_dump())
        except AssayError as error:
            place = places.at("datasets", name, "rules", number, "check")
            yield Fault(places.file, *place, error.code, f"rule `{rule.id}`: {error.message}")


def _judge_faults(name: str, dataset: Dataset, places: Places) -> Iterator[Fault]:
    from quality import compile_judge
    from quality.spec import JudgeSpec

    schema = Path(str(dataset.schema_))
    try:
        compile_judge(schema.read_bytes(), JudgeSpec.from_mapping(dataset.model_dump(by_alias=True)))
    except AssayError as error:
        place = places.at("datasets", name, "schema")
        yield Fault(places.file, *place, error.code, f"dataset `{name}` (`{schema}`): {error.message}")
