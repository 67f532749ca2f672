"""The exact path written for one schema: the same verdict as ``quality.exact.judge_exactly``, in a third of its time.

The generated function reads a record once, says of every field whether it is good for certain, and leaves what is not to
``quality.check``. It gives up (None, or any exception) where the text itself is in doubt: the careful reader decides then.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from quality.caches import LONG, MINUTES, ROOM, SECONDS, ZONES, quotes_in
from quality.check import check
from quality.exact import Verdict, conclude
from quality.formats import OWN
from quality.measures import LOSS, SKEW_US, Plan, accuracy_units, compliance, recency, run_rules
from quality.model import Node
from quality.numbers import INT64_MAX, INT64_MIN, fraction
from quality.reading import MAX_DEPTH, quotes
from quality.reasons import Why
from quality.rule_code import Var
from quality.rule_lines import RuleLines
from quality.rule_runtime import NAMES
from quality.rules import Steps, fetch, loader, node_at

Exact = Callable[[bytes, int], "Verdict | None"]
_PLAIN = frozenset({str, int, float, bool, type(None)})


def generate_exact(plan: Plan) -> tuple[Exact | None, str]:
    """The function (record, arrival in µs) -> verdict, and its source; None where the root is no plain object schema."""
    root = plan.root
    if root.foreign is not None or root.nothing or root.enum is not None or not root.allows("object"):
        return None, ""
    if root.min_properties is not None or root.max_properties is not None:
        return None, ""
    writer = _Writer(plan)
    source = writer.source()
    space: dict[str, Any] = {**NAMES, **writer.constants}
    exec(compile(source, "<generated exact judge>", "exec"), space)
    return space["judge"], source


def stamp(text: str) -> int | None:
    """µs since 1970 of an RFC 3339 stamp; None where the long way has to look."""
    try:
        return MINUTES[text[:16]] + SECONDS[text[16:19]] + ZONES[text[19:]]
    except (TypeError, KeyError):
        return None


class _Writer:
    """Holds the source while it grows; ``v0``, ``v1`` … are the fields, ``at0`` … their moments."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.expected = dict(plan.expected)
        self.read = {steps for steps, _ in plan.loads}
        self.lines: list[str] = []
        self.variables: dict[Steps, Var] = {}
        self.stamps: dict[Steps, str] = {}
        self.constants: dict[str, Any] = {
            "decode": msgspec.json.Decoder(float_hook=fraction).decode, "plain": _PLAIN.issuperset, "quotes": quotes,
            "quotes_in": quotes_in, "stamp": stamp, "fetch": fetch, "plan": plan, "ROOT": plan.root, "check": check,
            "suspects": suspects, "recency": recency, "conclude": conclude, "cost": cost,
            "run_rules": run_rules,
        }  # fmt: skip

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
        self._reading()
        for index, (name, node) in enumerate(self.plan.root.properties.items()):
            self._field(f"v{index}", name, node)
        self._elsewhere()
        self._findings()
        self._time()
        self._rules()
        self._end()
        return "\n".join(self.lines) + "\n"

    def _reading(self) -> None:
        self.say(0, "def judge(line, now):")
        self.say(1, "d = decode(line)")
        self.say(1, "if type(d) is not dict: return None")
        self.say(1, "kinds = list(map(type, d.values()))")
        self.say(1, "if plain(kinds): n = 2 * (len(d) + kinds.count(str))")
        self.say(1, f"elif line.count(b'[') + line.count(b'{{') > {MAX_DEPTH}: return None")
        self.say(1, "else: n = quotes(d)")
        self.say(1, "if line.count(b'\"') != n and quotes_in(line) != n: return None")
        self.say(1, "get = d.get; bad = []; gone = miss = m = 0; lack = odd = False")

    # -- the fields

    def _field(self, var: str, name: str, node: Node) -> None:
        """Read one field: what it lacks, whether it counts, whether it is good for certain."""
        key = repr(name)
        weight = self.expected.get((name,), 0)
        required = name in self.plan.root.required
        nullable = (node.types is None or "null" in node.types) and (node.enum is None or None in node.enum)
        tests = _tests(node, var, self.constant)
        self.say(1, f"{var} = get({key})")
        self.say(1, f"if {var} is None:")
        if weight:
            self.say(2, f"miss += {weight}")
        self.say(2, f"if {key} not in d: gone += 1" + ("; lack = True" if required else ""))
        if not (nullable and tests):
            self.say(2, f"else: bad.append({key})")
        self.say(1, "else:")
        if name in self.plan.constrained:
            self.say(2, f"m += {self.plan.rule_weights[0]}")
        if not tests:
            self.say(2, f"bad.append({key})")
            return
        kind, lines = tests
        self.variables[(name,)] = Var(var, kind)
        if any(line.startswith("at_") for line in lines):
            self.stamps[(name,)] = f"at_{var}"
        odd = "odd = True; " if (name,) in self.read else ""
        for line in lines:
            self.say(2, line.replace("BAD", f"bad.append({key})").replace("ODD; ", odd))

    def _elsewhere(self) -> None:
        """What is not a property of the schema's top level."""
        root = self.plan.root
        for name in root.required:
            if name not in root.properties:
                self.say(1, f"if {name!r} not in d: lack = True")
        for steps, weight in self.plan.expected:
            if weight and (len(steps) > 1 or steps[0] not in root.properties):
                self.say(1, f"if fetch(d, {steps!r}) is None: miss += {weight}")
        self.say(1, f"more = len(d) != {len(root.properties)} - gone")
        if root.additional is not None:
            self.say(1, "if more: return None")
        else:
            self.say(1, "if more and quotes(d) < 0: return None")

    def _findings(self) -> None:
        self.say(1, "found = suspects(ROOT, d, bad, lack) if bad or lack else []")
        self.say(1, "if found is None: return None")
        self.say(1, "if found: complied, lost = cost(plan, d, found)")
        self.say(1, "else: complied = 1.0; lost = 0")

    # -- time, rules, score

    def _time(self) -> None:
        plan, every = self.plan, self.plan.spec.expected_every
        self.say(1, "reasons = found[:]")
        at = self.stamps.get(plan.event_time) if plan.event_time is not None else None
        if at is None or plan.clock_field is not None:
            self.say(1, "at, t = recency(plan, d, now, reasons)")
            return
        name = self.variables[plan.event_time].name  # type: ignore[index]  # it has a stamp
        clock = "now" if plan.clock_us is None else str(plan.clock_us)
        self.say(1, f"at = None if {name} is None else {at}")
        if every is None:
            self.say(1, "if at is not None: t = None")
        else:
            self.say(1, f"if at is not None and {clock} - {every} <= at <= {clock} + {SKEW_US}: t = 1.0")
        self.say(1, "else: at, t = recency(plan, d, now, reasons)")

    def _rules(self) -> None:
        plan = self.plan
        if not plan.rules:
            return
        variables: dict[Steps, Var] = {}
        loads = []
        for steps in dict.fromkeys(steps for rule in plan.rules for steps in rule.fields):
            known = self.variables.get(steps)
            if known is None:
                known = Var(f"x{len(variables)}")
                load = self.constant(loader(node_at(plan.root, steps)))
                loads.append(f"{known.name} = {load}(fetch(d, {steps!r}))")
            variables[steps] = known
        rules = RuleLines(plan, variables, self.constant)
        self.say(1, "if odd:")
        self.say(2, "(ap0, ap1), (br0, br1), spoiled = run_rules(plan, d, reasons)")
        self.say(1, "else:")
        for line in [*loads, *rules.one_by_one(None)]:
            self.say(2, line)
        self.say(2, "if why is not None: reasons += why")
        self.constants |= rules.constants

    def _end(self) -> None:
        plan = self.plan
        total = plan.expected_total
        self.say(1, f"c = ({total} - miss) / {total}" if total else "c = None")
        if plan.rules:
            self.say(1, "s = (ap0 - br0) / ap0 if ap0 else None")
            self.say(1, "lost += br1; m += ap1")
        else:
            self.say(1, "s = None; spoiled = False")
        self.say(1, "a = (m - lost) / m if m else None")
        self.say(1, "return conclude(plan, d, found, reasons, (c, a, t, complied, s), at, spoiled, more)")


