"""The exact path: one document, every reason, all measures. Slow (tens of µs), and always right."""

# ruff: noqa: PLR0917 - a conclusion is reached by position, thousands of times a second
from __future__ import annotations

from typing import Any, NamedTuple

from core.batch import Reason
from quality.check import check
from quality.measures import (
    BRONZE,
    REJECTED,
    SILVER,
    Measures,
    Plan,
    accuracy,
    completeness,
    compliance,
    recency,
    run_rules,
    score,
    tier_of,
)
from quality.reading import Unreadable, read
from quality.reasons import MASK, Why, dump, in_order

_NOTHING: Measures = (0.0, None, None, 0.0, None)
"""Of a record that cannot be read: nothing expected is there, nothing complies, the others do not apply."""


class Verdict(NamedTuple):
    """One record's judgement; the columns of ``core.frame.JUDGED_SCHEMA`` but ``document``."""

    valid: bool
    tier: int
    score: float
    measures: Measures
    event_us: int | None
    reasons: list[Why]
    extra: bytes | None


def judge_exactly(plan: Plan, line: bytes, now_us: int) -> Verdict:
    """The verdict on one document; never raises on what it holds."""
    try:
        document = read(line)
    except Unreadable as err:
        got = MASK if plan.masked else err.got
        return refuse(plan, (err.path, err.rule, "critical", err.expected, got, err.message))
    found: list[Why] = []
    check(plan.root, document, ("",), found)
    if type(document) is not dict:
        valid = not any(why[2] != "info" for why in found)
        if not any(why[1] == "type" and not why[0] for why in found):
            found.append(("", "type", "critical", "object", _kind(document), "a record is a JSON object"))
        reasons = [
            (why[0], why[1], "critical", *why[3:]) if not why[0] and why[1] == "type" else why
            for why in found
        ]
        return Verdict(
            valid, REJECTED, score(plan.weights, _NOTHING), _NOTHING, None, in_order(reasons), None
        )
    return _judge(plan, document, found, now_us)


def refuse(plan: Plan, why: Why) -> Verdict:
    """The verdict on a record of which there is no document."""
    return Verdict(False, REJECTED, score(plan.weights, _NOTHING), _NOTHING, None, [why], None)


def refused_reason(reason: Reason) -> Why:
    """What a source said, as one of ours."""
    return (reason.path, reason.rule, reason.severity, reason.expected, reason.got, reason.message)


def _judge(plan: Plan, document: dict[str, Any], found: list[Why], now_us: int) -> Verdict:
    reasons = list(found)
    moment, timely = recency(plan, document, now_us, reasons)
    applicable, broken, spoiled = run_rules(plan, document, reasons)
    exact = accuracy(plan, document, found, applicable[1], broken[1])
    consistent = (applicable[0] - broken[0]) / applicable[0] if applicable[0] else None
    measures = (completeness(plan, document), exact, timely, compliance(plan, found), consistent)
    more = not document.keys() <= plan.root.properties.keys()
    return conclude(plan, document, found, reasons, measures, moment, spoiled, more)


def conclude(
    plan: Plan, document: dict[str, Any], found: list[Why], reasons: list[Why], measures: Measures,
    moment: int | None, spoiled: bool, more: bool,
) -> Verdict:  # fmt: skip
    """Score and tier from the measures and everything that was found.

    Args:
        found: the schema's part of ``reasons``.
        spoiled: a rule that counts against Gold is broken.
        more: the record has fields that the schema does not know.
    """
    valid = True
    for why in found:
        if why[2] != "info":
            valid = False
            break
    value = score(plan.weights, measures)
    tier = tier_of(plan, value)
    if not tier:
        lowest = f"≥ {plan.spec.thresholds[2]:g}"
        message = "the score is below the bronze threshold"
        reasons.append(("", "score", "critical", lowest, f"{value:.4g}", message))
    if not valid:
        tier = min(tier, BRONZE)
    elif spoiled:
        tier = min(tier, SILVER)
    for why in reasons:
        if why[2] == "critical":
            tier = REJECTED
            break
    extra = _extra(plan, document) if more else None
    return Verdict(valid, tier, value, measures, moment, in_order(reasons), extra)


def _extra(plan: Plan, document: dict[str, Any]) -> bytes:
    known = plan.root.properties
    unknown = {name: value for name, value in document.items() if name not in known}
    return dump(unknown).encode()


def _kind(value: Any) -> str:
    return "array" if type(value) is list else "null" if value is None else type(value).__name__
