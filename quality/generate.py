"""Python written from a schema and its rules: one loop that judges a batch, record after record.

What it vouches for is certain: a record goes to the exact path as soon as anything is in doubt (a type that differs, a
key that is unknown or repeated, a number that may have been rounded at a bound, a critical rule).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from quality.caches import LONG, LONG_NUMBER, MINUTES, ROOM, SECONDS, ZONES, Moments, quotes_in, unless_plain
from quality.check import accepts
from quality.formats import OWN
from quality.measures import SKEW_US, Measures, Plan, score, tier_of
from quality.numbers import fraction
from quality.reading import MAX_DEPTH, quotes
from quality.rule_code import Var
from quality.rule_lines import RuleLines
from quality.rule_runtime import NAMES
from quality.rules import Steps, fetch, loader, node_at
from quality.shapes import Field, Shape, double_bounds, struct_of

MISS = "slow(i); continue"
PARTS = (("c",), ("a", "1.0"), ("t",), ("1.00",), ("s",))
"""What the measures are called in the generated source; 1.0 and 1.00 are accuracy and compliance where nothing lowers them."""


@dataclass(frozen=True, slots=True)
class FastPath:
    """The generated function, or None, and what it covers."""

    run: Callable[[list[bytes], int, Any], list[int]] | None
    explain: dict[str, Any]

    def doubtful(self, lines: list[bytes], now_us: int, rows: Any, quotes: int) -> list[int]:
        """Judge what is certain, into ``rows``; which lines the exact path has to see.

        A repeated or unknown key shows in the quotes of a line, which are then more than its fields need. None has fewer, so
        one count over all lines (``quotes``) tells that all are right.
        """
        if self.run is None:
            return list(range(len(lines)))
        doubtful, needs = self.run(lines, now_us, rows), rows.needs
        for index in doubtful:
            needs[index] = lines[index].count(b'"')
        if sum(needs) == quotes:
            return doubtful
        many = zip(range(len(lines)), lines, needs, strict=True)
        return doubtful + [i for i, line, n in many if line.count(b'"') != n and quotes_in(line) != n]

    usual: Measures = (1.0, 1.0, None, 1.0, 1.0)
    """The measures of a record without remark; None: does not apply."""
    source: str = ""


def generate(plan: Plan) -> FastPath:
    """The fast path of a plan; ``run`` is None where the root needs jsonschema-rs."""
    shape = struct_of(plan.root)
    if shape is None:
        return FastPath(None, explain(plan, None))
    writer = _Writer(plan, shape)
    source = writer.source()
    space: dict[str, Any] = {**NAMES, **writer.constants}
    exec(compile(source, "<generated judge>", "exec"), space)
    usual = [1.0 if any(name in writer.parts for name in names) else None for names in PARTS]
    return FastPath(space["run"], explain(plan, shape), (*usual,), source)  # type: ignore[arg-type]  # five of them


class _Writer:
    """Holds the source while it grows."""

    def __init__(self, plan: Plan, shape: Shape) -> None:
        self.plan, self.shape = plan, shape
        self.constants: dict[str, Any] = {
            "decode": msgspec.json.Decoder(shape.type, float_hook=fraction).decode,
            "UNSET": msgspec.UNSET, "quotes": quotes, "long_number": LONG_NUMBER,
            "fetch": fetch, "moments": Moments(), "minutes": MINUTES, "seconds": SECONDS, "zones": ZONES,
        }  # fmt: skip
        self.lines: list[str] = []
        self.variables: dict[Steps, Var] = {}
        self.shapes: dict[Steps, Shape] = {}
        self.expected = dict(plan.expected)
        self.has_any = False
        self.keys = _keys(shape)
        self.rule_vars: dict[Steps, Var] = {}
        self.parts: dict[str, tuple[int, bool]] = {}

    def say(self, depth: int, text: str) -> None:
        """One line, indented."""
        self.lines.append("    " * depth + text)

    def constant(self, value: Any) -> str:
        """A name for ``value`` in the generated module."""
        name = f"k{len(self.constants)}"
        self.constants[name] = value
        return name

    def source(self) -> str:
        """The whole function."""
        self._fields(self.shape, "r", 3, ())
        body, self.lines = self.lines, []
        self._moments()
        self._verdict()
        tail, self.lines = self.lines, []
        self.say(0, "def run(lines, now, rows):")
        self.say(1, "doubtful = []; slow = doubtful.append; i = -1; note = rows.note; needs = rows.needs")
        self.say(
            1,
            "o_score = rows.score; o_comp = rows.completeness; o_acc = rows.accuracy; o_time = rows.timeliness",
        )
        self.say(1, "o_cons = rows.consistency; o_at = rows.times; o_tier = rows.tier")
        self.say(1, "l_decode = decode")
        if self._timely and self.plan.clock_field is None:
            clock = "now" if self.plan.clock_us is None else str(self.plan.clock_us)
            self.say(1, f"early = {clock} - {self.plan.spec.expected_every}; late = {clock} + {SKEW_US}")
        self.say(1, "for line in lines:")
        self.say(2, "i += 1")
        self.say(2, "try:")
        self.say(3, f"r = l_decode(line); n = {_quotes(self.shape)}; miss = 0")
        if self.has_any:
            self.say(3, f"if line.count(b'[') + line.count(b'{{') > {MAX_DEPTH}: {MISS}")
        self.lines += body
        self.say(3, "needs[i] = n")
        self.lines += tail
        self.say(2, "except Exception:")
        self.say(3, "slow(i)")
        self.say(1, "return doubtful")
        return _without_idle("\n".join(self.lines) + "\n")

    # -- the schema

    def _fields(self, shape: Shape, var: str, depth: int, above: Steps) -> None:
        for one in shape.fields:
            steps = (*above, one.name)
            name = "v" + "_".join([*(part for part in var[1:].split("_") if part), one.attr[1:]])
            self.say(depth, f"{name} = {var}.{one.attr}")
            self._field(one, name, depth, steps)

    def _field(self, one: Field, name: str, depth: int, steps: Steps) -> None:
        shape = one.shape
        weight = self.expected.get(steps, 0)
        optional = not one.required or shape.nullable
        self.variables[steps] = Var(name, shape.rule_type, optional or bool(steps[1:]))
        self.shapes[steps] = shape
        nested = shape.kind == "object"
        if nested:
            for inner in _names_below(shape, name):
                self.say(depth, f"{inner} = None")
        if not one.required:
            self.say(
                depth,
                f"if {name} is UNSET: n -= {2 + _own_quotes(shape)}; {name} = None"
                + self._missing(shape, weight, steps, nested),
            )
        word = "if" if one.required else "elif"
        if shape.nullable and shape.kind != "any":
            extra = self._missing(shape, weight, steps, nested)
            if own := _own_quotes(shape):
                extra = f"; n -= {own}" + extra
            if extra or not shape.decided or nested:
                self.say(depth, f"{word} {name} is None: " + (extra[2:] or "pass"))
                word = "elif"
        tests = self._tests(shape, name, steps, weight)
        if nested:
            self.say(depth, "else:" if word == "elif" else "if True:")
            self.say(depth + 1, f"n += {_quotes(shape)}")
            self._fields(shape, name, depth + 1, steps)
        elif tests:
            self.say(depth, "else:" if word == "elif" else "if True:")
            for test in tests:
                self.say(depth + 1, test)

    def _missing(self, shape: Shape, weight: int, steps: Steps, nested: bool) -> str:
        total = weight
        if nested:
            total += sum(
                value for key, value in self.expected.items() if key[: len(steps)] == steps and key != steps
            )
        return f"; miss += {total}" if total else ""

    def _tests(self, shape: Shape, name: str, steps: Steps, weight: int) -> list[str]:
        node = shape.node
        if shape.kind == "any":
            self.has_any = True
            test = self.constant(accepts(node))
            lost = [f"if {name} is None: miss += {weight}"] if weight else []
            below = {
                key: value
                for key, value in self.expected.items()
                if key[: len(steps)] == steps and key != steps
            }
            for key, value in below.items():
                rest = self.constant(key[len(steps) :])
                lost.append(f"if type({name}) is not dict or fetch({name}, {rest}) is None: miss += {value}")
            return [f"m = quotes({name})", f"if m < 0 or not {test}({name}): {MISS}", "n += m", *lost]
        if shape.kind == "object" or (shape.decided and shape.kind != "list"):
            return []
        if shape.kind == "list":
            test = self.constant(accepts(node))
            out = [] if shape.decided else [f"if not {test}({name}): {MISS}"]
            return [*out, f"n += quotes({name})"]
        return self._scalar(shape, name, steps)

    def _scalar(self, shape: Shape, name: str, steps: Steps) -> list[str]:
        node, out = shape.node, []
        if shape.kind == "float":
            return [self._bounds(shape, name, steps[-1])]
        if node.min_length is not None and node.enum is not None:
            out.append(f"if len({name}) < {node.min_length}: {MISS}")
        if node.max_length is not None and node.enum is not None:
            out.append(f"if len({name}) > {node.max_length}: {MISS}")
        if node.pattern is not None:
            out += self._remembered(node.pattern.test, name)
        if node.format_test is not None:
            if node.format == "date-time" and node.format_test is OWN["date-time"]:
                out.append(f"at_{name} = minutes[{name}[:16]] + seconds[{name}[16:19]] + zones[{name}[19:]]")
            else:
                out += self._remembered(node.format_test, name)
        return out

    def _bounds(self, shape: Shape, name: str, key: str) -> str:
        low, high = double_bounds(shape.node)
        strict = f"{low[0]!r} < {name}" if low is not None else name
        if high is not None:
            strict += f" < {high[0]!r}"
        equal = [
            f"{name} == {bound[0]!r} and not {self._surely(bound[0], key)}(line)"
            for bound in (low, high)
            if bound is not None and bound[1]
        ]
        # at a bound itself the double may be a rounding, so the text decides
        return f"if not {strict} and not ({' or '.join(equal) or 'False'}): {MISS}"

    def _surely(self, bound: float, key: str) -> str:
        """A test whether a line may hold a number that was rounded to ``bound``: False where its plain text stands there."""
        if self.keys.count(key) > 1 or json.dumps(key) != f'"{key}"':
            return "long_number"
        texts = [repr(bound), *([str(int(bound))] if bound.is_integer() else [])]
        plain = [f'"{key}":{blank}{text},'.encode() for text in texts for blank in (" ", "")]
        return self.constant(unless_plain(plain))

    def _remembered(self, test: Callable[[str], Any], name: str) -> list[str]:
        """Most texts repeat themselves, and a look-up costs a tenth of a test."""
        known = self.constant(set())
        return [f"if {name} not in {known}:", f"    if not {self.constant(test)}({name}): {MISS}",
                f"    if len({known}) < {ROOM} and len({name}) < {LONG}: {known}.add({name})"]  # fmt: skip

    # -- time

    def _moment(self, steps: Steps, into: str) -> bool:
        """Source that puts the µs of a field into ``into``, None where it is missing; the exact path if unreadable.

        Returns:
            Whether it may be None.
        """
        var, shape = self.variables.get(steps), self.shapes.get(steps)
        if var is None or shape is None:
            found = self._under_any(steps)
            self.say(3, f"{into} = {found}")
            if found is None:  # the schema has no such field, so a record that has it is on the exact path
                return True
        elif (
            shape.kind == "str"
            and shape.node.format == "date-time"
            and shape.node.enum is None
            and not steps[1:]
        ):
            missing = f"None if {var.name} is None else " if var.nullable else ""
            self.say(3, f"{into} = {missing}at_{var.name}")
            return var.nullable
        else:
            self.say(3, f"{into} = {var.name}")
        self.say(3, f"if {into} is not None:")
        self.say(4, f"{into} = moments[{into}]")
        self.say(4, f"if {into} is None: {MISS}")
        return True

    def _under_any(self, steps: Steps) -> str | None:
        for end in range(len(steps) - 1, 0, -1):
            var, shape = self.variables.get(steps[:end]), self.shapes.get(steps[:end])
            if var is not None and shape is not None and shape.kind == "any":
                rest = self.constant(steps[end:])
                return f"(fetch({var.name}, {rest}) if type({var.name}) is dict else None)"
        return None

    def _moments(self) -> None:
        plan, every = self.plan, self.plan.spec.expected_every
        if plan.event_time is None:
            return
        nullable = self._moment(plan.event_time, "at")
        if every is None:
            self.say(3, "o_at[i] = at")
            return
        tests = ["at is not None"] if nullable else []
        if plan.clock_field is not None:
            condition = "if clock is not None: " if self._moment(plan.clock_field, "clock") else ""
            self.say(3, f"{condition}early = clock - {every}; late = clock + {SKEW_US}")
            tests += ["clock is not None"] if condition else []
        if tests:
            self.say(3, f"if not ({' and '.join(tests)}): t = None")
        self.say(3, f"{'elif' if tests else 'if'} early <= at <= late: t = 1.0")
        self.say(3, f"elif at > late: {MISS}")
        self.say(3, f"else: t = 2.0 ** (-(early - at) / {every})")

    @property
    def _timely(self) -> bool:
        return self.plan.event_time is not None and self.plan.spec.expected_every is not None

    # -- rules

    def _rule_variables(self) -> None:
        for rule in self.plan.rules:
            for steps in rule.fields:
                if steps not in self.rule_vars:
                    self.rule_vars[steps] = self._rule_variable(steps, len(self.rule_vars))

    def _rule_variable(self, steps: Steps, index: int) -> Var:
        var, shape = self.variables.get(steps), self.shapes.get(steps)
        if var is not None and shape is not None and shape.kind in ("int", "float", "str", "bool"):
            return var
        name = f"x{index}"
        load = self.constant(loader(node_at(self.plan.root, steps)))
        if var is not None and shape is not None and shape.kind == "object":
            self.say(3, f"{name} = {self.constant(_as_dict)}({var.name}, {self.constant(shape)})")
            return Var(name)
        source = var.name if var is not None else self._under_any(steps) or "None"
        self.say(3, f"{name} = {load}({source})")
        return Var(name)

    # -- the score

    def _verdict(self) -> None:
        """The rules, the score, the tier. Where all rules hold and the time is right, only completeness is left."""
        self._rule_variables()
        rules = RuleLines(self.plan, self.rule_vars, self.constant)
        names = [self.variables[(name,)] for name in self.plan.constrained]
        sure = any(not var.nullable for var in names)
        if names and not sure and not rules.totals[1]:
            known = " or ".join(f"{var.name} is not None" for var in names)
            self.say(3, f"a = 1.0 if {known} else None")
        self._parts(rules, names, sure)
        whole = all(rules.sure(0) if kind == 0 else sure for kind in (0, 1) if rules.totals[kind])
        if not self.plan.rules:
            self._perfect(3, [], names, sure, rules)
        elif whole:
            self.say(3, f"if {rules.all_hold()}:")
            held = [
                f"{name} = 1.0" for name, total in (("s", rules.totals[0]), ("a", rules.totals[1])) if total
            ]
            self._perfect(4, [*held, "why = None; spoiled = False"], names, sure, rules)
            self.say(3, "else:")
            self._one_by_one(4, rules, names)
        else:
            self._one_by_one(3, rules, names)
        self.constants |= rules.constants
        self._weigh()
        self._tier()
        if self.plan.expected_total:
            self.say(3, "if miss: o_comp[i] = c")
        if rules.totals[0]:
            self.say(3, "if s != 1.0: o_cons[i] = s")
        if "a" in self.parts:
            self.say(3, "if a != 1.0: o_acc[i] = a")
        if self._timely:
            self.say(3, "o_time[i] = t; o_at[i] = at")
        if self.plan.rules:
            self.say(3, "if why is not None: note(i, why)")

    def _parts(self, rules: RuleLines, names: list[Var], sure: bool) -> None:
        """What the score adds up: name or value -> (weight, may be None), in the order of ``core.tiers.MEASURES``."""
        weights = self.plan.weights
        if self.plan.expected_total:
            self.parts["c"] = (weights[0], False)
        if rules.totals[1] or (names and not sure):
            self.parts["a"] = (weights[1], not sure)
        elif names:
            self.parts["1.0"] = (weights[1], False)
        if self._timely:
            self.parts["t"] = (weights[2], True)
        self.parts["1.00"] = (weights[3], False)
        if rules.totals[0]:
            self.parts["s"] = (weights[4], not rules.sure(0))

    def _perfect(self, depth: int, held: list[str], names: list[Var], sure: bool, rules: RuleLines) -> None:
        """Nothing broken and on time: the row is as it was made, but for what is missing."""
        tests = ["t == 1.0"] if self._timely else []
        if names and not sure and not rules.totals[1]:
            tests.append("a is not None")
        if sum(weight for weight, _ in self.parts.values()):
            inside = depth + bool(tests)
            if tests:
                self.say(depth, f"if {' and '.join(tests)}:")
            if self._timely:
                self.say(inside, "o_at[i] = at")
            if self.plan.expected_total:
                table = self.constant(Incomplete(self.plan, tuple(name for name in self.parts)))
                self.say(inside, "if miss:")
                self.say(inside + 1, f"c, score, tier = {table}[miss]")
                self.say(inside + 1, f"if not tier: {MISS}")
                self.say(inside + 1, "o_comp[i] = c; o_score[i] = score; o_tier[i] = tier")
            self.say(inside, "continue")
        for line in held:
            self.say(depth, line)

    def _one_by_one(self, depth: int, rules: RuleLines, names: list[Var]) -> None:
        for line in rules.one_by_one(MISS):
            self.say(depth, line)
        if rules.totals[1]:
            unit = self.plan.rule_weights[0]
            sure = sum(unit for var in names if not var.nullable)
            terms = [f"({unit} if {var.name} is not None else 0)" for var in names if var.nullable]
            self.say(depth, f"m = {' + '.join([str(sure), 'ap1', *terms])}")
            self.say(depth, "a = (m - br1) / m if m else None")
        if rules.totals[0]:
            self.say(depth, "s = (ap0 - br0) / ap0 if ap0 else None")

    def _weigh(self) -> None:
        """The same additions in the same order as ``measures.score``, so that both give the same bits."""
        if self.plan.expected_total:
            self.say(
                3, f"c = ({self.plan.expected_total} - miss) / {self.plan.expected_total} if miss else 1.0"
            )
        parts = self.parts
        sure = sum(weight for weight, nullable in parts.values() if not nullable)
        nullable = [name for name, (_, may) in parts.items() if may]
        whole = sum_of(parts)
        if not nullable:
            self.say(3, f"score = {whole}")
            return
        self.say(3, f"if {' and '.join(f'{name} is not None' for name in nullable)}: score = {whole}")
        self.say(3, "else:")
        self.say(4, f"p = 0.0; w = {sure}")
        for name, (weight, may) in parts.items():
            if may:
                self.say(4, f"if {name} is not None: p += {weight} * {name}; w += {weight}")
            else:
                self.say(4, f"p += {weight} * {name}")
        self.say(4, "score = p / w if w else 0.0")

    def _tier(self) -> None:
        gold, silver, bronze = self.plan.spec.thresholds
        spoil = bool(self.plan.rules)
        self.say(3, f"if score >= {gold!r}:" + (" " if spoil else " pass"))
        if spoil:
            self.say(4, "if spoiled: o_tier[i] = 2")
        self.say(3, f"elif score >= {silver!r}: o_tier[i] = 2")
        self.say(3, f"elif score >= {bronze!r}: o_tier[i] = 1")
        self.say(3, f"else: {MISS}")
        self.say(3, "o_score[i] = score")


class Incomplete(dict[int, tuple[float, float, int]]):
    """Weight missing -> (completeness, score, tier) of a record whose other measures are all 1, or do not apply."""

    def __init__(self, plan: Plan, names: tuple[str, ...]) -> None:
        super().__init__()
        self.plan, self.names = plan, names

    def __missing__(self, miss: int) -> tuple[float, float, int]:
        total, names = self.plan.expected_total, self.names
        complete = (total - miss) / total
        accurate = 1.0 if "a" in names or "1.0" in names else None
        timely, consistent = (1.0 if name in names else None for name in "ts")
        value = score(self.plan.weights, (complete, accurate, timely, 1.0, consistent))
        found = (complete, value, int(tier_of(self.plan, value)))
        if len(self) < ROOM:
            self[miss] = found
        return found


def sum_of(parts: dict[str, tuple[int, bool]]) -> str:
    """The weighted mean of all parts as source."""
    total = sum(weight for weight, _ in parts.values())
    plain = " + ".join(f"{weight} * {name}" for name, (weight, _) in parts.items())
    return f"({plain}) / {total}" if total else "0.0"


def _without_idle(source: str) -> str:
    """The source without reading what nobody asks for."""
    times = Counter(re.findall(r"\bv[0-9_]+\b", source))
    return "".join(
        line for line in source.splitlines(keepends=True)
        if (found := re.fullmatch(r" *(v[0-9_]+) = [rv0-9_]+\.f[0-9]+\n", line)) is None or times[found[1]] > 1
    )  # fmt: skip


def _own_quotes(shape: Shape) -> int:
    """Quotes around a value itself."""
    return 2 if shape.kind == "str" else 0


def _quotes(shape: Shape) -> int:
    """Quotes of an object with every property present and no null, without what lists and objects hold."""
    return sum(2 + _own_quotes(one.shape) for one in shape.fields)


def _keys(shape: Shape) -> list[str]:
    """Every key a record can have on this path; values tested by the exact path may hold any, so their keys count twice."""
    found: list[str] = []
    for one in shape.fields:
        found.append(one.name)
        found += _keys(one.shape)
        if one.shape.kind == "any" and one.shape.node.types != frozenset({"number"}):
            return found * 2
    return found


def _names_below(shape: Shape, name: str) -> list[str]:
    found = []
    for one in shape.fields:
        inner = f"{name}_{one.attr[1:]}"
        found.append(inner)
        if one.shape.kind == "object":
            found += _names_below(one.shape, inner)
    return found


def _as_dict(value: Any, shape: Shape) -> dict[str, Any] | None:
    if value is None:
        return None
    found = {}
    for one in shape.fields:
        part = getattr(value, one.attr)
        if part is not msgspec.UNSET:
            found[one.name] = _as_dict(part, one.shape) if one.shape.kind == "object" else part
    return found


def explain(plan: Plan, shape: Shape | None) -> dict[str, Any]:
    """What runs how: ``fields`` says generated, exact (our own functions) or jsonschema-rs for each property."""
    kinds = {one.name: one.shape for one in shape.fields} if shape is not None else {}
    fields = {}
    for name, node in plan.root.properties.items():
        foreign = any(part.foreign is not None for part in node.walk())
        spelled = name in kinds and kinds[name].kind != "any"
        fields[name] = "jsonschema-rs" if foreign else "generated" if spelled else "exact"
    nodes = list(plan.root.walk())
    return {
        "fast": shape is not None,
        "fields": fields,
        "compiled": sorted({word for node in nodes for word in node.compiled}),
        "jsonschema-rs": {node.path or "/": sorted(node.left) for node in nodes if node.left},
        "patterns": {node.path: node.pattern.engine for node in nodes if node.pattern is not None},
        "rules": [rule.rule.id for rule in plan.rules],
    }