def suspects(root: Node, document: dict[str, Any], names: list[str], lack: bool) -> list[Why] | None:
    """What the schema holds against the named fields, as ``check`` of the whole record would say it.

    Args:
        names: fields that may be wrong; every other one is right.
        lack: a required field is missing.

    Returns:
        None where an integer is so long that the careful reader has to see it.
    """
    found: list[Why] = []
    if lack:
        for name in root.required:
            if name not in document:
                path = "/" + name.replace("~", "~0").replace("/", "~1")
                found.append((path, "required", "critical", "present", "missing", f"`{name}` is required"))
    if len(names) > 1:
        names.sort(key=list(document).index)
    for name in names:
        value = document[name]
        kind = type(value)
        if kind is not str and kind is not float and quotes(value) < 0:
            return None
        check(root.properties[name], value, (("",), name), found, name in root.required, root.pii)
    return found


def cost(plan: Plan, document: dict[str, Any], found: list[Why]) -> tuple[float, int]:
    """Compliance, and what accuracy loses, by what the schema holds against a record."""
    path, severity = found[0][0], found[0][2]
    if len(found) > 1 or path.count("/") != 1:
        return compliance(plan, found), accuracy_units(plan, document, found)
    name = path[1:]
    count = 2 * len(plan.root.properties) or 2
    lost = name in plan.constrained and severity != "info" and document.get(name) is not None
    return max(0, count - LOSS[severity]) / count, lost * plan.rule_weights[0]


