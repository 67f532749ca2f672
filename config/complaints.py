"""What pydantic found, in sentences: one fault a place, with the key, what stands there and what would be right."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from config.faults import Fault
from config.models import Config, SourceSettings
from config.places import Path, Places, dotted
from config.yaml_text import Broken
from core.redact import looks_secret

SOURCE_TYPES: dict[str, type[BaseModel]] = {
    get_args(model.model_fields["type"].annotation)[0]: model
    for model in get_args(get_args(SourceSettings)[0])
}
"""``type`` of a source → its settings model."""

_WANTED = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text (put quotes around it)",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "tuple_type": "a list",
    "list_type": "a list",
    "path_type": "a path",
}
_CODES = {"weights": "E144", "thresholds": "E143"}


def near(word: str, known: Iterable[str]) -> str:
    """`` did you mean `x`?`` or the list of what there is.

    >>> near("soruces", ["sources", "storage"])
    'did you mean `sources`?'
    """
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"there is {listed(words)}" if words else "there is none"


def listed(words: Sequence[str]) -> str:
    """Words as people list them: `` `a`, `b` or `c` ``."""
    ticked = [f"`{word}`" for word in words]
    return ticked[0] if len(ticked) == 1 else ", ".join(ticked[:-1]) + " or " + ticked[-1]


def complaints(
    errors: Sequence[ErrorDetails], data: Any, places: Places, hidden: Iterable[Path]
) -> list[Fault]:
    """pydantic's errors as faults.

    Args:
        errors: of ``Config.model_validate(data)``.
        data: what was validated; ``BROKEN`` values are passed over in silence.
        places: of the same file.
        hidden: paths whose value may not be shown.
    """
    secret = set(hidden)
    wanted: dict[Path, list[ErrorDetails]] = {}
    for error in errors:
        path = _path(error, data)
        if not isinstance(_at(data, path), Broken):
            wanted.setdefault(path, []).append(error)
    return [_fault(path, found, data, places, secret) for path, found in wanted.items()]


def _fault(path: Path, errors: list[ErrorDetails], data: Any, places: Places, hidden: set[Path]) -> Fault:
    first = errors[0]
    kind = first["type"]
    place = places.at(*path)
    if kind == "missing":
        where = dotted(path[:-1])
        message = f"`{path[-1]}` is missing" + (f" in `{where}`" if where else "")
        # The parent's key says where; a mapping's own start would be the line of its first key.
        return Fault(places.file, *places.key(*path[:-1]), "E108", message)
    if kind == "extra_forbidden":
        keys = _keys(path[:-1], data)
        message = f"`{path[-1]}` is not a key of {_room(path[:-1])}; {near(str(path[-1]), keys)}"
        return Fault(places.file, *places.key(*path), "E105", message)
    if kind.startswith("union_tag"):
        return _type_fault(path, data, places)
    if kind.startswith("E1"):
        return Fault(places.file, *place, kind, f"`{dotted(path)}`: {first['msg']}")
    shown = _shown(path, first["input"], hidden)
    code = next((_CODES[step] for step in path if isinstance(step, str) and step in _CODES), "E101")
    rights = list(dict.fromkeys(_right(error) for error in errors))
    return Fault(places.file, *place, code, f"`{dotted(path)}` is {shown}; it must be {' or '.join(rights)}")


def _type_fault(path: Path, data: Any, places: Places) -> Fault:
    found = _at(data, path)
    types_ = listed(sorted(SOURCE_TYPES))
    if not isinstance(found, dict) or "type" not in found:
        return Fault(
            places.file, *places.key(*path), "E108", f"`type` is missing in `{dotted(path)}`; write {types_}"
        )
    close = difflib.get_close_matches(str(found["type"]), sorted(SOURCE_TYPES), n=1)
    hint = f"; did you mean `{close[0]}`?" if close else ""
    message = f"`{found['type']}` is not a type of source; the types are {types_}{hint}"
    return Fault(places.file, *places.at(*path, "type"), "E141", message)


def _right(error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in _WANTED:
        return _WANTED[kind]
    limits = {
        "greater_than": ("gt", "more than {}"),
        "greater_than_equal": ("ge", "at least {}"),
        "less_than": ("lt", "less than {}"),
        "less_than_equal": ("le", "at most {}"),
        "string_too_short": ("min_length", "at least {} character(s) long"),
        "string_too_long": ("max_length", "at most {} character(s) long"),
        "too_short": ("min_length", "a list of at least {}"),
        "string_pattern_mismatch": ("pattern", "text like `{}`"),
        "literal_error": ("expected", "{}"),
    }
    if kind in limits:
        name, words = limits[kind]
        limit = context[name]
        return words.format(f"{limit:g}" if isinstance(limit, float) else limit).replace("'", "`")
    return error["msg"][:1].lower() + error["msg"][1:]


def _shown(path: Path, value: Any, hidden: set[Path]) -> str:
    if (
        path in hidden
        or any(isinstance(step, str) and looks_secret(step) for step in path)
        or path[-1:] == ("url",)
    ):
        return "not right (value not shown)"
    if isinstance(value, dict):
        return "keys and values"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "empty"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text if len(text) <= 60 else text[:57] + '…'}`"


def _path(error: ErrorDetails, data: Any) -> Path:
    """The file's own path of an error: pydantic adds tags and type names of unions, which the file does not have."""
    path: list[str | int] = []
    here = data
    for step in error["loc"]:
        keyed = isinstance(here, dict) and step in here
        if keyed or (isinstance(here, list) and isinstance(step, int) and step < len(here)):
            here = here[step]
        elif step != error["loc"][-1] or error["type"] != "missing":
            continue
        path.append(step)
    return tuple(path)


def _at(data: Any, path: Path) -> Any:
    for step in path:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _room(path: Path) -> str:
    return f"`{dotted(path)}`" if path else "the file"


def _keys(path: Path, data: Any) -> list[str]:
    model = _model(path, data)
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _model(path: Path, data: Any) -> type[BaseModel] | None:
    """The settings model that stands at ``path``."""
    here: Any = Config
    for depth, step in enumerate(path):
        if isinstance(here, type) and issubclass(here, BaseModel):
            fields = {field.alias or name: field.annotation for name, field in here.model_fields.items()}
            here = _plain(fields.get(str(step)))
        else:
            here = _plain(
                get_args(here)[-1] if get_args(here) and get_args(here)[-1] is not ... else get_args(here)[0]
            )
        if path[0] == "sources" and depth == 1:
            found = _at(data, path[: depth + 1])
            here = SOURCE_TYPES.get(str(found.get("type")) if isinstance(found, dict) else "")
        if here is None:
            return None
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


def _plain(annotation: Any) -> Any:
    """Without ``Annotated`` and ``| None``; a tuple's or dict's item type is found by its arguments."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        options = [option for option in get_args(annotation) if option is not type(None)]
        return _plain(options[0]) if len(options) == 1 else annotation
    return annotation
