"""What decides a verdict besides the schema: one dataset's clock, expectations, rules, weights and thresholds."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from fractions import Fraction
from typing import Any

from core.errors import ConfigError
from core.tiers import MEASURES, SEVERITIES
from quality.moments import interval_us, moment_us

RULE_MEASURES = ("consistency", "accuracy")


@dataclass(frozen=True, slots=True)
class Rule:
    """One business rule; ``when`` and ``check`` are expressions (docs/rules.md)."""

    id: str
    check: str
    when: str | None = None
    severity: str = "major"
    message: str = ""
    weight: float = 1.0
    measure: str = "consistency"


@dataclass(frozen=True, slots=True)
class JudgeSpec:
    """One dataset's entry of the configuration, without its schema."""

    event_time: str | None = None
    clock: str = "arrival"
    """``arrival``, ``field:<name>`` or an instant."""
    expected_every: int | None = None
    """µs between records when all is well; None: timeliness is not measured."""
    expected: tuple[tuple[str, float], ...] | None = None
    """(field, weight); None: every property of the schema, weight 1."""
    rules: tuple[Rule, ...] = ()
    critical: tuple[str, ...] = ()
    weights: tuple[float, ...] = (1.0,) * 5
    """In the order of ``core.tiers.MEASURES``."""
    thresholds: tuple[float, float, float] = (0.95, 0.80, 0.50)
    """Lowest score of gold, silver, bronze."""

    @property
    def version(self) -> str:
        """First 12 hex digits of the SHA-256 over everything here."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def clock_us(self) -> int | None:
        """The fixed instant in µs; None for ``arrival`` and ``field:``."""
        return None if self.clock == "arrival" or self.clock.startswith("field:") else moment_us(self.clock)

    @property
    def clock_field(self) -> str | None:
        """The field that is the clock, if one is."""
        return self.clock.removeprefix("field:") if self.clock.startswith("field:") else None

    @classmethod
    def from_mapping(cls, entry: Mapping[str, Any]) -> JudgeSpec:
        """From one ``datasets`` entry (a parsed YAML mapping or a dumped settings model). ``schema`` and what
        belongs to other rooms (standardise, derive, aggregates, order_by) may be there and decides nothing here.

        Raises:
            ConfigError: E110 for keys and values, E111… for a rule's expression (when the judge is compiled).
        """
        _known(entry, ("event_time", "clock", "expected_every", "expected", "rules", "critical", "weights", "thresholds",
                       "schema", "standardise", "derive", "aggregates", "order_by"), "dataset")  # fmt: skip
        clock = _text(entry.get("clock", "arrival"), "clock")
        if (
            clock != "arrival"
            and not (clock.startswith("field:") and clock != "field:")
            and moment_us(clock) is None
        ):
            raise _wrong(
                "clock", clock, "`arrival`, `field:<name>` or an instant like `2014-01-01T00:00:00Z`"
            )
        rules = tuple(_rule(rule) for rule in _list(entry.get("rules"), "rules"))
        ids = [rule.id for rule in rules]
        for name in ids:
            if ids.count(name) > 1:
                raise ConfigError(f"the rule id `{name}` stands twice; give each rule its own", "E110")
        critical = tuple(_text(name, "critical") for name in _list(entry.get("critical"), "critical"))
        for name in critical:
            if name not in ids:
                raise _wrong("critical", name, "the id of a rule of this dataset" + _near(name, ids))
        event_time = entry.get("event_time")
        return cls(
            event_time=None if event_time is None else _text(event_time, "event_time"),
            clock=clock,
            expected_every=_every(entry.get("expected_every")),
            expected=_expected(entry.get("expected")),
            rules=rules,
            critical=tuple(sorted(critical)),
            weights=_weights(entry.get("weights")),
            thresholds=_thresholds(entry.get("thresholds")),
        )


def whole(weights: Sequence[float]) -> list[int]:
    """Weights as integers in the same proportion, so that sums of them are exact.

    >>> whole([1, 0.5, 0.25])
    [4, 2, 1]
    """
    parts = [Fraction(repr(weight)) for weight in weights]
    scale = math.lcm(*(part.denominator for part in parts)) if parts else 1
    return [int(part * scale) for part in parts]


def _rule(entry: Any) -> Rule:
    if not isinstance(entry, Mapping):
        raise _wrong("rules", entry, "a list of mappings with `id` and `check`")
    _known(entry, tuple(field.name for field in fields(Rule)), "rule")
    name = entry.get("id")
    if not isinstance(name, str) or not name:
        raise _wrong("id", name, "a name for the rule, like `arrives-after-departure`")
    if not isinstance(entry.get("check"), str):
        raise _wrong(f"check` of rule `{name}", entry.get("check"), "an expression in quotes (docs/rules.md)")
    when = entry.get("when")
    if when is not None and not isinstance(when, str):
        raise _wrong(f"when` of rule `{name}", when, "an expression in quotes (docs/rules.md)")
    severity = entry.get("severity", "major")
    if severity not in SEVERITIES:
        raise _wrong(f"severity` of rule `{name}", severity, f"one of {', '.join(SEVERITIES)}")
    measure = entry.get("measure", "consistency")
    if measure not in RULE_MEASURES:
        raise _wrong(f"measure` of rule `{name}", measure, f"one of {', '.join(RULE_MEASURES)}")
    message = entry.get("message") or ""
    weight = _number(entry.get("weight", 1.0), f"weight` of rule `{name}", None)
    return Rule(name, entry["check"], when, severity, _text(message, "message"), weight, measure)


def _every(value: Any) -> int | None:
    if value is None:
        return None
    every = interval_us(value) if isinstance(value, str) else None
    if every is None:
        raise _wrong("expected_every", value, "a number and a unit, like `1 day` or `5 minutes`")
    return every


def _expected(value: Any) -> tuple[tuple[str, float], ...] | None:
    if value is None:
        return None
    if isinstance(value, Mapping):
        return tuple((str(name), _number(weight, f"expected.{name}", None)) for name, weight in value.items())
    return tuple((_text(name, "expected"), 1.0) for name in _list(value, "expected"))


def _weights(value: Any) -> tuple[float, ...]:
    given = _mapping(value, "weights")
    _known(given, MEASURES, "weights")
    return tuple(_number(given.get(name, 1.0), f"weights.{name}", None) for name in MEASURES)


def _thresholds(value: Any) -> tuple[float, float, float]:
    given = _mapping(value, "thresholds")
    _known(given, ("gold", "silver", "bronze"), "thresholds")
    gold, silver, bronze = (
        _number(given.get(name, usual), f"thresholds.{name}", 1.0)
        for name, usual in (("gold", 0.95), ("silver", 0.80), ("bronze", 0.50))
    )
    if not gold >= silver >= bronze:
        raise _wrong("thresholds", f"{gold}, {silver}, {bronze}", "gold ≥ silver ≥ bronze")
    return gold, silver, bronze


def _number(value: Any, name: str, most: float | None) -> float:
    right = (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value >= 0
    )
    if not right or (most is not None and value > most):
        raise _wrong(name, value, "a number ≥ 0" if most is None else f"a number from 0 to {most:g}")
    return float(value)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise _wrong(name, value, "text")
    return value


def _list(value: Any, name: str) -> Sequence[Any]:
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise _wrong(name, value, "a list")
    return value


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _wrong(name, value, "a mapping")
    return value


def _known(entry: Mapping[str, Any], names: Sequence[str], where: str) -> None:
    for name in entry:
        if name not in names:
            raise ConfigError(f"`{name}` is no key of a {where}{_near(str(name), names)}", "E110")


def _near(name: str, names: Sequence[str]) -> str:
    close = get_close_matches(name, names, n=1)
    return f"; did you mean `{close[0]}`?" if close else f"; there are: {', '.join(names) or 'none'}"


def _wrong(name: str, value: Any, right: str) -> ConfigError:
    return ConfigError(f"`{name}` is `{str(value)[:60]}`; it must be {right}", "E110")
