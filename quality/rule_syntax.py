"""The rule language's text as a tree. Nothing here runs anything.

Grammar, weakest binding first::

    or   := and ("or" and)*           and  := not ("and" not)*         not  := "not" not | cmp
    cmp  := sum (("=="|"!="|"<"|"<="|">"|">=") sum)*
          | sum ["not"] "in" "[" or ("," or)* "]" | sum ["not"] "matches" string | sum "is" ["not"] "null"
    sum  := term (("+"|"-") term)*    term := unary (("*"|"/"|"%") unary)*   unary := "-" unary | atom
    atom := number | string | true | false | null | name "(" args ")" | path | "(" or ")"
    path := step ("." step)*          step := letters, digits, _ | `anything`
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from core.errors import ConfigError

MAX_LENGTH = 2000
MAX_DEPTH = 40
MAX_NODES = 400

FUNCTIONS: dict[str, tuple[int, int]] = {
    "len": (1, 1), "date": (1, 1), "abs": (1, 1), "round": (1, 2), "lower": (1, 1), "upper": (1, 1), "trim": (1, 1),
    "coalesce": (1, 20), "min": (2, 20), "max": (2, 20),
}  # fmt: skip
"""Name -> fewest and most arguments."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*|`[^`]+`)
    |(?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<op>==|!=|<=|>=|[<>+\-*/%()\[\],.])
    |(?P<end>\Z))""",
    re.VERBOSE | re.DOTALL,
)
_WORDS = frozenset({"and", "or", "not", "in", "is", "matches", "null", "true", "false"})
_COMPARE = frozenset({"==", "!=", "<", "<=", ">", ">="})
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


@dataclass(frozen=True, slots=True)
class Expr:
    """One node of the tree.

    ``kind`` is literal (value), field (value: tuple of steps), call (value: function), not, neg, and, or,
    compare (value: operator), math (value: operator), in, matches (value: pattern), isnull.
    """

    kind: str
    value: Any = None
    parts: tuple[Expr, ...] = ()
    column: int = 1


def parse(text: str) -> Expr:
    """The tree of an expression.

    Raises:
        ConfigError: E111, with ``facts["column"]`` (from 1).
    """
    if len(text) > MAX_LENGTH:
        raise wrong(f"the expression has {len(text)} characters; at most {MAX_LENGTH} are allowed", 1)
    reader = _Reader(_tokens(text))
    if reader.kind == "end":
        raise wrong("the expression is empty", 1)
    tree = reader.either()
    if reader.kind != "end":
        raise reader.unexpected("the end of the expression")
    return tree


def wrong(message: str, column: int, code: str = "E111") -> ConfigError:
    """A fault at a place in an expression."""
    return ConfigError(message, code, {"column": column})


def _tokens(text: str) -> list[tuple[str, str, int]]:
    found, at = [], 0
    while True:
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            char = text[at]
            hint = {"=": "; for equality write `==`", "&": "; write `and`", "|": "; write `or`", "!": "; write `not`",
                    "'": "; the quote is not closed", '"': "; the quote is not closed"}.get(char, "")  # fmt: skip
            raise wrong(f"`{char}` has no meaning here{hint}", at + 1)
        kind = match.lastgroup or "end"
        found.append((kind, match[kind], match.start(kind) + 1))
        at = match.end()
        if kind == "end":
            return found


class _Reader:
    """Recursive descent over the tokens; depth and size are bounded."""

    def __init__(self, tokens: list[tuple[str, str, int]]) -> None:
        self._tokens, self._at, self._depth, self._nodes = tokens, 0, 0, 0

    @property
    def kind(self) -> str:
        return self._tokens[self._at][0]

    @property
    def text(self) -> str:
        return self._tokens[self._at][1]

    @property
    def column(self) -> int:
        return self._tokens[self._at][2]

    def unexpected(self, wanted: str) -> ConfigError:
        there = "the end of the expression" if self.kind == "end" else f"`{self.text[:40]}`"
        return wrong(f"{there} stands where {wanted} is expected", self.column)

    def _make(self, kind: str, value: Any, parts: tuple[Expr, ...], column: int) -> Expr:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise wrong(f"the expression has more than {MAX_NODES} parts; split the rule", column)
        return Expr(kind, value, parts, column)

    def _take(self, *texts: str) -> bool:
        if self.kind in ("op", "name") and self.text in texts:
            self._at += 1
            return True
        return False

    def _need(self, text: str) -> None:
        if not self._take(text):
            raise self.unexpected(f"`{text}`")

    def either(self) -> Expr:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise wrong(f"the expression is nested deeper than {MAX_DEPTH}", self.column)
        column, parts = self.column, [self._both()]
        while self._take("or"):
            parts.append(self._both())
        self._depth -= 1
        return parts[0] if len(parts) == 1 else self._make("or", None, tuple(parts), column)

    def _both(self) -> Expr:
        column, parts = self.column, [self._negated()]
        while self._take("and"):
            parts.append(self._negated())
        return parts[0] if len(parts) == 1 else self._make("and", None, tuple(parts), column)

    def _negated(self) -> Expr:
        column, times = self.column, 0
        while self._take("not"):
            times += 1
        tree = self._compared()
        for _ in range(times):
            tree = self._make("not", None, (tree,), column)
        return tree

    def _compared(self) -> Expr:
        left = self._sum()
        column = self.column
        if self.kind == "op" and self.text in _COMPARE:
            return self._chain(left)
        if self._take("is"):
            negated = self._take("not")
            self._need("null")
            return self._maybe_not(negated, self._make("isnull", None, (left,), column), column)
        negated = self.kind == "name" and self.text == "not"
        if negated:
            self._at += 1
        if self._take("in"):
            return self._maybe_not(negated, self._make("in", None, (left, *self._list()), column), column)
        if self._take("matches"):
            if self.kind != "string":
                raise self.unexpected("a pattern in quotes")
            tree = self._make("matches", self._string(raw=True), (left,), column)
            return self._maybe_not(negated, tree, column)
        if negated:
            raise self.unexpected("`in` or `matches`")
        return left

    def _maybe_not(self, negated: bool, tree: Expr, column: int) -> Expr:
        return self._make("not", None, (tree,), column) if negated else tree

    def _chain(self, left: Expr) -> Expr:
        parts = []
        while self.kind == "op" and self.text in _COMPARE:
            op, column = self.text, self.column
            self._at += 1
            right = self._sum()
            parts.append(self._make("compare", op, (left, right), column))
            left = right
        return parts[0] if len(parts) == 1 else self._make("and", None, tuple(parts), parts[0].column)

    def _list(self) -> tuple[Expr, ...]:
        self._need("[")
        items = [self.either()]
        while self._take(","):
            items.append(self.either())
        self._need("]")
        return tuple(items)

    def _sum(self) -> Expr:
        left = self._term()
        while self.kind == "op" and self.text in ("+", "-"):
            op, column = self.text, self.column
            self._at += 1
            left = self._make("math", op, (left, self._term()), column)
        return left

    def _term(self) -> Expr:
        left = self._signed()
        while self.kind == "op" and self.text in ("*", "/", "%"):
            op, column = self.text, self.column
            self._at += 1
            left = self._make("math", op, (left, self._signed()), column)
        return left

    def _signed(self) -> Expr:
        column, times = self.column, 0
        while self._take("-"):
            times += 1
        tree = self._atom()
        return self._make("neg", None, (tree,), column) if times % 2 else tree

    def _atom(self) -> Expr:
        kind, text, column = self._tokens[self._at]
        if kind == "number":
            self._at += 1
            return self._make("literal", float(text) if re.search(r"[.eE]", text) else int(text), (), column)
        if kind == "string":
            return self._make("literal", self._string(), (), column)
        if self._take("("):
            tree = self.either()
            self._need(")")
            return tree
        if kind != "name":
            raise self.unexpected("a field, a value or `(`")
        if text in ("null", "true", "false"):
            self._at += 1
            return self._make("literal", {"null": None, "true": True, "false": False}[text], (), column)
        if text in _WORDS:
            raise self.unexpected("a field, a value or `(`")
        self._at += 1
        return self._call(text, column) if self._take("(") else self._path(text, column)

    def _call(self, name: str, column: int) -> Expr:
        if name not in FUNCTIONS:
            raise wrong(f"`{name[:40]}` is no function; there are: {', '.join(FUNCTIONS)}", column)
        args = [self.either()]
        while self._take(","):
            args.append(self.either())
        self._need(")")
        least, most = FUNCTIONS[name]
        if not least <= len(args) <= most:
            many = str(least) if least == most else f"{least} to {most}"
            raise wrong(f"`{name}` takes {many} arguments, not {len(args)}", column)
        return self._make("call", name, tuple(args), column)

    def _path(self, first: str, column: int) -> Expr:
        steps = [first.strip("`")]
        while self._take("."):
            if self.kind != "name":
                raise self.unexpected("a field name")
            steps.append(self.text.strip("`"))
            self._at += 1
        return self._make("field", tuple(steps), (), column)

    def _string(self, raw: bool = False) -> str:
        text = self.text
        self._at += 1
        quote, body = text[0], text[1:-1]
        if raw:  # a pattern keeps its backslashes; only the quote itself is unescaped
            return body.replace("\\" + quote, quote)
        return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), body, flags=re.DOTALL)
