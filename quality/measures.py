"""The five measures and the tier of one record, from what the exact path found (docs/quality.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from core.tiers import Tier
from quality.caches import Moments
from quality.model import Node
from quality.reasons import Why
from quality.rules import CompiledRule, Steps, fetch, loader, node_at
from quality.spec import JudgeSpec, whole

SKEW_US = 5 * 60 * 1_000_000
"""A record this much ahead of the clock is believed; more is a fault."""
LOSS = {"critical": 2, "major": 2, "minor": 1, "info": 0}
"""What a field's worst violation costs compliance, in halves of a field."""

REJECTED, BRONZE, SILVER, GOLD = (int(tier) for tier in sorted(Tier))

_moments = Moments()

Measures = tuple[float | None, float | None, float | None, float | None, float | None]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything both paths need to score: integers, so that sums are exact and equal whatever the order."""

    spec: JudgeSpec
    root: Node
    rules: tuple[CompiledRule, ...]
    expected: tuple[tuple[Steps, int], ...]
    expected_total: int
    rule_weights: tuple[int, ...]
    constrained: tuple[str, ...]
    weights: tuple[int, ...]
    event_time: Steps | None
    clock_field: Steps | None
    clock_us: int | None
    loads: tuple[tuple[Steps, Callable[[Any], Any]], ...]
    """The fields that rules read, each once, and how they see its value."""
    reads: tuple[tuple[int, ...], ...]
    """For each rule, which of ``loads`` it reads."""
    masked: bool
    """Some field is marked ``x-pii``, so bytes that cannot be read are not shown either."""


def make_plan(spec: JudgeSpec, root: Node, rules: tuple[CompiledRule, ...]) -> Plan:
    """The plan of a dataset."""
    expected = spec.expected if spec.expected is not None else tuple((name, 1.0) for name in root.properties)
    weights: dict[Steps, int] = {}
    for (name, _), weight in zip(expected, whole([weight for _, weight in expected]), strict=True):
        steps = path_steps(root, name)
        weights[steps] = weights.get(steps, 0) + weight
    read = tuple(dict.fromkeys(steps for rule in rules for steps in rule.fields))
    return Plan(
        spec=spec,
        root=root,
        rules=rules,
        expected=tuple(weights.items()),
        expected_total=sum(weights.values()),
        rule_weights=tuple(whole([1.0, *(rule.rule.weight for rule in rules)])),
        constrained=tuple(name for name, node in root.properties.items() if node.constrained),
        weights=tuple(whole(spec.weights)),
        event_time=None if spec.event_time is None else path_steps(root, spec.event_time),
        clock_field=None if spec.clock_field is None else path_steps(root, spec.clock_field),
        clock_us=spec.clock_us,
        loads=tuple((steps, loader(node_at(root, steps))) for steps in read),
        reads=tuple(tuple(map(read.index, rule.fields)) for rule in rules),
        masked=any(node.pii for node in root.walk()),
    )


def path_steps(root: Node, name: str) -> Steps:
    """``a.b`` as steps, unless the schema has a field of that very name."""
    return (name,) if name in root.properties or "." not in name else tuple(name.split("."))


def completeness(plan: Plan, document: dict[str, Any]) -> float | None:
    """Σ weight of expected fields that are present and not null / Σ weight; None if nothing is expected."""
    if not plan.expected_total:
        return None
    missing = 0
    for steps, weight in plan.expected:
        if (document.get(steps[0]) if len(steps) == 1 else fetch(document, steps)) is None:
            missing += weight
    return (plan.expected_total - missing) / plan.expected_total


def compliance(plan: Plan, found: Sequence[Why]) -> float:
    """1 − Σ over fields of the loss by the field's worst violation / number of fields of the schema; at least 0."""
    worst: dict[str, int] = {}
    for why in found:
        field = why[0].split("/", 2)[1] if why[0] else ""
        loss = LOSS[why[2]]
        if loss > worst.get(field, 0):
            worst[field] = loss
    count = 2 * max(len(plan.root.properties), 1)
    return max(0, count - sum(worst.values())) / count


def timeliness(age_us: int, every_us: int) -> float:
    """1 while the age is at most the interval, then halved with every further interval.

    >>> timeliness(5, 10), timeliness(20, 10), timeliness(30, 10)
    (1.0, 0.5, 0.25)
    """
    return 1.0 if age_us <= every_us else float(2.0 ** (-(age_us - every_us) / every_us))


