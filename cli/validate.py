"""``assay validate`` and ``--validate-config``: every fault of the settings, their schemas and rules; starts nothing."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from cli.exits import OK
from cli.parser import config_arguments
from cli.settings import only
from config import load, logs
from config.faults import ConfigErrors, Fault
from config.models import Config, Dataset
from config.places import Places
from core.errors import AssayError
from core.redact import redact

NAME = "validate"
HELP = "Check a configuration, its schemas and rules. Takes no lock, starts nothing."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    config_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print that all is well, or raise every fault."""
    logs.configure(form=args.log_format)
    config, places = load.load_with_places(args.config, data_dir=args.data_dir)
    only(config, getattr(args, "source", []))
    faults = list(compile_faults(config, places))
    if faults:
        raise ConfigErrors(faults)
    print(
        redact(f"config is valid: {_count(config.sources, 'source')}, {_count(config.datasets, 'dataset')}")
    )
    return OK


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


def _count(things: object, word: str) -> str:
    number = len(things)  # type: ignore[arg-type]
    return f"{number} {word}" + ("" if number == 1 else "s")
