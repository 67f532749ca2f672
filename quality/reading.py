"""One JSON document, read exactly: no digit lost, no repeated key forgiven, no depth that overflows.

This is the slow reader that decides; the fast one (msgspec) only ever says "all is well".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from quality.numbers import INTEGER_DIGITS, beyond_double, fraction

MAX_DEPTH = 128
"""Arrays and objects within each other; deeper documents are refused (rule ``parse``)."""


class Unreadable(Exception):
    """A document that cannot be read in exactly one way.

    Args:
        rule: ``parse``, ``duplicate-key`` or ``number-range``.
        path: JSON pointer of the place, as far as it is known.
    """

    def __init__(self, rule: str, path: str, expected: str, got: str, message: str) -> None:
        super().__init__(message)
        self.rule, self.path, self.expected, self.got, self.message = rule, path, expected, got, message


class _Pairs(list[tuple[str, Any]]):
    """An object with its pairs kept, to say where a key is repeated."""


def pointer(path: str, step: str | int) -> str:
    """``path`` and one step more, as a JSON pointer (RFC 6901).

    >>> pointer("/a", "b/c~")
    '/a/b~1c~0'
    """
    if isinstance(step, str) and ("~" in step or "/" in step):
        step = step.replace("~", "~0").replace("/", "~1")
    return f"{path}/{step}"


def read(document: bytes) -> Any:
    """The value of a document: dict, list, str, int, float, Decimal, bool or None.

    Raises:
        Unreadable: it is no JSON, repeats a key, holds a number beyond a double's range, is nested deeper than
            ``MAX_DEPTH`` or holds half a surrogate pair.
    """
    text = _text(document)
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(text)
    try:
        value = _decode(text)
    except _Hazard:
        raise _hazard(text) from None
    except json.JSONDecodeError as err:
        raise _no_json(f"{err.msg} at character {err.pos + 1}", document) from None
    except _NotJson as err:
        raise _no_json(str(err), document) from None
    if "\\u" in text and ("\\ud" in text or "\\uD" in text) and _has_surrogate(value):
        raise _no_json("half a surrogate pair, which is no character", document)
    return value


def quotes(value: Any) -> int:
    """How many quotes JSON needs for a value: two for every key and every text; negative where a number is beyond a
    double's range.

    >>> quotes({"a": ["x", 1], "b": None})
    6
    """
    kind = type(value)
    if kind is str:
        return 2
    if kind is dict:
        return 2 * len(value) + sum(map(quotes, value.values()))
    if kind is list:
        return sum(map(quotes, value))
    if (kind is int or kind is Decimal) and beyond_double(value):
        return -(2**40)
    return 0


class _Hazard(Exception):
    """Something that has to be looked for again, with its place."""


class _NotJson(Exception):
    """What the decoder would let pass but JSON does not have."""


def _object(items: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(items)
    if len(made) != len(items):
        raise _Hazard
    return made


def _float(text: str) -> float | Decimal:
    value = fraction(text)
    if type(value) is Decimal and beyond_double(value):
        raise _Hazard
    return value


def _int(text: str) -> int:
    if len(text) < INTEGER_DIGITS:
        return int(text)
    if len(text) > INTEGER_DIGITS + 1 or beyond_double(int(text)):
        raise _Hazard
    return int(text)


def _constant(text: str) -> Any:
    raise _NotJson(f"{text} is no JSON number")


_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_float, parse_int=_int, parse_constant=_constant
).decode
_decode_pairs = json.JSONDecoder(
    object_pairs_hook=_Pairs, parse_float=Decimal, parse_int=Decimal, parse_constant=_constant
).decode


def _text(document: bytes) -> str:
    try:
        text = document.decode()
    except UnicodeDecodeError as err:
        raise _no_json(f"byte {err.start + 1} is not UTF-8", document) from None
    if not text or text.isspace():
        raise _no_json("the document is empty", document)
    return text


def _no_json(what: str, document: bytes) -> Unreadable:
    got = document[:60].decode("utf-8", "backslashreplace")
    return Unreadable("parse", "", "one JSON document", got, f"not readable as JSON: {what}")


def _check_depth(text: str) -> None:
    depth, inside, escaped = 0, False, False
    for char in text:
        if inside:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                inside = False
        elif char == '"':
            inside = True
        elif char in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                message = f"nested deeper than {MAX_DEPTH}"
                raise Unreadable("parse", "", f"depth ≤ {MAX_DEPTH}", text[:60], message)
        elif char in "]}":
            depth -= 1


def _hazard(text: str) -> Unreadable:
    try:
        root = _decode_pairs(text)
    except json.JSONDecodeError as err:
        return _no_json(f"{err.msg} at character {err.pos + 1}", text.encode())
    except _NotJson as err:
        return _no_json(str(err), text.encode())
    for path, value in _walk(root, ""):
        if isinstance(value, _Pairs):
            seen: set[str] = set()
            for key, _ in value:
                if key in seen:
                    where = pointer(path, key)
                    return Unreadable(
                        "duplicate-key",
                        where,
                        "each key once",
                        key[:60],
                        f"the key `{key[:60]}` stands twice",
                    )
                seen.add(key)
        elif isinstance(value, Decimal) and beyond_double(value):
            got = str(value)
            got = got if len(got) < 60 else f"{got[:40]}… ({len(got)} characters)"
            return Unreadable(
                "number-range", path, "a number below 1.8e308", got, "beyond the range of a double"
            )
    return _no_json("it cannot be read", text.encode())


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, value
    if isinstance(value, _Pairs):
        for key, part in value:
            yield from _walk(part, pointer(path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _walk(part, pointer(path, index))


def _has_surrogate(value: Any) -> bool:
    if isinstance(value, str):
        return any("\ud800" <= char <= "\udfff" for char in value)
    if isinstance(value, dict):
        return any(_has_surrogate(key) or _has_surrogate(part) for key, part in value.items())
    return isinstance(value, list) and any(map(_has_surrogate, value))
