"""The exact path: every violation of a node by a value that was read exactly."""

# ruff: noqa: PLR0917 - a violation is told by position, thousands of times a second
from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from quality.caches import ROOM
from quality.model import Node, same
from quality.numbers import INT64_MAX, INT64_MIN, as_decimal, fits_decimal, integral, less, multiple
from quality.reading import pointer
from quality.reasons import Why, show

Path = tuple[Any, ...]
"""(path above, step), or (pointer,): rendered only where something is reported."""

_KINDS: dict[type, str] = {
    dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null", int: "integer",
    float: "number", Decimal: "number",
}  # fmt: skip
SEVERITY = {"required": "critical", "additionalProperties": "minor"}
"""Of a broken keyword; every other one is major. A required field that is null against its schema is critical too."""


def violations(node: Node, value: Any, path: str = "") -> list[Why]:
    """All that ``node`` holds against ``value``, in document order; severity info does not make it invalid."""
    found: list[Why] = []
    check(node, value, (path,), found)
    return found


def check(
    node: Node, value: Any, path: Path, out: list[Why], must: bool = False, masked: bool = False
) -> None:
    """Append every violation to ``out``.

    Args:
        must: the value stands in a required field, so that a refused null is critical.
        masked: something above is marked ``x-pii``.
    """
    masked = masked or node.pii
    kind = _KINDS[type(value)]
    types = node.types
    if node.nothing:
        _say(out, path, "false", "nothing here", value, masked, "no value is allowed here")
    if types is not None and kind not in types and not _wider(kind, types, value):
        severity = "critical" if must and value is None else "major"
        expected = " or ".join(sorted(types))
        what = "null is refused" if value is None else f"{kind} where {expected} is expected"
        out.append((render(path), "type", severity, expected, show(value, masked), what))
        if node.foreign is None:
            return
    if node.enum is not None and not any(same(value, one) for one in node.enum):
        _say(out, path, node.enum_rule, node.choice, value, masked, "not one of the allowed values")
    if kind == "string":
        _string(node, value, path, out, masked)
    elif kind in ("integer", "number"):
        _number(node, value, path, out, masked)
    elif kind == "object":
        _object(node, value, path, out, masked)
    elif kind == "array":
        _array(node, value, path, out, masked)
    if node.foreign is not None:
        _foreign(node, value, path, out, masked)


def render(path: Path) -> str:
    """A path as a JSON pointer."""
    if len(path) == 1:
        return path[0]  # type: ignore[no-any-return]  # a pointer
    return pointer(path[0][0] if len(path[0]) == 1 else render(path[0]), path[1])


def _wider(kind: str, types: frozenset[str], value: Any) -> bool:
    if kind == "integer":
        return "number" in types
    return kind == "number" and "integer" in types and integral(value)


def _say(
    out: list[Why], path: Path, rule: str, expected: str, value: Any, masked: bool, message: str
) -> None:
    out.append((render(path), rule, SEVERITY.get(rule, "major"), expected, show(value, masked), message))


def _string(node: Node, value: str, path: Path, out: list[Why], masked: bool) -> None:
    if node.min_length is not None and len(value) < node.min_length:
        _say(
            out,
            path,
            "minLength",
            f"≥ {node.min_length} characters",
            value,
            masked,
            f"{len(value)} characters",
        )
    if node.max_length is not None and len(value) > node.max_length:
        _say(
            out,
            path,
            "maxLength",
            f"≤ {node.max_length} characters",
            value,
            masked,
            f"{len(value)} characters",
        )
    if node.pattern is not None and not node.pattern.test(value):
        _say(out, path, "pattern", node.pattern_text[:80], value, masked, "does not match the pattern")
    if node.format_test is not None and not node.format_test(value):
        _say(out, path, "format", node.format, value, masked, f"is no {node.format}")


def _number(node: Node, value: Any, path: Path, out: list[Why], masked: bool) -> None:
    if node.minimum is not None and less(value, node.minimum):
        _say(out, path, "minimum", f"≥ {show(node.minimum)}", value, masked, "too small")
    if node.maximum is not None and less(node.maximum, value):
        _say(out, path, "maximum", f"≤ {show(node.maximum)}", value, masked, "too large")
    if node.exclusive_minimum is not None and not less(node.exclusive_minimum, value):
        _say(out, path, "exclusiveMinimum", f"> {show(node.exclusive_minimum)}", value, masked, "too small")
    if node.exclusive_maximum is not None and not less(value, node.exclusive_maximum):
        _say(out, path, "exclusiveMaximum", f"< {show(node.exclusive_maximum)}", value, masked, "too large")
    if node.multiple_of is not None and not multiple(value, node.multiple_of):
        _say(
            out, path, "multipleOf", f"a multiple of {show(node.multiple_of)}", value, masked, "falls between"
        )
    if node.decimal is not None:
        if not fits_decimal(value, *node.decimal):
            precision, scale = node.decimal
            _column(out, path, f"DECIMAL({precision},{scale})", value, masked)
    elif (
        node.types is not None and "integer" in node.types and "number" not in node.types and not _long(value)
    ):
        _column(out, path, "a 64-bit integer", value, masked)


def _long(value: Any) -> bool:
    return bool(INT64_MIN <= value <= INT64_MAX)


