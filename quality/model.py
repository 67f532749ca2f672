"""A JSON Schema as a tree of nodes: what we test ourselves, and what is left to jsonschema-rs, node by node."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs

from core.errors import BadSchema
from quality.formats import format_test
from quality.numbers import Number
from quality.patterns import Pattern, compile_pattern
from quality.reading import Unreadable, pointer, read

DEFAULT_DRAFT = "https://json-schema.org/draft/2020-12/schema"
COMPILED = frozenset({
    "type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "minLength", "maxLength", "pattern", "format", "properties", "required", "additionalProperties",
    "items", "minItems", "maxItems", "minProperties", "maxProperties", "$ref",
})  # fmt: skip
APART = frozenset({
    "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies",
    "propertyNames", "uniqueItems", "contains", "minContains", "maxContains", "contentEncoding", "contentMediaType",
})  # fmt: skip
"""Left to jsonschema-rs beside the compiled keywords of the same node."""
ENTANGLED = frozenset({
    "patternProperties", "unevaluatedProperties", "unevaluatedItems", "prefixItems", "additionalItems",
    "$dynamicRef", "$recursiveRef",
})  # fmt: skip
"""Keywords that change what others of their node mean: the whole node goes to jsonschema-rs."""
_ANNOTATIONS_WITH_SCHEMAS = ("$defs", "definitions")


@dataclass(slots=True)
class Node:
    """One schema. What is None (or empty) does not constrain."""

    path: str
    """JSON pointer into the schema document."""
    types: frozenset[str] | None = None
    enum: tuple[Any, ...] | None = None
    """``const`` is an enum of one."""
    enum_rule: str = "enum"
    choice: str = ""
    """The allowed values in words (``quality.check.quicken``)."""
    minimum: Number | None = None
    maximum: Number | None = None
    exclusive_minimum: Number | None = None
    exclusive_maximum: Number | None = None
    multiple_of: Number | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: Pattern | None = None
    pattern_text: str = ""
    format: str = ""
    format_test: Callable[[str], Any] | None = None
    properties: dict[str, Node] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    additional: Node | None = None
    items: Node | None = None
    min_items: int | None = None
    max_items: int | None = None
    min_properties: int | None = None
    max_properties: int | None = None
    decimal: tuple[int, int] | None = None
    pii: bool = False
    nothing: bool = False
    """The schema ``false``."""
    foreign: Any = None
    """jsonschema-rs' validator for the keywords in ``left``."""
    left: tuple[str, ...] = ()
    compiled: tuple[str, ...] = ()
    quick: Callable[[Any], bool] | None = None
    """Says yes only where the node has nothing against a value (``quality.check.quicken``)."""

    @property
    def numeric(self) -> bool:
        """Whether a number can be refused for its size."""
        bounds = (
            self.minimum,
            self.maximum,
            self.exclusive_minimum,
            self.exclusive_maximum,
            self.multiple_of,
        )
        return any(bound is not None for bound in bounds)

    @property
    def constrained(self) -> bool:
        """Whether it has value constraints, which accuracy counts (here or below)."""
        own = (
            self.numeric or self.enum is not None or self.pattern is not None or self.format_test is not None
        )
        lengths = (self.min_length, self.max_length, self.min_items, self.max_items)
        if own or any(bound is not None for bound in lengths) or self.foreign is not None:
            return True
        below = [
            *self.properties.values(),
            *(part for part in (self.items, self.additional) if part is not None),
        ]
        return any(part.constrained for part in below)

    def allows(self, kind: str) -> bool:
        """Whether values of this JSON type pass ``type``."""
        return self.types is None or kind in self.types

    def walk(self) -> Iterator[Node]:
        """Itself and every node below."""
        yield self
        for part in (*self.properties.values(), self.items, self.additional):
            if part is not None:
                yield from part.walk()


