"""docs/configuration.md, written from the settings models: ``python -m config.reference``."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from config.aggregate import Aggregate
from config.complaints import SOURCE_TYPES
from config.models import Config, Dataset, Duration, Rule, Size, Thresholds, Weights

PAGE = Path("docs/configuration.md")
_INTRO = """\
# Configuration

Written from the settings models by `python -m config.reference`; a test holds it equal. Do not edit.

`config/data_sources.yml` is read unless `--config` names another file. Every key has a default but `sources`.
Unknown keys are refused. `assay validate` (or `--validate-config`) lists every fault of a file with its line and
column and starts nothing.

Anywhere in a value: `${NAME}` is the environment variable, `${NAME:-default}` falls back where it is unset or
empty, `${file:path}` is a file's text without its last line end, `$${` is a plain `${`. Inside `{…}` and `[…]` such
a value needs quotes. `${ASSAY_DATA}` is always this run's data directory: `--data-dir`, else the variable
`ASSAY_DATA`, else `storage.root`, else `./data`. Other relative paths are relative to the working directory.
Values of secret-looking keys, of `${file:…}` and passwords in URLs are masked in everything Assay writes.

Durations are a number and a unit (`500 ms`, `10 seconds`, `5 min`, `2 hours`, `1 day`, `1 week`); sizes too (`10 GB` is
10^10 bytes, `10 GiB` is 10 x 2^30). Names of sources are `[a-z][a-z0-9_-]{0,62}`, of datasets `[a-z][a-z0-9_]{0,62}`
without `_by_`.
"""
_BOUNDS = {"gt": "> {}", "ge": "≥ {}", "lt": "< {}", "le": "≤ {}", "pattern": "`{}`"}


def page() -> str:
    """The whole page."""
    parts = [_INTRO]
    for name, field in Config.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            parts.append(_section(f"`{name}`", model))
    for name, settings in SOURCE_TYPES.items():
        parts.append(_section(f"`sources.<name>` with `type: {name}`", settings))
    parts.append(_section("`datasets.<name>`", Dataset))
    parts.append(_section("`datasets.<name>.rules[]`", Rule))
    parts.append(_section("`datasets.<name>.aggregates[]`", Aggregate))
    parts.append(_section("`datasets.<name>.weights`", Weights))
    parts.append(_section("`datasets.<name>.thresholds`", Thresholds))
    parts.append(
        f"## `logging`\n\n{Config.model_fields['logging'].description} Default `config/logging_config.yml`.\n"
    )
    return "\n".join(parts)


def _section(title: str, model: type[BaseModel]) -> str:
    lines = [f"## {title}", "", (model.__doc__ or "").strip().splitlines()[0], ""]
    lines += ["| key | type | default | what |", "| --- | --- | --- | --- |"]
    lines += list(_rows(model))
    return "\n".join(lines) + "\n"


def _rows(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        cells = (f"`{field.alias or name}`", _type(field), _default(field), _what(field))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(field: FieldInfo) -> str:
    # A field of type Duration keeps the base type as annotation and the check as metadata.
    for word, kind in (("duration", Duration), ("size", Size)):
        checks = get_args(kind)[1:]
        if any(check in field.metadata for check in checks) or kind in get_args(field.annotation):
            return f"{word} or null" if type(None) in get_args(field.annotation) else word
    bounds = []
    for item in field.metadata:
        for attribute, words in _BOUNDS.items():
            limit = getattr(item, attribute, None)
            if limit is not None:
                bounds.append(words.format(limit))
    return ", ".join([_words(field.annotation), *bounds])


def _words(annotation: Any) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(args[0])
    if origin in (Union, types.UnionType):
        return " or ".join("null" if option is type(None) else _words(option) for option in args)
    if origin is Literal:
        return " or ".join(f"`{_yaml(option)}`" for option in args)
    if origin is dict:
        return f"mapping of text to {_words(args[1])}"
    if origin is tuple:
        return f"list of {_words(args[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "see below"
    plain = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}
    return "text (secret)" if annotation is SecretStr else plain.get(annotation, "anything")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.default if field.default is not PydanticUndefined else None
    if isinstance(value, BaseModel):
        return "see below"
    return f"`{_yaml(value)}`"


def _yaml(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{item}"' if item == "" else str(item) for item in value) + "]"
    return str(value) if value != {} else "{}"


def _what(field: FieldInfo) -> str:
    example = f" Example: `{field.examples[0]}`." if field.examples else ""
    return (field.description or "") + example


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
