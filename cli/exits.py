"""Exit codes (docs/contracts.md §1), and which error means which."""

from __future__ import annotations

from core.errors import AssayError, BadSchema, ConfigError, Locked, SourceUnavailable, StoreUnavailable

OK = 0
FAILED = 1
USAGE = 2
TOO_MANY_REJECTS = 3
SOURCE_UNREACHABLE = 4
SINK_UNWRITABLE = 5
LOCKED = 75
INTERRUPTED = 130

_CODES: tuple[tuple[type[AssayError], int], ...] = (
    (ConfigError, USAGE),
    (BadSchema, USAGE),
    (SourceUnavailable, SOURCE_UNREACHABLE),
    (StoreUnavailable, SINK_UNWRITABLE),
    (Locked, LOCKED),
)


def exit_code(error: BaseException) -> int:
    """The code that a run which ended with ``error`` gives its shell."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    known = known_error(error)
    for kind, code in _CODES:
        if isinstance(known, kind):
            return code
    return FAILED


def known_error(error: BaseException) -> AssayError | None:
    """The first of Assay's own errors in ``error``, looking into groups."""
    if isinstance(error, AssayError):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next((found for part in error.exceptions if (found := known_error(part))), None)
    return None
