"""Named places where a test may kill the process or break a promise on purpose.

Both are off unless the environment names them; the set of names is in ``CRASHPOINTS`` and ``FAULTS``, and a
test reads the code to hold that every name is really there.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

CRASHPOINTS: dict[str, str] = {
    "connector.read": "a batch was read, not yet judged",
    "connector.sent": "a frame was sent, not yet committed",
    "connector.acked": "an acknowledgement came, the source was not told yet",
    "bus.taken": "the bus has a frame, no subscriber has it",
    "writer.taken": "a frame is in the writer's window",
    "writer.staged": "parquet is staged and synced, the manifest is not written",
    "writer.manifest": "the manifest is written, no file is renamed",
    "writer.half-renamed": "some files are in place, others are not",
    "writer.renamed": "all files are in place, nobody was told",
    "writer.told": "acknowledgements were sent, the index is not updated",
    "staged.part": "a task has staged and synced its parquet, the driver does not know yet",
    "staged.reserved": "a commit number is reserved, nobody was told",
    "staged.checked": "what tasks staged was checked, the manifest is not written",
    "engine.reserved": "Spark's driver has a commit number, no task has begun",
    "engine.staged": "all tasks have staged, nobody was told",
    "engine.committed": "what they staged is committed, the stream does not know",
    "stream.began": "a micro-batch has begun, nothing of it is done",
    "stream.done": "a micro-batch is committed, Spark's checkpoint does not say so",
    "bridge.registering": "a commit is being registered with Hive",
    "aggregates.computed": "days of an aggregate are staged and synced, none is in place",
    "aggregates.half-renamed": "one of them is in place, others are not",
    "aggregates.renamed": "all are in place, the state does not say so",
    "aggregates.cursor": "the state says how far aggregates are, nobody was told",
    "registry.storing": "a schema version is being stored",
}
FAULTS: dict[str, str] = {
    "ack-before-commit": "the writer acknowledges and forgets a window before it is stored, then dies",
    "drop-one-row": "the writer leaves out the first row of one parquet file",
}

_faults = set(filter(None, os.environ.get("ASSAY_FAULT", "").split(",")))
_once = os.environ.get("ASSAY_CRASH_ONCE")


def _asked(text: str) -> dict[str, int]:
    """Name -> at which passing to die, of ``name[:n],…``."""
    parts = (one.partition(":") for one in text.split(",") if one)
    return {name: int(nth or 1) for name, _, nth in parts}


_left = _asked(os.environ.get("ASSAY_CRASH", ""))


def crashpoint(name: str) -> None:
    """Die here by SIGKILL if ``ASSAY_CRASH=<name>[:n],…`` says so (at the n-th passing). Costs one look-up.

    With ``ASSAY_CRASH_ONCE=<folder>`` only if that has no file of this name yet; it is made first. So a station that
    is started again does not die at the same place for ever.
    """
    if name in _left:
        _left[name] -= 1
        if _left[name] == 0 and _first(name):
            os.kill(os.getpid(), signal.SIGKILL)


def _first(name: str) -> bool:
    if _once is None:
        return True
    try:
        Path(_once).mkdir(parents=True, exist_ok=True)
        (Path(_once) / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def fault(name: str) -> bool:
    """Whether ``ASSAY_FAULT`` asks for this promise to be broken."""
    return name in _faults
