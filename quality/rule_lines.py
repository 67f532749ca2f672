"""A dataset's rules as lines of a generated function: one expression that says "all hold", and each rule by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from quality.measures import Plan
from quality.rule_code import Code, Emitter, Var, strict_fields
from quality.rules import CompiledRule, Steps


class RuleLines:
    """Writes the rules of a plan over variables that hold what ``quality.rules.loader`` makes of each field.

    The lines use ``ap0``, ``br0``, ``ap1``, ``br1`` (weights applicable and broken; 0 consistency, 1 accuracy), ``spoiled``,
    ``why`` (list of reasons, or None) and ``q``.
    """

    def __init__(
        self, plan: Plan, variables: Mapping[Steps, Var], constant: Callable[[Any], str], prefix: str = "q"
    ) -> None:
        self.plan, self.variables, self.constant, self.prefix = plan, variables, constant, prefix
        self.constants: dict[str, Any] = {}
        weights = zip(plan.rules, plan.rule_weights[1:], strict=True)
        self.rules = [(rule, weight, int(rule.rule.measure == "accuracy")) for rule, weight in weights]
        self.totals = [sum(weight for _, weight, kind in self.rules if kind == one) for one in (0, 1)]

    def sure(self, kind: int) -> bool:
        """Whether some rule of this measure applies to every record."""
        return any(self._always(rule) for rule, weight, one in self.rules if weight and one == kind)

    def all_hold(self) -> str:
        """True only where no rule is broken; a rule that does not apply is not."""
        parts = []
        for index, (rule, _, _) in enumerate(self.rules):
            guarded, emitter = self._emitter(rule, f"{self.prefix}h{index}_")
            sides = [f"{name} is None" for name in guarded]
            if rule.when is not None:
                sides.append(f"not {emitter.is_true(rule.when)}")
            parts.append("(" + " or ".join([*sides, emitter.not_false(rule.check)]) + ")")
            self.constants |= emitter.constants
        return " and ".join(parts)

    def one_by_one(self, critical: str | None) -> list[str]:
        """Each rule with its reason.

        Args:
            critical: what to do when a critical rule breaks; None: the same as for others.
        """
        out = [
            f"ap0 = {self.totals[0]}; br0 = 0; ap1 = {self.totals[1]}; br1 = 0; why = None; spoiled = False"
        ]
        for index, (rule, weight, kind) in enumerate(self.rules):
            out += self._rule(f"{self.prefix}{index}_", rule, weight, kind, critical)
        return out

    def _emitter(self, rule: CompiledRule, prefix: str) -> tuple[list[str], Emitter]:
        """Names that are None where the rule does not apply, and an emitter that trusts them."""
        strict = strict_fields(rule.check) | (strict_fields(rule.when) if rule.when is not None else set())
        guarded = [steps for steps in rule.fields if steps in strict and self.variables[steps].nullable]
        emitter = Emitter(lambda steps, column: self.variables[steps], prefix=prefix, known=frozenset(strict))
        return [self.variables[steps].name for steps in guarded], emitter

    def _always(self, rule: CompiledRule) -> bool:
        guarded, emitter = self._emitter(rule, "_")
        return rule.when is None and not guarded and not emitter.boolean(rule.check, "a check").nullable

    def _rule(
        self, prefix: str, rule: CompiledRule, weight: int, kind: int, critical: str | None
    ) -> list[str]:
        guarded, emitter = self._emitter(rule, prefix)
        check = emitter.boolean(rule.check, "a check")
        tests = [f"{name} is not None" for name in guarded]
        if rule.when is not None:
            tests.append(emitter.is_true(rule.when))
        skipped = f"ap{kind} -= {weight}"
        lines = _unless(check, skipped, self._broken(rule, weight, kind, critical))
        self.constants |= emitter.constants
        if not tests:
            return lines
        inside = [f"if {' and '.join(tests)}:", *("    " + line for line in lines)]
        return [*inside, f"else: {skipped}"] if weight else inside

    def _broken(self, rule: CompiledRule, weight: int, kind: int, critical: str | None) -> list[str]:
        if rule.severity == "critical" and critical is not None:
            return [critical]
        values = "".join(f"{self.variables[steps].name}, " for steps in rule.fields)
        spoils = "" if rule.severity == "info" else "; spoiled = True"
        return [f"br{kind} += {weight}{spoils}", "if why is None: why = []",
                f"why.append({self.constant(rule.reasons())}(({values})))"]  # fmt: skip


def _unless(check: Code, skipped: str, broken: list[str]) -> list[str]:
    inside = ["    " + line for line in broken]
    if check.nullable:
        return [f"q = {check.src}", f"if q is None: {skipped}", "elif not q:", *inside]
    return [f"if not {check.src}:", *inside]
