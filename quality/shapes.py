"""Which msgspec type decodes a node's values, and what remains to be tested afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from math import ceil, floor
from typing import Annotated, Any, Literal, Union

import msgspec
from msgspec import UNSET, Meta, UnsetType

from quality.model import Node
from quality.numbers import INT64_MAX, INT64_MIN, Number, as_decimal


@dataclass(slots=True)
class Shape:
    """How one value is decoded.

    ``kind``: int, float, str, bool; object (a nested Struct, ``fields``); list (``item``); any (tested by the exact
    path's own functions). ``decided``: the type itself already proves every keyword.
    """

    node: Node
    type: Any
    kind: str
    nullable: bool = False
    decided: bool = False
    fields: list[Field] = field(default_factory=list)
    item: Shape | None = None

    @property
    def rule_type(self) -> str:
        """What rules may take the value for when it is not null."""
        return {"int": "num", "float": "num", "str": "str", "bool": "bool"}.get(self.kind, "any")


@dataclass(slots=True)
class Field:
    """A property of a Struct."""

    name: str
    attr: str
    shape: Shape
    required: bool


def struct_of(node: Node, name: str = "Record") -> Shape | None:
    """The Struct of an object schema; None where the exact path has to read it."""
    known = node.properties
    if node.foreign is not None or node.nothing or node.enum is not None or not node.allows("object"):
        return None
    if (
        node.min_properties is not None
        or node.max_properties is not None
        or set(node.required) - known.keys()
    ):
        return None
    fields = [
        Field(key, f"f{index}", shape_of(part, f"{name}{index}"), key in node.required)
        for index, (key, part) in enumerate(known.items())
    ]
    made: list[tuple[Any, ...]] = []
    for one in fields:
        kind = one.shape.type
        if one.shape.nullable and kind is not Any:
            kind = Union[kind, None]  # noqa: UP007 - built at run time
        if one.required:
            made.append((one.attr, kind))
        else:
            made.append((one.attr, kind if kind is Any else Union[kind, UnsetType], UNSET))  # noqa: UP007
    made.sort(key=len)  # those without a default first
    struct = msgspec.defstruct(name, made, rename={one.attr: one.name for one in fields}, gc=False)
    nullable = node.types is not None and "null" in node.types
    return Shape(node, struct, "object", nullable, fields=fields)


def shape_of(node: Node, name: str) -> Shape:
    """The shape of any node."""
    types = None if node.types is None else set(node.types - {"null"})
    nullable = (node.types is None or "null" in node.types) and (node.enum is None or None in node.enum)
    unknown = Shape(node, Any, "any", True)
    if node.foreign is not None or node.nothing or node.decimal is not None:
        return unknown
    if node.enum is not None:
        return _choice(node, types, nullable) or unknown
    if types == {"string"}:
        return _text(node, nullable)
    if types == {"integer"}:
        return _integer(node, nullable) or unknown
    if types in ({"number"}, {"integer", "number"}):
        return _double(node, nullable) or unknown
    if types == {"boolean"}:
        return Shape(node, bool, "bool", nullable, decided=True)
    if types == {"object"} and node.properties:
        return struct_of(node, name) or unknown
    if types == {"array"}:
        return _array(node, nullable, name) or unknown
    return unknown


def _choice(node: Node, types: set[str] | None, nullable: bool) -> Shape | None:
    values = [value for value in node.enum or () if value is not None]
    kinds = {type(value) for value in values}
    if kinds == {str} and (types is None or types == {"string"}):
        plain = (
            node.pattern is None
            and node.format_test is None
            and node.min_length is None
            and node.max_length is None
        )
        return Shape(node, Literal[tuple(values)], "str", nullable, decided=plain)
    whole = kinds == {int} and types == {"integer"} and not node.numeric
    if whole and all(INT64_MIN <= value <= INT64_MAX for value in values):
        return Shape(node, Literal[tuple(values)], "int", nullable, decided=True)
    return None


def _text(node: Node, nullable: bool) -> Shape:
    kind: Any = str
    if node.min_length is not None or node.max_length is not None:
        kind = Annotated[str, Meta(min_length=node.min_length, max_length=node.max_length)]
    return Shape(node, kind, "str", nullable, decided=node.pattern is None and node.format_test is None)


def _integer(node: Node, nullable: bool) -> Shape | None:
    if node.multiple_of is not None:
        return None
    low, high = INT64_MIN, INT64_MAX
    if node.minimum is not None:
        low = max(low, ceil(as_decimal(node.minimum)))
    if node.exclusive_minimum is not None:
        low = max(low, floor(as_decimal(node.exclusive_minimum)) + 1)
    if node.maximum is not None:
        high = min(high, floor(as_decimal(node.maximum)))
    if node.exclusive_maximum is not None:
        high = min(high, ceil(as_decimal(node.exclusive_maximum)) - 1)
    if low > high:
        return None
    return Shape(node, Annotated[int, Meta(ge=low, le=high)], "int", nullable, decided=True)


def _double(node: Node, nullable: bool) -> Shape | None:
    if node.multiple_of is not None:
        return None
    low, high = double_bounds(node)
    if low is not None and high is not None and not low[0] < high[0]:
        return None
    return Shape(node, float, "float", nullable, decided=low is None and high is None)


def double_bounds(node: Node) -> tuple[tuple[float, bool] | None, tuple[float, bool] | None]:
    """(lowest, highest) as (double, whether a short number equal to it is good); None: unbounded.

    Both an inclusive and an exclusive bound: the tighter one.
    """
    lows = [(node.minimum, True), (node.exclusive_minimum, False)]
    highs = [(node.maximum, True), (node.exclusive_maximum, False)]
    return _tightest(lows, max), _tightest(highs, min)


def _tightest(bounds: list[tuple[Number | None, bool]], pick: Any) -> tuple[float, bool] | None:
    given = [(bound, inclusive) for bound, inclusive in bounds if bound is not None]
    if not given:
        return None
    best = pick(as_decimal(bound) for bound, _ in given)
    inclusive = all(good for bound, good in given if as_decimal(bound) == best)
    short = all(not isinstance(bound, Decimal) and abs(bound) < 10**15 for bound, _ in given)
    return float(best), inclusive and short


def _array(node: Node, nullable: bool, name: str) -> Shape | None:
    item = Shape(node, Any, "any", True) if node.items is None else shape_of(node.items, name)
    if item.kind in ("any", "object", "list"):
        return None
    inner = Union[item.type, None] if item.nullable else item.type  # noqa: UP007 - built at run time
    kind: Any = list[inner]  # type: ignore[valid-type]
    if node.min_items is not None or node.max_items is not None:
        kind = Annotated[kind, Meta(min_length=node.min_items, max_length=node.max_items)]
    return Shape(node, kind, "list", nullable, decided=item.decided, item=item)
