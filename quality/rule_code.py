"""A rule's tree as Python source made of our own words only: variables, literals, operators, ``NAMES``.

Null is contagious: an operation on null is null, and a check that comes out null is not applicable. ``and`` and ``or``
are those of three-valued logic; ``is null`` and ``coalesce`` look at null itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from quality.caches import Tested
from quality.patterns import compile_pattern
from quality.rule_syntax import Expr, wrong

_MATH = {"+": "_add", "-": "_sub", "*": "_mul", "/": "_div", "%": "_mod"}
_NEVER_BOOLEAN = frozenset({"len", "date", "abs", "round", "lower", "upper", "trim", "min", "max"})
MAX_TREE_DEPTH = 40


@dataclass(frozen=True, slots=True)
class Var:
    """A field as generated code knows it."""

    name: str
    type: str = "any"
    """num, str, bool or any; what it is when it is not None."""
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Code:
    """An expression: its source, its type (num, str, bool, any) and whether it may be None."""

    src: str
    type: str
    nullable: bool
    parts: tuple[str, str] | None = None
    """(when it is None, what it is otherwise), where ``src`` is just that choice."""


@dataclass(slots=True)
class Emitter:
    """Turns trees into source; collects the constants the source needs."""

    variables: Callable[[tuple[str, ...], int], Var]
    constants: dict[str, Any] = field(default_factory=dict)
    prefix: str = "_k"
    known: frozenset[tuple[str, ...]] = frozenset()
    """Fields that a guard before this expression has shown not to be null."""
    temps: int = 0
    depth: int = 0

    def emit(self, tree: Expr) -> Code:
        """The source of ``tree``."""
        self.depth += 1
        if self.depth > MAX_TREE_DEPTH:
            raise wrong(
                f"the expression has more than {MAX_TREE_DEPTH} steps in a row; split the rule", tree.column
            )
        made: Code = getattr(self, f"_{tree.kind}")(tree)
        self.depth -= 1
        return made

    def boolean(self, tree: Expr, where: str) -> Code:
        """``tree`` as true, false or None; a number or a text is an error."""
        code = self.emit(tree)
        value = tree.kind in ("math", "neg") or (tree.kind == "call" and tree.value in _NEVER_BOOLEAN)
        if value or code.type in ("num", "str"):
            what = "a text" if code.type == "str" else "a number"
            raise wrong(f"{where} must be true or false, and this is {what}", tree.column)
        return code if code.type == "bool" else Code(f"_truth({code.src})", "bool", True)

    def is_true(self, tree: Expr) -> str:
        """Source that is true where a boolean ``tree`` is true, and false where it is false or None."""
        return self._sided(tree, True)

    def not_false(self, tree: Expr) -> str:
        """Source that is true where a boolean ``tree`` is true or None, and false where it is false."""
        return self._sided(tree, False)

    def _sided(self, tree: Expr, strictly: bool) -> str:
        if tree.kind in ("and", "or"):
            return "(" + f" {tree.kind} ".join(self._sided(part, strictly) for part in tree.parts) + ")"
        if tree.kind == "not":
            return f"(not {self._sided(tree.parts[0], not strictly)})"
        code = self.boolean(tree, "a rule")
        if not code.nullable:
            return code.src
        if code.parts is None:
            return f"({code.src} is True)" if strictly else f"({code.src} is not False)"
        nulls, value = code.parts
        return f"(not ({nulls}) and {value})" if strictly else f"({nulls} or {value})"

    def _temp(self) -> str:
        self.temps += 1
        return f"{self.prefix}t{self.temps}"

    def _constant(self, value: Any) -> str:
        name = f"{self.prefix}c{len(self.constants)}"
        self.constants[name] = value
        return name

    def _guard(
        self, codes: list[Code], build: Callable[[list[str]], str], kind: str, nullable: bool = False
    ) -> Code:
        """``build`` over non-null operands; None where one of them is."""
        sources, tests = [], []
        for code in codes:
            if code.nullable:
                temp = code.src if code.src.isidentifier() else self._temp()
                tests.append(f"{temp} is None" if temp == code.src else f"({temp} := {code.src}) is None")
                sources.append(temp)
            else:
                sources.append(code.src)
        if not tests:
            return Code(build(sources), kind, nullable)
        nulls, value = " or ".join(tests), build(sources)
        return Code(f"(None if {nulls} else {value})", kind, True, None if nullable else (nulls, value))

    def _literal(self, tree: Expr) -> Code:
        value = tree.value
        kind = {bool: "bool", str: "str", int: "num", float: "num"}.get(type(value), "any")
        return Code(repr(value), kind, value is None)

    def _field(self, tree: Expr) -> Code:
        var = self.variables(tree.value, tree.column)
        return Code(var.name, var.type, var.nullable and tree.value not in self.known)

    def _numbers(self, tree: Expr, codes: list[Code], what: str) -> None:
        for part, code in zip(tree.parts, codes, strict=True):
            if code.type in ("str", "bool"):
                raise wrong(f"{what} needs numbers", part.column)

    def _math(self, tree: Expr) -> Code:
        codes = [self.emit(part) for part in tree.parts]
        self._numbers(tree, codes, f"`{tree.value}`")
        right = tree.parts[1]
        sure = right.kind == "literal" and type(right.value) in (int, float) and right.value != 0
        numbers = all(code.type == "num" for code in codes)
        if numbers and (tree.value in "+-*" or sure):
            return self._guard(codes, lambda src: f"({src[0]} {tree.value} {src[1]})", "num")
        if numbers:
            by = self._temp()
            build = lambda src: f"(None if not ({by} := {src[1]}) else {src[0]} {tree.value} {by})"  # noqa: E731
            return self._guard(codes, build, "num", nullable=True)
        return Code(f"{_MATH[tree.value]}({codes[0].src}, {codes[1].src})", "any", True)

    def _neg(self, tree: Expr) -> Code:
        code = self.emit(tree.parts[0])
        self._numbers(tree, [code], "`-`")
        if code.type == "num":
            return self._guard([code], lambda src: f"(-{src[0]})", "num")
        return Code(f"_neg({code.src})", "any", True)

    def _compare(self, tree: Expr) -> Code:
        codes = [self.emit(part) for part in tree.parts]
        for part in tree.parts:
            if part.kind == "literal" and part.value is None:
                raise wrong(
                    "comparing with null never applies; write `is null` or `is not null`", part.column
                )
        types = {code.type for code in codes}
        op = tree.value
        if types in ({"num"}, {"str"}) or (types == {"bool"} and op in ("==", "!=")):
            return self._guard(codes, lambda src: f"({src[0]} {op} {src[1]})", "bool")
        if "any" not in types and op not in ("==", "!="):
            raise wrong(f"`{op}` compares two numbers or two texts", tree.column)
        a, b = (code.src for code in codes)
        if op == "!=":
            temp = self._temp()
            return Code(f"(None if ({temp} := _eq({a}, {b})) is None else not {temp})", "bool", True)
        call = {"==": f"_eq({a}, {b})", "<": f"_lt({a}, {b})", "<=": f"_le({a}, {b})",
                ">": f"_lt({b}, {a})", ">=": f"_le({b}, {a})"}[op]  # fmt: skip
        return Code(call, "bool", True)

    def _not(self, tree: Expr) -> Code:
        code = self.boolean(tree.parts[0], "what stands after `not`")
        return self._guard([code], lambda src: f"(not {src[0]})", "bool")

    def _and(self, tree: Expr) -> Code:
        return self._logic(tree, "and", "False", "True")

    def _or(self, tree: Expr) -> Code:
        return self._logic(tree, "or", "True", "False")

    def _logic(self, tree: Expr, word: str, decides: str, otherwise: str) -> Code:
        codes = [self.boolean(part, f"what `{word}` joins") for part in tree.parts]
        if not any(code.nullable for code in codes):
            return Code("(" + f" {word} ".join(code.src for code in codes) + ")", "bool", False)
        source, temps = "", []
        for code in codes:
            if code.nullable:
                temp = self._temp()
                temps.append(temp)
                source += f"{decides} if ({temp} := {code.src}) is {decides} else "
            else:
                source += f"{decides} if {code.src} is {decides} else "
        nulls = " or ".join(f"{temp} is None" for temp in temps)
        return Code(f"({source}None if {nulls} else {otherwise})", "bool", True)

    def _isnull(self, tree: Expr) -> Code:
        return Code(f"({self.emit(tree.parts[0]).src} is None)", "bool", False)

    def _in(self, tree: Expr) -> Code:
        left, *items = tree.parts
        code = self.emit(left)
        for item in items:
            if item.kind == "literal" and item.value is None:
                raise wrong("null equals nothing; write `is null`", item.column)
        values = [item.value for item in items if item.kind == "literal"]
        kinds = {self._literal(item).type for item in items if item.kind == "literal"}
        if len(values) == len(items) and kinds == {code.type} and code.type in ("num", "str"):
            name = self._constant(frozenset(values))
            return self._guard([code], lambda src: f"({src[0]} in {name})", "bool")
        inside = ", ".join(self.emit(item).src for item in items)
        return Code(f"_in({code.src}, ({inside},))", "bool", True)

    def _matches(self, tree: Expr) -> Code:
        code = self.emit(tree.parts[0])
        if code.type in ("num", "bool"):
            raise wrong("`matches` needs a text on its left", tree.column)
        test = compile_pattern(tree.value).test
        if code.type == "str":
            known = self._constant(Tested(test))
            return self._guard([code], lambda src: f"{known}[{src[0]}]", "bool")
        name = self._constant(test)
        return Code(f"_matches({name}, {code.src})", "bool", True)

    def _call(self, tree: Expr) -> Code:
        codes = [self.emit(part) for part in tree.parts]
        name = tree.value
        if name == "coalesce":
            return self._coalesce(codes)
        if name in ("abs", "round"):
            return self._shape(tree, codes)
        if name in ("min", "max"):
            types = {code.type for code in codes}
            if types in ({"num"}, {"str"}):
                return self._guard(codes, lambda src: f"{name}({', '.join(src)})", types.pop())
            return Code(f"_{name}({', '.join(code.src for code in codes)})", "any", True)
        if codes[0].type in ("num", "bool"):
            raise wrong(f"`{name}` needs a text", tree.parts[0].column)
        kind = {"len": "num", "date": "num"}.get(name, "str")
        if name in ("len",) and codes[0].type == "str":
            return self._guard(codes, lambda src: f"len({src[0]})", "num")
        return Code(f"_{name}({codes[0].src})", kind, True)

    def _shape(self, tree: Expr, codes: list[Code]) -> Code:
        self._numbers(tree, codes, f"`{tree.value}`")
        digits = ""
        if len(codes) == 2:
            last = tree.parts[1]
            if last.kind != "literal" or type(last.value) is not int or not 0 <= last.value <= 12:
                raise wrong("`round` takes a whole number from 0 to 12 as its second argument", last.column)
            digits = f", {last.value}"
        if codes[0].type == "num":
            return self._guard(codes[:1], lambda src: f"{tree.value}({src[0]}{digits})", "num")
        return Code(f"_{tree.value}({codes[0].src}{digits})", "any", True)

    def _coalesce(self, codes: list[Code]) -> Code:
        kinds = {code.type for code in codes}
        source = ""
        for code in codes:
            if not code.nullable or code is codes[-1]:
                source += code.src
                break
            temp = code.src if code.src.isidentifier() else self._temp()
            test = f"{temp} is not None" if temp == code.src else f"({temp} := {code.src}) is not None"
            source += f"{temp} if {test} else "
        nullable = all(code.nullable for code in codes)
        return Code(f"({source})", kinds.pop() if len(kinds) == 1 else "any", nullable)


def fields_of(tree: Expr) -> list[tuple[str, ...]]:
    """The fields an expression reads, in the order it names them, each once."""
    found: dict[tuple[str, ...], None] = {}
    stack = [tree]
    while stack:
        part = stack.pop()
        if part.kind == "field":
            found[part.value] = None
        stack.extend(reversed(part.parts))
    return list(found)


def strict_fields(tree: Expr) -> set[tuple[str, ...]]:
    """Fields whose null makes the whole expression null."""
    if tree.kind == "field":
        return {tree.value}
    if tree.kind in ("and", "or", "isnull") or (tree.kind == "call" and tree.value == "coalesce"):
        return set()
    parts = tree.parts[:1] if tree.kind == "in" else tree.parts
    return set().union(*(strict_fields(part) for part in parts))


def columns_of(tree: Expr) -> Mapping[tuple[str, ...], int]:
    """Where each field first stands, for messages."""
    found: dict[tuple[str, ...], int] = {}
    stack = [tree]
    while stack:
        part = stack.pop()
        if part.kind == "field":
            found.setdefault(part.value, part.column)
        stack.extend(reversed(part.parts))
    return found
