"""How errors look on a terminal: one clear line for what a user can mend, an id for what is our fault."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path

from cli.exits import FAILED, INTERRUPTED, exit_code, known_error
from config import logs
from config.faults import ConfigErrors
from core.redact import redact


def guarded(command: Callable[[], int]) -> int:
    """Run a command; whatever it raises becomes words on stderr and an exit code, never a traceback."""
    try:
        code = command()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output is gone; Python's own flush at exit must not complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except Exception as error:  # the top level: nothing above could use it
        say(describe(error))
        return exit_code(error)
    return code


def say(text: str) -> None:
    """One message on stderr, secrets masked."""
    print(redact(text), file=sys.stderr, flush=True)


def describe(error: Exception) -> str:
    """What to tell the user: the error's own sentence, or an id and where its traceback was put."""
    known = known_error(error)
    if isinstance(known, ConfigErrors):
        count = len(known.faults)
        return f"{known}\n{count} fault{'s' if count > 1 else ''}; nothing was started"
    if known is not None:
        return f"assay: {known}"
    identity = uuid.uuid4().hex[:8]
    place = _write_down(identity, error)
    return (
        f"assay: E900 unexpected {type(error).__name__} (error id {identity}); the details are in `{place}`"
    )


def _write_down(identity: str, error: Exception) -> str:
    text = redact("".join(traceback.format_exception(error)))
    for folder in (logs.folder(), Path(tempfile.gettempdir())):
        path = folder / f"assay-error-{identity}.log"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        except OSError:
            continue
        return str(path)
    return "nowhere: neither `logs/` nor the temporary directory can be written"