def load(schema: bytes | dict[str, Any] | bool) -> Node:
    """The root node of a schema document.

    Raises:
        BadSchema: E500 no JSON, E501 refused by its meta-schema, E502 a pattern that is none, E503 a draft we do not know.
    """
    try:
        raw = schema if isinstance(schema, bytes) else json.dumps(schema).encode()
        document = read(raw)
    except Unreadable as err:
        raise BadSchema(f"the schema document is {err.message}", "E500") from None
    return _Loader(document).node(document, "", ())


class _Loader:
    """Turns schema objects into nodes; knows the document for references."""

    def __init__(self, document: Any) -> None:
        self.document = document
        if not isinstance(document, (dict, bool)):
            raise BadSchema("the schema document is neither an object nor true or false", "E500")
        self.draft = document.get("$schema", DEFAULT_DRAFT) if isinstance(document, dict) else DEFAULT_DRAFT
        self._check()
        self.old_refs = any(f"draft-0{number}" in self.draft for number in (4, 6, 7))
        self.whole = "draft-04" in self.draft or _odd_references(document)

    def _check(self) -> None:
        if not isinstance(self.draft, str) or not any(
            name in self.draft for name in ("draft-04", "draft-06", "draft-07", "2019-09", "2020-12")
        ):
            raise BadSchema(
                f"`$schema` is `{self.draft}`; drafts 4, 6, 7, 2019-09 and 2020-12 are known", "E503"
            )
        try:
            jsonschema_rs.meta.validate(self.document)
        except jsonschema_rs.ValidationError as err:
            where = "".join(f"/{step}" for step in err.instance_path) or "/"
            raise BadSchema(f"the schema is wrong at `{where}`: {err.message[:200]}", "E501") from None
        except ValueError as err:
            raise BadSchema(f"the schema cannot be used: {str(err)[:200]}", "E501") from None

    def node(self, schema: Any, path: str, above: tuple[str, ...]) -> Node:
        """``above``: the references being followed, so that a recursive one is seen."""
        if isinstance(schema, bool):
            return Node(path, nothing=not schema)
        if path == "" and self.whole:
            return self._foreign(Node(path), schema, tuple(_asserting(schema)), schema)
        if "$ref" in schema:
            return self._reference(schema, path, above)
        node = Node(path)
        self._notes(node, schema)
        entangled = ENTANGLED & schema.keys() or (isinstance(schema.get("items"), list) and {"items"})
        if entangled:
            return self._foreign(node, schema, tuple(_asserting(schema)), schema)
        self._own(node, schema, path, above)
        apart = {name: value for name, value in schema.items() if name in APART}
        return self._foreign(node, schema, tuple(apart), apart) if apart else node

    def _reference(self, schema: dict[str, Any], path: str, above: tuple[str, ...]) -> Node:
        target = schema["$ref"]
        siblings = {} if self.old_refs else {key: value for key, value in schema.items() if key != "$ref"}
        if target in above or any(name in COMPILED | APART | ENTANGLED for name in siblings):
            node = Node(path)
            self._notes(node, schema)
            return self._foreign(node, schema, tuple(_asserting(schema)), schema)
        node = self.node(_resolve(self.document, target), path, (*above, target))
        self._notes(node, siblings)
        return node

    def _notes(self, node: Node, schema: dict[str, Any]) -> None:
        node.pii = node.pii or bool(schema.get("x-pii"))
        size = schema.get("x-decimal")
        if isinstance(size, list) and len(size) == 2 and all(type(part) is int for part in size):
            if not 0 <= size[1] <= size[0] <= 38 or not size[0]:
                raise BadSchema(
                    f"`x-decimal` at `{node.path}` is {size}; it must be [1…38, 0…precision]", "E501"
                )
            node.decimal = (size[0], size[1])

    def _own(self, node: Node, schema: dict[str, Any], path: str, above: tuple[str, ...]) -> None:
        get = schema.get
        types = get("type")
        if types is not None:
            node.types = frozenset([types] if isinstance(types, str) else types)
        if "const" in schema:
            node.enum, node.enum_rule = (schema["const"],), "const"
        if "enum" in schema:
            values = tuple(schema["enum"])
            if node.enum is not None:
                values = tuple(value for value in values if same(value, schema["const"]))
            node.enum, node.enum_rule = values, "enum"
        node.minimum, node.maximum = get("minimum"), get("maximum")
        node.exclusive_minimum, node.exclusive_maximum = get("exclusiveMinimum"), get("exclusiveMaximum")
        node.multiple_of = get("multipleOf")
        for name, key in (("min_length", "minLength"), ("max_length", "maxLength"), ("min_items", "minItems"),
                          ("max_items", "maxItems"), ("min_properties", "minProperties"),
                          ("max_properties", "maxProperties")):  # fmt: skip
            if key in schema:
                setattr(node, name, int(schema[key]))
        if "pattern" in schema:
            node.pattern, node.pattern_text = compile_pattern(schema["pattern"]), schema["pattern"]
        if "format" in schema:
            node.format, node.format_test = schema["format"], format_test(schema["format"], self.draft)
        node.required = tuple(get("required", ()))
        node.properties = {
            name: self.node(part, pointer(f"{path}/properties", name), above)
            for name, part in get("properties", {}).items()
        }
        if "additionalProperties" in schema:
            node.additional = self.node(schema["additionalProperties"], f"{path}/additionalProperties", above)
        if "items" in schema:
            node.items = self.node(schema["items"], f"{path}/items", above)
        node.compiled = tuple(name for name in schema if name in COMPILED)

    def _foreign(
        self, node: Node, schema: dict[str, Any], left: tuple[str, ...], part: dict[str, Any]
    ) -> Node:
        wrapped: dict[str, Any] = {**part, "$schema": self.draft}
        if schema is not self.document:
            for name in _ANNOTATIONS_WITH_SCHEMAS:
                if isinstance(self.document, dict) and name in self.document:
                    wrapped[name] = self.document[name]
        elif part is not schema:
            wrapped |= {name: schema[name] for name in _ANNOTATIONS_WITH_SCHEMAS if name in schema}
        try:
            node.foreign = jsonschema_rs.validator_for(wrapped, validate_formats=True, offline=True)
        except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as err:
            raise BadSchema(
                f"the schema at `{node.path or '/'}` cannot be used: {str(err)[:200]}", "E501"
            ) from None
        node.left = left
        return node


