"""Business rules compiled: the exact path's functions, and what the generator needs to write them inline."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from core.errors import ConfigError
from quality.model import Node
from quality.reading import pointer
from quality.reasons import MASK, Why, show
from quality.rule_code import Emitter, Var, columns_of, fields_of
from quality.rule_runtime import NAMES, as_any, as_float, as_int, as_is
from quality.rule_syntax import Expr, parse, wrong
from quality.spec import JudgeSpec, Rule

if TYPE_CHECKING:
    from quality.measures import Plan

Steps = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule with its trees. ``run`` takes the values of ``fields`` in order; True, False, or None: not applicable."""

    rule: Rule
    check: Expr
    when: Expr | None
    fields: tuple[Steps, ...]
    """What the check names, then what only ``when`` names."""
    run: Callable[..., bool | None]
    critical: bool
    masked: bool

    @property
    def severity(self) -> str:
        """As configured; critical where the dataset lists the rule as critical."""
        return "critical" if self.critical else self.rule.severity

    def reason(self, values: Sequence[Any]) -> Why:
        """Why a record broke the rule; ``values`` of ``fields``, None for missing."""
        return self.reasons()(values)

    def reasons(self) -> Callable[[Sequence[Any]], Why]:
        """``reason`` for many records."""
        rule, masked, severity, expected = self.rule, self.masked, self.severity, self.rule.check[:200]
        message = rule.message or f"the rule `{rule.id}` does not hold"
        path = ""
        for step in self.fields[0] if self.fields else ():
            path = pointer(path, step)
        labels = [".".join(steps) + "=" for steps in self.fields]

        def why(values: Sequence[Any]) -> Why:
            if masked:
                return (path, rule.id, severity, expected, MASK, message)
            got = ", ".join([label + show(value) for label, value in zip(labels, values, strict=True)])
            return (path, rule.id, severity, expected, got if len(got) <= 200 else got[:199] + "…", message)

        return why


def check_rule(text: str, fields: Collection[str] | None = None) -> None:
    """Refuse an expression that could not be a rule's ``check`` or ``when``.

    Args:
        fields: the names a record may have (dotted for nested ones); None: any.

    Raises:
        ConfigError: E111 for the text, E112 for an unknown field; ``facts["column"]`` counts from 1.

    >>> check_rule("qty > 0 and status in ['new', 'paid']", {"qty", "status"})
    """
    tree = parse(text)
    Emitter(lambda steps, column: Var("x")).boolean(tree, "a rule")
    if fields is None:
        return
    for steps, column in columns_of(tree).items():
        name = ".".join(steps)
        prefixes = {name.split(".")[0], name}
        if not prefixes & set(fields):
            raise unknown_field(name, column, fields)


def unknown_field(name: str, column: int, fields: Collection[str]) -> ConfigError:
    """The error for a field that the schema does not have."""
    close = get_close_matches(name, list(fields), n=1)
    hint = f"did you mean `{close[0]}`?" if close else f"there are: {', '.join(sorted(fields)[:12])}"
    return wrong(f"`{name[:60]}` is no field of the schema; {hint}", column, "E112")


def compile_rules(spec: JudgeSpec, root: Node) -> tuple[CompiledRule, ...]:
    """Every rule of a dataset.

    Raises:
        ConfigError: E111, E112, with ``facts`` rule, part (``check`` or ``when``) and column.
    """
    return tuple(_compile(rule, index, spec, root) for index, rule in enumerate(spec.rules))


def _compile(rule: Rule, index: int, spec: JudgeSpec, root: Node) -> CompiledRule:
    trees: dict[str, Expr] = {}
    for part, text in (("check", rule.check), ("when", rule.when)):
        if text is None:
            continue
        try:
            trees[part] = parse(text)
            Emitter(lambda steps, column: Var("x")).boolean(trees[part], f"a rule's `{part}`")
            _known_fields(trees[part], root)
        except ConfigError as err:
            raise ConfigError(
                f"rule `{rule.id}`, `{part}`: {err.message}",
                err.code,
                {"rule": rule.id, "part": part, **err.facts},
            ) from None
    check, when = trees["check"], trees.get("when")
    fields = tuple(dict.fromkeys([*fields_of(check), *(fields_of(when) if when is not None else ())]))
    masked = any(_masked(root, steps) for steps in fields)
    critical = rule.severity == "critical" or rule.id in spec.critical
    return CompiledRule(rule, check, when, fields, _function(check, when, fields, index), critical, masked)


def _known_fields(tree: Expr, root: Node) -> None:
    for steps, column in columns_of(tree).items():
        known = _siblings(root, steps)
        if known is not None:
            raise unknown_field(".".join(steps), column, known)


def _siblings(root: Node, steps: Steps) -> Collection[str] | None:
    """None where the schema knows the field (or says nothing about fields there), else those it knows."""
    node: Node | None = root
    for step in steps:
        if node is None or not node.properties:
            return None
        if step not in node.properties:
            return node.properties
        node = node.properties[step]
    return None


def check_names(plan: Plan) -> None:
    """Refuse an ``event_time``, a ``clock`` or ``expected`` fields that the schema does not have.

    Raises:
        ConfigError: E112, with ``facts["part"]``: the setting (and ``facts["name"]``: which one of ``expected``).
    """
    named = [("event_time", plan.event_time), ("clock", plan.clock_field)]
    named += [("expected", steps) for steps, _ in plan.expected]
    for part, steps in named:
        known = None if steps is None else _siblings(plan.root, steps)
        if steps is not None and known is not None:
            error = unknown_field(".".join(steps), 1, known)
            raise ConfigError(
                f"`{part}`: {error.message}", error.code, {"part": part, "name": ".".join(steps)}
            )


def node_at(root: Node, steps: Steps) -> Node | None:
    """The node of a field; None where the schema does not say."""
    node: Node | None = root
    for step in steps:
        node = None if node is None else node.properties.get(step)
    return node


def _masked(root: Node, steps: Steps) -> bool:
    return any(
        (node := node_at(root, steps[:end])) is not None and node.pii for end in range(1, len(steps) + 1)
    )


def _function(
    check: Expr, when: Expr | None, fields: tuple[Steps, ...], index: int
) -> Callable[..., bool | None]:
    names = {steps: f"x{number}" for number, steps in enumerate(fields)}
    emitter = Emitter(lambda steps, column: Var(names[steps]))
    body = [f"    return {emitter.boolean(check, 'a check').src}"]
    if when is not None:
        body.insert(0, f"    if {emitter.boolean(when, 'a condition').src} is not True: return None")
    source = "\n".join([f"def rule({', '.join(names.values())}):", *body])
    space: dict[str, Any] = {"__builtins__": {}, **NAMES, **emitter.constants}
    exec(compile(source, f"<rule {index}>", "exec"), space)
    return space["rule"]  # type: ignore[no-any-return]


def loader(node: Node | None) -> Callable[[Any], Any]:
    """How rules see a value of this field on the exact path, so that both paths compute with the same numbers."""
    if node is None or node.types is None:
        return as_is if node is not None and node.decimal is not None else as_any
    if node.decimal is not None:
        return as_is
    if "number" in node.types:
        return as_float
    return as_int if "integer" in node.types else as_any


def fetch(document: dict[str, Any], steps: Steps) -> Any:
    """The value at a path; None where there is none."""
    if len(steps) == 1:
        return document.get(steps[0])
    value: Any = document
    for step in steps:
        if type(value) is not dict:
            return None
        value = value.get(step)
    return value
