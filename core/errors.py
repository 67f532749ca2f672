"""Errors, sorted by what the caller does next.

AssayError
├─ ConfigError          the file or a flag is wrong             -> exit 2
├─ Retryable            the same call may work later
│  ├─ SourceUnavailable a source is down, or a glob matches nothing (-> exit 4 when it stays so)
│  ├─ StoreUnavailable  a store does not take writes            (-> exit 5 when it stays so)
│  └─ BusLost           the bus forgot frames it had taken: take a new epoch
├─ Permanent            the same call never will
│  ├─ BadFile           a whole file cannot be used             -> quarantined
│  ├─ BadSchema         a schema document cannot be used        -> exit 2
│  └─ SubscriptionEnded the bus gave a slow or absent subscriber up
├─ Fenced               somebody newer owns this source: stop quietly
└─ Locked               another run holds the data directory    -> exit 75

A bad *record* is not an exception: it is a row with tier Rejected and reasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class AssayError(Exception):
    """One sentence on what was wrong and what would be right, a code, and facts.

    Args:
        message: names the thing in backticks, what is wrong, what would be right.
        code: ``E100``-``E999``, see docs/errors.md.
        facts: small values that help to find the place; shown behind the message.
    """

    code = "E900"

    def __init__(self, message: str, code: str | None = None, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.facts = dict(facts or {})

    def __str__(self) -> str:
        shown = " ".join(f"{key}={value!r}" for key, value in self.facts.items())
        return f"{self.code} {self.message}" + (f" [{shown}]" if shown else "")

    def __reduce__(self) -> tuple[Any, ...]:
        # Ray rebuilds exceptions from args; without this the type and facts are lost across actors.
        return type(self), (self.message, self.code, self.facts)


class ConfigError(AssayError):
    """The configuration or a flag is wrong; nothing was started."""

    code = "E101"


class Retryable(AssayError):
    """The same call may work later."""


class SourceUnavailable(Retryable):
    """A source cannot be reached now."""

    code = "E200"


class StoreUnavailable(Retryable):
    """A store does not take writes now; data are safe at the source."""

    code = "E700"


class BusLost(Retryable):
    """The bus is away, or forgot frames that it had taken; their sources take new epochs."""

    code = "E903"


class Permanent(AssayError):
    """The same call never will work."""


class BadFile(Permanent):
    """A file that cannot be used at all; it is quarantined with this as its reason."""

    code = "E210"


class BadSchema(Permanent):
    """A schema document that cannot be compiled."""

    code = "E500"


class SubscriptionEnded(Permanent):
    """The bus gave this subscriber up; what it missed is in the tables."""

    code = "E904"


class Fenced(AssayError):
    """A newer epoch owns the source; what this one still holds is refused."""

    code = "E901"


class Locked(AssayError):
    """Another run holds the data directory."""

    code = "E902"