def same(a: Any, b: Any) -> bool:
    """Equality of JSON values: 1 is 1.0, true is not 1.

    >>> same(1, 1.0), same(True, 1), same([{"a": 1}], [{"a": 1.0}])
    (True, False, True)
    """
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (str, type(None))) or isinstance(b, (str, type(None))) or isinstance(a, (dict, list)):
        return type(a) is type(b) and bool(a == b)
    return not isinstance(b, (dict, list)) and _equal(a, b)


def _equal(a: Number, b: Number) -> bool:
    from quality.numbers import equal

    return equal(a, b)


def _asserting(schema: dict[str, Any]) -> Iterator[str]:
    return (name for name in schema if name in COMPILED | APART | ENTANGLED)


def _resolve(document: Any, target: str) -> Any:
    at = document
    for step in target.removeprefix("#").split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(at, dict) or key not in at:
            raise BadSchema(f"`$ref` names `{target}`, which is not in the schema", "E501")
        at = at[key]
    return at


def _odd_references(schema: Any) -> bool:
    """Whether references need the whole document: others than to $defs or definitions, anchors, inner ids."""
    stack, first = [schema], True
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            target = part.get("$ref")
            if isinstance(target, str) and not target.startswith(("#/$defs/", "#/definitions/")):
                return True
            if isinstance(target, str) and "%" in target:
                return True
            names = ("$anchor", "$dynamicAnchor", "$recursiveAnchor", "$vocabulary")
            if any(name in part for name in names) or (not first and isinstance(part.get("$id"), str)):
                return True
            stack.extend(part.values())
        elif isinstance(part, list):
            stack.extend(part)
        first = False
    return False
