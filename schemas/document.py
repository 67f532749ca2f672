"""A schema document before it is registered: read exactly, checked against its meta-schema, told apart. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NoReturn

import jsonschema_rs

from core.errors import BadSchema
from schemas.model import Reference

MAX_BYTES = 1 << 20
MAX_DEPTH = 200


def read(data: bytes, name: str) -> Any:
    """Decode a schema document.

    Args:
        data: UTF-8 JSON.
        name: which document, for errors: a path or a subject.

    Returns:
        The document; numbers with a fraction are ``Decimal``, so that no digit is lost.

    Raises:
        BadSchema: E511 it is no JSON document (with line and column), holds a key twice, or is too large or deep.
    """
    if len(data) > MAX_BYTES:
        raise BadSchema(f"`{name}` has {len(data):,} bytes; a schema may have at most {MAX_BYTES:,}", "E511")
    try:
        document = json.loads(
            data.decode("utf-8-sig"),
            parse_float=Decimal,
            parse_constant=_no_constant,
            object_pairs_hook=_once,
        )
    except json.JSONDecodeError as error:
        place = f"{name}:{error.lineno}:{error.colno}"
        raise BadSchema(f"`{place}` is no JSON: {error.msg[:1].lower()}{error.msg[1:]}", "E511") from error
    except ValueError as error:
        raise BadSchema(f"`{name}` is no JSON: {error}", "E511") from error
    except RecursionError as error:
        raise _too_deep(name) from error
    if _deeper_than(document, MAX_DEPTH):
        raise _too_deep(name)
    return document


def _too_deep(name: str) -> BadSchema:
    return BadSchema(f"`{name}` is nested more than {MAX_DEPTH} deep; flatten it with `$defs`", "E511")


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key `{key[:80]}` stands twice in one object; keep one of them")
        found[key] = value
    return found


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number in JSON")


def check(document: Any, name: str) -> None:
    """Hold a document against the meta-schema of its ``$schema`` (2020-12 if it names none).

    Nothing is fetched: a ``$ref`` beyond the document is refused.

    Raises:
        BadSchema: E512, with the JSON pointer of the place in its facts (``pointer``) and message.
    """
    try:
        jsonschema_rs.validator_for(plain(document), retriever=_fetch_nothing)
    except jsonschema_rs.ValidationError as error:
        at = pointer(error.instance_path)
        raise BadSchema(
            f"`{name}` is no valid JSON Schema: at `{at}`, {error.message}", "E512", {"pointer": at}
        ) from error
    except (jsonschema_rs.ReferencingError, ValueError, RecursionError) as error:
        raise BadSchema(f"`{name}` is no valid JSON Schema: {error}", "E512", {"pointer": ""}) from error


def _fetch_nothing(address: str) -> NoReturn:
    raise ValueError(f"`{address}` is outside the document and is not fetched; put it under `$defs`")


def pointer(path: Sequence[str | int]) -> str:
    """A path as a JSON pointer; ``""`` is the whole document.

    >>> pointer(["properties", "a/b", 0])
    '/properties/a~1b/0'
    """
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)


def plain(value: Any) -> Any:
    """The same document with doubles for ``Decimal``, for readers that know only those."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


def canonical(value: Any) -> str:
    """One spelling for equal documents: keys sorted, no blanks, numbers without needless digits.

    >>> canonical({"b": [1, Decimal("1.50")], "a": None})
    '{"a":null,"b":[1,15e-1]}'
    """
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{canonical(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return _number(Decimal(value))
    return json.dumps(value)


def _number(value: Decimal) -> str:
    """Digits without zeros at the end, and an exponent: ``normalize`` would round to 28 digits."""
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int), "JSON has no NaN"
    text = "".join(map(str, digits)).lstrip("0")
    kept = text.rstrip("0")
    if not kept:
        return "0"
    exponent += len(text) - len(kept)
    return ("-" if sign else "") + (kept + "0" * exponent if 0 <= exponent < 20 else f"{kept}e{exponent}")


def fingerprint(document: Any, kind: str = "JSON", references: Sequence[Reference] = ()) -> str:
    """SHA-256, in hex, of what makes two schemas the same."""
    uses = sorted((one.name, one.subject, one.version) for one in references)
    return hashlib.sha256(f"{kind}\n{json.dumps(uses)}\n{canonical(document)}".encode()).hexdigest()


def tags(document: Any) -> dict[str, list[str]]:
    """JSON pointer -> tags of the properties that the document marks, such as ``x-pii``.

    >>> tags({"properties": {"email": {"x-pii": True}, "id": {}}})
    {'/email': ['pii']}
    """
    found: dict[str, list[str]] = {}

    def look(schema: Any, above: str) -> None:
        inside = schema.get("properties") if isinstance(schema, Mapping) else None
        for key, inner in (inside if isinstance(inside, Mapping) else {}).items():
            path = above + pointer([key])
            if isinstance(inner, Mapping) and inner.get("x-pii"):
                found[path] = ["pii"]
            look(inner, path)

    look(document, "")
    return found
