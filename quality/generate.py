"""Python written from a schema and its rules: one loop that judges a batch, record after record.

What it vouches for is certain: a record goes to the exact path as soon as anything is in doubt (a type that differs, a
key that is unknown or repeated, a number that may have been rounded at a bound, a critical rule).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from quality.caches import LONG_NUMBER, Moments, Stamps, quotes_in, remembering, unless_plain
from quality.check import accepts
from quality.formats import OWN
from quality.measures import SKEW_US, Plan, timeliness
from quality.numbers import fraction
from quality.reading import MAX_DEPTH, quotes
from quality.rule_code import Emitter, Var, strict_fields
from quality.rule_runtime import NAMES
from quality.rules import CompiledRule, Steps, fetch, loader, node_at
from quality.shapes import Field, Shape, double_bounds, struct_of

MISS = "slow(i); continue"


@dataclass(frozen=True, slots=True)
class FastPath:
    """The generated function, or None, and what it covers."""

    run: Callable[[list[bytes], int, Any], list[int]] | None
    explain: dict[str, Any]
    accuracy: float | None = 1.0
    """What accuracy is for a record without remark; None: never applies."""
    consistency: float | None = 1.0
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
    return FastPath(
        space["run"], explain(plan, shape), writer.perfect_accuracy, writer.perfect_consistency, source
    )


class _Writer:
    """Holds the source while it grows."""

    def __init__(self, plan: Plan, shape: Shape) -> None:
        self.plan, self.shape = plan, shape
        self.constants: dict[str, Any] = {
            "decode": msgspec.json.Decoder(shape.type, float_hook=fraction).decode,
            "UNSET": msgspec.UNSET, "quotes": quotes, "quotes_in": quotes_in, "long_number": LONG_NUMBER,
            "timeliness": timeliness, "fetch": fetch, "stamps": (stamps := Stamps()), "moments": Moments(),
            "heads": stamps.heads.get, "tails": stamps.tails.get, "learn": stamps.learn,
        }  # fmt: skip
        self.lines: list[str] = []
        self.variables: dict[Steps, Var] = {}
        self.shapes: dict[Steps, Shape] = {}
        self.expected = dict(plan.expected)
        self.has_any = False
        self.keys = _keys(shape)
        by_measure = [[], []]  # type: list[list[int]]
        for rule, weight in zip(plan.rules, plan.rule_weights[1:], strict=True):
            by_measure[rule.rule.measure == "accuracy"].append(weight)
        self.consistency_total, self.accuracy_total = sum(by_measure[0]), sum(by_measure[1])
        self.perfect_accuracy = 1.0 if plan.constrained or self.accuracy_total else None
        self.perfect_consistency = 1.0 if self.consistency_total else None

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
        self._rules()
        self._score()
        tail, self.lines = self.lines, []
        self.say(0, "def run(lines, now, rows):")
        self.say(1, "doubtful = []; slow = doubtful.append; i = -1; notes = rows.notes; note = rows.note")
        self.say(
            1,
            "o_score = rows.score; o_comp = rows.completeness; o_acc = rows.accuracy; o_time = rows.timeliness",
        )
        self.say(1, "o_cons = rows.consistency; o_at = rows.times; o_tier = rows.tier")
        self.say(1, "l_decode = decode")
        self.say(1, "for line in lines:")
        self.say(2, "i += 1")
        self.say(2, "try:")
        self.say(3, f"r = l_decode(line); n = {_quotes(self.shape)}; miss = 0")
        if self.has_any:
            self.say(3, f"if line.count(b'[') + line.count(b'{{') > {MAX_DEPTH}: {MISS}")
        self.lines += body
        self.say(3, "if line.count(b'\"') != n and quotes_in(line) != n: " + MISS)
        self.lines += tail
        self.say(2, "except Exception:")
        self.say(3, "slow(i)")
        self.say(1, "return doubtful")
        return "\n".join(self.lines) + "\n"

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
            out.append(self._remembered(node.pattern.test, name))
        if node.format_test is not None:
            if node.format == "date-time" and node.format_test is OWN["date-time"]:
                out.append(f"a_{name} = heads({name}[:16]); b_{name} = tails({name}[16:])")
                out.append(f"if a_{name} is None or b_{name} is None:")
                out.append(f"    a_{name} = learn({name}); b_{name} = 0")
                out.append(f"    if a_{name} is None: {MISS}")
            else:
                out.append(self._remembered(node.format_test, name))
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

    def _remembered(self, test: Callable[[str], Any], name: str) -> str:
        known: set[str] = set()
        known_name, once = self.constant(known), self.constant(remembering(test, known))
        return f"if {name} not in {known_name} and not {once}({name}): {MISS}"

    # -- time

    def _moment(self, steps: Steps, into: str) -> None:
        """Source that puts the µs of a field into ``into``, None where it is missing; the exact path if unreadable."""
        var, shape = self.variables.get(steps), self.shapes.get(steps)
        if var is None or shape is None:
            found = self._under_any(steps)
            if found is None:  # the schema has no such field, so a record that has it is on the exact path
                self.say(3, f"{into} = None")
                return
            self.say(3, f"{into} = {found}")
        elif (
            shape.kind == "str"
            and shape.node.format == "date-time"
            and shape.node.enum is None
            and not steps[1:]
        ):
            self.say(
                3,
                f"{into} = "
                + (f"None if {var.name} is None else " if var.nullable else "")
                + f"a_{var.name} + b_{var.name}",
            )
            return
        else:
            self.say(3, f"{into} = {var.name}")
        self.say(3, f"if {into} is not None:")
        self.say(4, f"{into} = moments[{into}]")
        self.say(4, f"if {into} is None: {MISS}")

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
        self._moment(plan.event_time, "at")
        if every is None:
            self.say(3, "o_at[i] = at")
            return
        clock = "now" if plan.clock_us is None else str(plan.clock_us)
        if plan.clock_field is not None:
            self._moment(plan.clock_field, "clock")
            clock = "clock"
        self.say(3, "t = None")
        nullable = " and clock is not None" if plan.clock_field is not None else ""
        self.say(3, f"if at is not None{nullable}:")
        self.say(4, f"age = {clock} - at")
        self.say(4, f"if age <= {every}:")
        self.say(5, f"if age < {-SKEW_US}: {MISS}")
        self.say(5, "t = 1.0")
        self.say(4, f"else: t = 2.0 ** (-(age - {every}) / {every})")

    # -- rules

    def _variable(self, steps: Steps, column: int) -> Var:
        return self.rule_vars[steps]

    def _rules(self) -> None:
        plan = self.plan
        self.rule_vars: dict[Steps, Var] = {}
        if not plan.rules:
            return
        self.say(
            3,
            f"ap0 = {self.consistency_total}; br0 = 0; ap1 = {self.accuracy_total}; br1 = 0; why = None; spoiled = False",
        )
        for rule in plan.rules:
            for steps in rule.fields:
                if steps not in self.rule_vars:
                    self.rule_vars[steps] = self._rule_variable(steps, len(self.rule_vars))
        for index, (rule, weight) in enumerate(zip(plan.rules, plan.rule_weights[1:], strict=True)):
            self._rule(index, rule, weight)

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

    def _rule(self, index: int, rule: CompiledRule, weight: int) -> None:
        strict = strict_fields(rule.check) | (strict_fields(rule.when) if rule.when is not None else set())
        guarded = [steps for steps in rule.fields if steps in strict and self.rule_vars[steps].nullable]
        emitter = Emitter(self._variable, prefix=f"q{index}_", known=frozenset(strict))
        check = emitter.boolean(rule.check, "a check")
        tests = [f"{self.rule_vars[steps].name} is not None" for steps in guarded]
        if rule.when is not None:
            when = emitter.boolean(rule.when, "a condition")
            tests.append(f"{when.src} is True" if when.nullable else when.src)
        kind = int(rule.rule.measure == "accuracy")
        skipped = f"ap{kind} -= {weight}"
        depth = 3
        if tests:
            self.say(depth, f"if {' and '.join(tests)}:")
            depth += 1
        if check.nullable:
            self.say(depth, f"q = {check.src}")
            self.say(depth, f"if q is None: {skipped}")
            self.say(depth, "elif not q:")
        else:
            self.say(depth, f"if not {check.src}:")
        self._broken(depth + 1, rule, weight, kind)
        if tests and weight:
            self.say(3, f"else: {skipped}")
        self.constants |= emitter.constants

    def _broken(self, depth: int, rule: CompiledRule, weight: int, kind: int) -> None:
        if rule.severity == "critical":
            self.say(depth, MISS)
            return
        values = "".join(f"{self.rule_vars[steps].name}, " for steps in rule.fields)
        spoils = "" if rule.severity == "info" else "; spoiled = True"
        self.say(depth, f"br{kind} += {weight}{spoils}")
        self.say(depth, "if why is None: why = []")
        self.say(depth, f"why.append({self.constant(rule.reason)}(({values})))")

    # -- the score

    def _score(self) -> None:
        plan = self.plan
        parts: list[tuple[str, int, bool]] = []
        if plan.expected_total:
            self.say(3, "c = 1.0")
            self.say(3, f"if miss: c = ({plan.expected_total} - miss) / {plan.expected_total}")
            parts.append(("c", plan.weights[0], False))
        self._accuracy(parts)
        if plan.event_time is not None and plan.spec.expected_every is not None:
            parts.append(("t", plan.weights[2], True))
        parts.append(("1.0", plan.weights[3], False))
        if self.consistency_total:
            self.say(3, "s = 1.0 if not br0 and ap0 else (ap0 - br0) / ap0 if ap0 else None")
            parts.append(("s", plan.weights[4], True))
        self._weigh(parts)
        self._tier()
        if plan.expected_total:
            self.say(3, "if miss: o_comp[i] = c")
        else:
            self.say(3, "o_comp[i] = None")
        if self.consistency_total:
            self.say(3, "if s != 1.0: o_cons[i] = s")
        if plan.event_time is not None and plan.spec.expected_every is not None:
            self.say(3, "o_time[i] = t; o_at[i] = at")
        if plan.rules:
            self.say(3, "if why is not None: note(i, why)")

    def _accuracy(self, parts: list[tuple[str, int, bool]]) -> None:
        plan = self.plan
        names = [self.variables[(name,)] for name in plan.constrained]
        weight = plan.weights[1]
        if self.accuracy_total:
            unit = plan.rule_weights[0]
            sure = sum(unit for var in names if not var.nullable)
            terms = [f"({unit} if {var.name} is not None else 0)" for var in names if var.nullable]
            self.say(3, f"m = {' + '.join([str(sure), 'ap1', *terms])}")
            self.say(3, "a = (m - br1) / m if m else None")
            self.say(3, "o_acc[i] = a")
            parts.append(("a", weight, True))
        elif any(not var.nullable for var in names):
            parts.append(("1.0", weight, False))
        elif names:
            self.say(3, f"a = 1.0 if {' or '.join(f'{var.name} is not None' for var in names)} else None")
            self.say(3, "if a is None: o_acc[i] = None")
            parts.append(("a", weight, True))

    def _weigh(self, parts: list[tuple[str, int, bool]]) -> None:
        """The same additions in the same order as ``measures.score``, so that both give the same bits."""
        sure = sum(weight for _, weight, nullable in parts if not nullable)
        total = sure + sum(weight for _, weight, nullable in parts if nullable)
        nullable = [name for name, _, may in parts if may]
        plain = " + ".join(f"{weight} * {name}" for name, weight, _ in parts)
        whole = f"({plain}) / {total}" if total else "0.0"
        if not nullable:
            self.say(3, f"score = {whole}")
            return
        self.say(3, f"if {' and '.join(f'{name} is not None' for name in nullable)}: score = {whole}")
        self.say(3, "else:")
        self.say(4, f"p = 0.0; w = {sure}")
        for name, weight, may in parts:
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