def _column(out: list[Why], path: Path, expected: str, value: Any, masked: bool) -> None:
    message = "valid, but no column holds it exactly: null there, exact in the raw bytes"
    out.append((render(path), "column-range", "info", expected, show(value, masked), message))


def _object(node: Node, value: dict[str, Any], path: Path, out: list[Why], masked: bool) -> None:
    for name in node.required:
        if name not in value:
            out.append(
                (render((path, name)), "required", "critical", "present", "missing", f"`{name}` is required")
            )
    if node.min_properties is not None and len(value) < node.min_properties:
        _say(
            out,
            path,
            "minProperties",
            f"≥ {node.min_properties} fields",
            len(value),
            masked,
            "too few fields",
        )
    if node.max_properties is not None and len(value) > node.max_properties:
        _say(
            out,
            path,
            "maxProperties",
            f"≤ {node.max_properties} fields",
            len(value),
            masked,
            "too many fields",
        )
    properties, additional, required = node.properties, node.additional, node.required
    for name, part in value.items():
        below = properties.get(name)
        if below is not None:
            quick = below.quick
            if quick is None or not quick(part):
                check(below, part, (path, name), out, name in required, masked)
        elif additional is not None:
            where = (path, name)
            if additional.nothing:
                message = f"the field `{name[:60]}` is not known"
                _say(out, where, "additionalProperties", "no other fields", part, masked, message)
            else:
                check(additional, part, where, out, False, masked)


def _array(node: Node, value: list[Any], path: Path, out: list[Why], masked: bool) -> None:
    if node.min_items is not None and len(value) < node.min_items:
        _say(out, path, "minItems", f"≥ {node.min_items} items", len(value), masked, "too few items")
    if node.max_items is not None and len(value) > node.max_items:
        _say(out, path, "maxItems", f"≤ {node.max_items} items", len(value), masked, "too many items")
    if node.items is not None:
        for index, part in enumerate(value):
            check(node.items, part, (path, index), out, False, masked)


def _foreign(node: Node, value: Any, path: Path, out: list[Why], masked: bool) -> None:
    for error in node.foreign.iter_errors(value):
        where: Path = path
        for step in error.instance_path:
            where = (where, step)
        rule = next((step for step in reversed(error.schema_path) if isinstance(step, str)), "schema")
        hidden = masked or any(part.pii for part in node.walk())
        message = "does not fulfil the schema" if hidden else error.message[:200]
        _say(out, where, rule, f"to fulfil {rule}", error.instance, hidden, message)


def quicken(node: Node) -> None:
    """Give every plain scalar node a test that says yes for certain, so that only what may be wrong is looked at, and
    every enum its words."""
    for one in node.walk():
        one.quick = _quick(one)
        if one.enum is not None:
            one.choice = show(one.enum[0]) if one.enum_rule == "const" else f"one of {show(list(one.enum))}"


def _quick(node: Node) -> Callable[[Any], bool] | None:
    plain = node.foreign is None and not node.nothing and node.decimal is None and node.multiple_of is None
    if not plain or node.types is None or node.types & {"object", "array"}:
        return _quick_choice(node) if plain and node.types is None and node.enum is not None else None
    if node.enum is not None:
        return None
    nullable, types = "null" in node.types, node.types - {"null"}
    if types == {"string"}:
        return _quick_text(node, nullable)
    if types == {"integer"}:
        low = max((bound for bound in (node.minimum, INT64_MIN) if bound is not None), key=as_decimal)
        high = min((bound for bound in (node.maximum, INT64_MAX) if bound is not None), key=as_decimal)
        above, below = node.exclusive_minimum, node.exclusive_maximum
        if any(bound is not None and type(bound) is not int for bound in (low, high, above, below)):
            return None
        low, high = (
            max(low, low if above is None else above + 1),
            min(high, high if below is None else below - 1),
        )
        return lambda value: low <= value <= high if type(value) is int else value is None and nullable
    if types <= {"number", "integer"}:
        lows = [float(bound) for bound in (node.minimum, node.exclusive_minimum) if bound is not None]
        highs = [float(bound) for bound in (node.maximum, node.exclusive_maximum) if bound is not None]
        least, most = max(lows, default=float("-inf")), min(highs, default=float("inf"))
        return lambda value: least < value < most if type(value) is float else value is None and nullable
    return None


def _quick_choice(node: Node) -> Callable[[Any], bool] | None:
    texts = frozenset(value for value in node.enum or () if type(value) is str)
    return lambda value: type(value) is str and value in texts


def _quick_text(node: Node, nullable: bool) -> Callable[[Any], bool]:
    tests = [test for test in (node.pattern and node.pattern.test, node.format_test) if test is not None]
    least, most = node.min_length or 0, node.max_length
    if not tests and not least and most is None:
        return lambda value: type(value) is str or (value is None and nullable)
    known: set[str] = set()

    def learn(value: str) -> bool:
        good = (
            least <= len(value)
            and (most is None or len(value) <= most)
            and all(test(value) for test in tests)
        )
        if good and len(known) < ROOM:
            known.add(value)
        return good

    return lambda value: (
        (value in known or learn(value)) if type(value) is str else value is None and nullable
    )


def accepts(node: Node) -> Callable[[Any], bool]:
    """The verdict alone, for values of nodes the generated code does not spell out."""

    def test(value: Any) -> bool:
        found: list[Why] = []
        check(node, value, ("",), found)
        return not found

    return test
