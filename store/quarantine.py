"""Copies of refused files below ``quarantine/``, and what the manifest says of them."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from core.frame import QuarantineNote
from store.layout import Layout
from store.manifest import Quarantine


def keep(layout: Layout, source: str, note: QuarantineNote) -> Quarantine:
    """Copy a refused file, once; a file that cannot be copied (gone, no space) stays where it is.

    Returns:
        The note for the manifest; ``path`` is the copy, or the original where there is none.
    """
    path = note.path
    if path is not None:
        path = str(_copied(layout, source, Path(path)) or path)
    return Quarantine(
        source=source, what=note.what, reason=note.reason, records=note.records,
        bytes_unread=note.bytes_unread, path=path,
    )  # fmt: skip


def _copied(layout: Layout, source: str, original: Path) -> Path | None:
    try:
        stat = original.stat()
        known = f"{original}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ino}"
        target = (
            layout.quarantine / source / f"{hashlib.sha256(known.encode()).hexdigest()[:12]}-{original.name}"
        )
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            half = target.with_name(f".{target.name}.tmp")
            shutil.copyfile(original, half)
            half.replace(target)
    except OSError:
        return None
    return target