def score(weights: Sequence[int], measures: Measures) -> float:
    """Σ weight·measure / Σ weight over the measures that are not None; 0 if there are none."""
    complete, accurate, timely, complied, consistent = measures
    total, parts = 0, 0.0
    if complete is not None:
        total, parts = weights[0], weights[0] * complete
    if accurate is not None:
        total += weights[1]
        parts += weights[1] * accurate
    if timely is not None:
        total += weights[2]
        parts += weights[2] * timely
    if complied is not None:
        total += weights[3]
        parts += weights[3] * complied
    if consistent is not None:
        total += weights[4]
        parts += weights[4] * consistent
    return parts / total if total else 0.0


def tier_of(plan: Plan, value: float) -> int:
    """The tier that a score alone earns."""
    gold, silver, bronze = plan.spec.thresholds
    return GOLD if value >= gold else SILVER if value >= silver else BRONZE if value >= bronze else REJECTED


def run_rules(plan: Plan, document: dict[str, Any], out: list[Why]) -> tuple[list[int], list[int], bool]:
    """Judge a document by every rule and append the reasons of those it breaks.

    Returns:
        Weights applicable and weights broken, each as [consistency, accuracy], in units of ``plan.rule_weights[0]``;
        and whether a rule that counts against Gold (any but info) is broken.
    """
    applicable, broken, spoiled = [0, 0], [0, 0], False
    if not plan.rules:
        return applicable, broken, spoiled
    loaded = [load(fetch(document, steps)) for steps, load in plan.loads]
    for rule, weight, reads in zip(plan.rules, plan.rule_weights[1:], plan.reads, strict=True):
        values = [loaded[at] for at in reads]
        try:
            holds = rule.run(*values)
        except (ArithmeticError, TypeError, ValueError, RecursionError):
            holds = None
        if holds is None:
            continue
        kind = 0 if rule.rule.measure == "consistency" else 1
        applicable[kind] += weight
        if not holds:
            broken[kind] += weight
            spoiled = spoiled or rule.severity != "info"
            out.append(rule.reason(values))
    return applicable, broken, spoiled


def accuracy(
    plan: Plan, document: dict[str, Any], found: Sequence[Why], applicable: int, broken: int
) -> float | None:
    """(constrained fields present that hold + weight of accuracy rules that hold) / (both that apply)."""
    present = sum(document.get(name) is not None for name in plan.constrained)
    total = present * plan.rule_weights[0] + applicable
    bad = accuracy_units(plan, document, found) + broken
    return (total - bad) / total if total else None


def accuracy_units(plan: Plan, document: dict[str, Any], found: Sequence[Why]) -> int:
    """What the constrained fields that are present and violated weigh."""
    wrong = {why[0].split("/", 2)[1] for why in found if why[0] and why[2] != "info"}
    bad = sum(name in plan.constrained and document.get(name) is not None for name in wrong)
    return bad * plan.rule_weights[0]


def recency(
    plan: Plan, document: dict[str, Any], now_us: int, out: list[Why]
) -> tuple[int | None, float | None]:
    """The event time in µs and timeliness, each None where it cannot be told; appends reasons."""
    moment = None
    if plan.event_time is not None:
        value = fetch(document, plan.event_time)
        moment = _moments[value] if type(value) is str else None
        if moment is None and value is not None:
            out.append(_unreadable(plan, value, out))
    clock = now_us if plan.clock_us is None else plan.clock_us
    if plan.clock_field is not None:
        value = fetch(document, plan.clock_field)
        read = _moments[value] if type(value) is str else None
        if read is None:
            return moment, None
        clock = read
    every = plan.spec.expected_every
    if moment is None or every is None:
        return moment, None
    age = clock - moment
    if age < -SKEW_US:
        path = _pointer(plan.event_time or ())
        out.append((path, "future-event", "minor", "at most 5 minutes ahead of the clock", f"{-age / 1e6:g} s ahead",
                    "lies in the future"))  # fmt: skip
        return moment, 0.0
    return moment, timeliness(age, every)


def _unreadable(plan: Plan, value: Any, out: Sequence[Why]) -> Why:
    from quality.reasons import show

    steps = plan.event_time or ()
    masked = any(
        (node := node_at(plan.root, steps[:end])) is not None and node.pii for end in range(1, len(steps) + 1)
    )
    return (
        _pointer(steps),
        "event-time",
        "minor",
        "a date or a time",
        show(value, masked),
        "not readable as a time",
    )


def _pointer(steps: Steps) -> str:
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