def _tests(node: Node, var: str, constant: Callable[[Any], str]) -> tuple[str, list[str]] | None:
    """(type for rules, lines) of a plain scalar that is not null; None for any other node.

    A line says ``BAD`` where the value may be wrong, and ``ODD`` where it has not the type that rules expect.
    """
    if node.foreign is not None or node.nothing or node.decimal is not None or node.multiple_of is not None:
        return None
    types = None if node.types is None else set(node.types - {"null"})
    if node.enum is not None:
        return _choice(node, types, var, constant)
    if types == {"string"}:
        return _text(node, var, constant)
    if types == {"boolean"}:
        return "bool", [f"if type({var}) is not bool: ODD; BAD"]
    bounds = (node.minimum, node.maximum, node.exclusive_minimum, node.exclusive_maximum)
    if (
        types is None
        or not types
        or not types <= {"integer", "number"}
        or any(type(b) is Decimal for b in bounds)
    ):
        return None
    signs = zip(bounds, (">=", "<=", ">", "<"), strict=True)
    tests = [f"{var} {sign} {bound!r}" for bound, sign in signs if bound is not None]
    within = " and ".join([f"{INT64_MIN} <= {var} <= {INT64_MAX}", *tests])
    if types == {"integer"}:
        return "num", [f"if type({var}) is not int: ODD; BAD", f"elif not ({within}): BAD"]
    return "num", [
        f"if type({var}) is float:" + (" pass" if not tests else ""),
        *([f"    if not ({' and '.join(tests)}): BAD"] if tests else []),
        f"elif type({var}) is int:",
        f"    if not ({within}): BAD",
        f"    {var} = float({var})",
        "else: ODD; BAD",
    ]


def _choice(
    node: Node, types: set[str] | None, var: str, constant: Callable[[Any], str]
) -> tuple[str, list[str]] | None:
    words = [value for value in node.enum or () if value is not None]
    plain = (
        node.pattern is None
        and node.format_test is None
        and node.min_length is None
        and node.max_length is None
    )
    if not plain or types not in (None, {"string"}) or any(type(word) is not str for word in words):
        return None
    known = constant(frozenset(words))
    return "str", [f"if type({var}) is not str: ODD; BAD", f"elif {var} not in {known}: BAD"]


def _text(node: Node, var: str, constant: Callable[[Any], str]) -> tuple[str, list[str]]:
    first = f"if type({var}) is not str: ODD; BAD"
    tests = []
    if node.min_length is not None:
        tests.append(f"len({var}) >= {node.min_length}")
    if node.max_length is not None:
        tests.append(f"len({var}) <= {node.max_length}")
    if node.pattern is not None:
        tests.append(f"{constant(node.pattern.test)}({var})")
    moment = node.format_test is not None and node.format_test is OWN["date-time"]
    if moment:
        tests.append(f"at_{var} is not None")
    elif node.format_test is not None:
        tests.append(f"{constant(node.format_test)}({var})")
    if not tests:
        return "str", [first]
    lines = [f"at_{var} = stamp({var}) if type({var}) is str else None"] if moment else []
    if moment or (node.pattern is None and node.format_test is None):
        return "str", [*lines, first, f"elif not ({' and '.join(tests)}): BAD"]
    known = constant(set())
    return "str", [first, f"elif {var} not in {known}:", f"    if not ({' and '.join(tests)}): BAD",
                   f"    elif len({known}) < {ROOM} and len({var}) < {LONG}: {known}.add({var})"]  # fmt: skip
