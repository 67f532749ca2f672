"""Regular expressions of JSON Schema (ECMA-262) as a function ``str -> bool``, always in linear time.

A pattern whose work is bounded by its form runs on Python's ``re``; every other one on google-re2. What re2 does
not know (look-around, back-references) goes to jsonschema-rs with a limit on backtracking and on the text's length.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import jsonschema_rs
import re2

from core.errors import BadSchema

Engine = Literal["re", "re2", "jsonschema-rs"]
_SPACE = r"\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": _SPACE}
_PLAIN_ESCAPES = set("tnrfv0bB^$\\.*+?()[]{}|/-")
_MOST_PATHS = 1000
"""Ways a bounded pattern may match at one place, at most, on Python's ``re``."""
_MOST_BACKTRACKS = 100_000
"""Steps back that look-around and back-references may take on one text; beyond it counts as no match."""

LONGEST_LOOK_AROUND = 5000
"""Characters of a text that such a pattern is tried on; a longer one counts as no match, for the work grows quadratically."""


class Pattern(NamedTuple):
    """A compiled pattern: the test, and the engine that runs it."""

    test: Callable[[str], Any]
    engine: Engine


class _Unknown(Exception):
    """Syntax that this translation does not carry over."""


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> Pattern:
    """The pattern as a search, unanchored as JSON Schema wants.

    Raises:
        BadSchema: E502, it is no regular expression.
    """
    try:
        python, google = translate(pattern)
        compiled = re.compile(python, re.ASCII)
        if _bounded(python):
            return Pattern(compiled.search, "re")
        options = re2.Options()
        options.log_errors = False
        return Pattern(re2.compile(google, options).search, "re2")
    except (_Unknown, re.error, re2.error, OverflowError, RecursionError):
        return _foreign(pattern)


def _foreign(pattern: str) -> Pattern:
    try:
        limit = jsonschema_rs.FancyRegexOptions(backtrack_limit=_MOST_BACKTRACKS)
        validator = jsonschema_rs.validator_for({"type": "string", "pattern": pattern}, pattern_options=limit)
    except (ValueError, jsonschema_rs.ValidationError) as err:
        raise BadSchema(
            f"`{pattern[:80]}` is no regular expression; write one as ECMA-262 has them", "E502"
        ) from err
    return Pattern(
        lambda text: len(text) <= LONGEST_LOOK_AROUND and validator.is_valid(text), "jsonschema-rs"
    )


def translate(pattern: str) -> tuple[str, str]:
    r"""The pattern in Python's and in RE2's words.

    >>> translate(r"^\d+$")[0]
    '^[0-9]+\\Z'
    """
    python: list[str] = []
    google: list[str] = []
    at, inside = 0, False
    while at < len(pattern):
        char = pattern[at]
        py = go = char
        step = 1
        if char == "\\":
            py, go, step = _escape(pattern, at, inside)
        elif inside:
            if char == "]":
                inside = False
            elif char == "[":
                py = go = "\\["
            elif char in "&~|" and pattern[at + 1 : at + 2] == char:
                py = go = "\\" + char
        elif char == "[":
            inside = True
            if pattern.startswith(("[]", "[^]"), at):
                raise _Unknown
        elif char == "$":
            py, go = "\\Z", "\\z"
        elif char == ".":
            py, go = "[^\\n\\r\u2028\u2029]", "[^\\n\\r\\x{2028}\\x{2029}]"
        elif char == "(" and pattern.startswith("(?", at):
            if pattern.startswith("(?<", at) and pattern[at + 3 : at + 4] not in ("=", "!"):
                py, go, step = "(?P<", "(?P<", 3
            elif pattern[at + 2 : at + 3] not in (":", "=", "!", "<"):
                raise _Unknown
        elif char in "*+?}" and pattern[at + 1 : at + 2] == "+":
            raise _Unknown  # possessive in Python, an error in ECMA
        python.append(py)
        google.append(go)
        at += step
    return "".join(python), "".join(google)


def _escape(pattern: str, at: int, inside: bool) -> tuple[str, str, int]:
    letter = pattern[at + 1 : at + 2]
    if letter in ("d", "w", "s"):
        body = _CLASSES[letter]
        go = _for_re2(body)
        return (body, go, 2) if inside else (f"[{body}]", f"[{go}]", 2)
    if letter in ("D", "W", "S") and not inside:
        body = _CLASSES[letter.lower()]
        return f"[^{body}]", f"[^{_for_re2(body)}]", 2
    if letter == "u" and re.fullmatch(r"[0-9a-fA-F]{4}", pattern[at + 2 : at + 6]):
        code = pattern[at + 2 : at + 6]
        if 0xD800 <= int(code, 16) <= 0xDFFF:
            raise _Unknown
        return f"\\u{code}", f"\\x{{{code}}}", 6
    if letter == "x" and re.fullmatch(r"[0-9a-fA-F]{2}", pattern[at + 2 : at + 4]):
        return pattern[at : at + 4], pattern[at : at + 4], 4
    if letter == "/":
        return "/", "/", 2
    if letter == "0" and not pattern[at + 2 : at + 3].isdigit():
        return "\\x00", "\\x00", 2
    if letter and letter in _PLAIN_ESCAPES and not (inside and letter in "bB"):
        return pattern[at : at + 2], pattern[at : at + 2], 2
    raise _Unknown


def _for_re2(body: str) -> str:
    return re.sub(r"\\u([0-9a-f]{4})", r"\\x{\1}", body)


def _bounded(python: str) -> bool:
    """Proof that Python's ``re`` takes time linear in the text.

    Either nothing repeats without bound, or one single-character repeat does and the pattern is anchored at
    its start; in both cases the bounded repeats allow few ways through.
    """
    tree = re._parser.parse(python, re.ASCII)  # type: ignore[attr-defined]  # the parser has no public name
    endless, ways = _cost(tree)
    anchored = bool(tree) and str(tree[0][0]) == "AT" and "BEGINNING" in str(tree[0][1])
    return ways <= _MOST_PATHS and (endless == 0 or (endless == 1 and anchored))


def _cost(tree: Any) -> tuple[int, int]:
    """(endless repeats, product of the ways through); (2, …) for what is not proven."""
    endless, ways = 0, 1
    for op, value in tree:
        name = str(op)
        if name in ("LITERAL", "NOT_LITERAL", "ANY", "IN", "AT", "CATEGORY"):
            continue
        if name == "SUBPATTERN":
            inner, paths = _cost(value[-1])
        elif name == "BRANCH":
            parts = [_cost(branch) for branch in value[1]]
            inner, paths = sum(part[0] for part in parts), sum(part[1] for part in parts)
        elif name in ("MAX_REPEAT", "MIN_REPEAT"):
            inner, paths = _repeat(*value)
        else:
            return 2, ways
        endless, ways = endless + inner, min(ways * paths, _MOST_PATHS + 1)
    return endless, ways


def _repeat(least: int, most: Any, body: Any) -> tuple[int, int]:
    inner, paths = _cost(body)
    if most == re._constants.MAXREPEAT:  # type: ignore[attr-defined]
        single = len(body) == 1 and str(body[0][0]) in ("LITERAL", "NOT_LITERAL", "ANY", "IN")
        return (1, 1) if single else (2, 1)
    if inner:
        return 2, 1
    many = (most - least + 1) * (paths ** min(most, 10) if paths > 1 else 1)
    return 0, min(many, _MOST_PATHS + 1)
