"""Is a checkpoint the one of this stream, and whole? Spark itself would go on wrongly, or fail with a riddle.

Nothing depends on a checkpoint: the coverage in the commit log says what is stored. So whatever is odd about one is
refused in words, and the mend is always the same: delete the folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import ConfigError

OWNER = "assay.json"
MEND = (
    "delete that folder, then start again: the commit log knows what is stored, nothing is lost or read twice"
)


def check(folder: Path, owner: Mapping[str, Any]) -> None:
    """Pass a checkpoint that is not there yet, or is this stream's and whole.

    Args:
        owner: what the stream is: source, what it reads.

    Raises:
        ConfigError: E123 another query's, E124 half of it is missing.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return
    found = _read(folder / OWNER)
    if found is None:
        raise ConfigError(f"the checkpoint `{folder}` was not made by Assay: {MEND}", "E123")
    if other := _difference(found, owner):
        raise ConfigError(f"the checkpoint `{folder}` is another stream's ({other}): {MEND}", "E123")
    if missing := _missing(folder):
        raise ConfigError(f"half of the checkpoint `{folder}` is missing ({missing}): {MEND}", "E124")
    _mend(folder)


def own(folder: Path, owner: Mapping[str, Any]) -> None:
    """Note whose checkpoint it is, before Spark writes to it.

    Raises:
        ConfigError: E124, the folder takes no files.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / OWNER).exists():
            beside = folder / f".{OWNER}.tmp"
            beside.write_text(json.dumps({"v": 1, **owner}, indent=1) + "\n")
            beside.replace(folder / OWNER)
    except OSError as error:
        raise ConfigError(
            f"the checkpoint `{folder}` cannot be written ({error.strerror}): give write permission, or set `spark.checkpoint_dir`",
            "E124",
        ) from error


def _mend(folder: Path) -> None:
    """Remove checksums whose file is gone: Spark takes them for another query that does the same batch."""
    for checksum in [*folder.glob("offsets/.*.crc"), *folder.glob("commits/.*.crc")]:
        if not checksum.with_name(checksum.name[1 : -len(".crc")]).exists():
            checksum.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _difference(found: Mapping[str, Any], owner: Mapping[str, Any]) -> str:
    for key, value in owner.items():
        if found.get(key) != value:
            return f"its {key} is `{found.get(key)}`, here it is `{value}`"
    return ""


def _missing(folder: Path) -> str:
    """What a checkpoint that was used must have and this one has not; empty if it is whole.

    A commit that is missing at the end is no fault: that batch is done again, and trimmed to nothing.
    """
    offsets, commits = _numbers(folder / "offsets"), _numbers(folder / "commits")
    if not offsets and not commits:
        return "" if _query(folder) or not (folder / "metadata").exists() else "`metadata` holds no query"
    if not _query(folder):
        return "no `metadata`"
    if not offsets:
        return "no `offsets`"
    if commits and commits[-1] > offsets[-1]:
        return f"`offsets/{commits[-1]}`"
    if not commits and offsets[-1] > 1:
        return "no `commits`"
    holes = sorted(set(range(offsets[0], offsets[-1] + 1)) - set(offsets))
    if holes:
        return f"`offsets/{holes[0]}`"
    if not (folder / "sources").is_dir() and _has_log(folder / "offsets" / str(offsets[-1])):
        return "no `sources`"
    return _behind(folder, offsets[-1])


def _behind(folder: Path, newest: int) -> str:
    """Whether the log of a file stream reaches what the newest offset speaks of."""
    try:
        lines = (folder / "offsets" / str(newest)).read_text().splitlines()
        wanted = [json.loads(line).get("logOffset") for line in lines[2:] if line.startswith("{")]
    except (OSError, ValueError, AttributeError):
        return f"`offsets/{newest}` cannot be read"
    for at, log in enumerate(wanted):
        if log is None or log < 0:
            continue
        names = [path.name.partition(".")[0] for path in (folder / "sources" / str(at)).glob("[0-9]*")]
        if not names or max(map(int, names)) < log:
            return f"`sources/{at}/{log}`"
    return ""


def _has_log(offset: Path) -> bool:
    try:
        return "logOffset" in offset.read_text()
    except OSError:
        return False


def _query(folder: Path) -> str:
    found = _read(folder / "metadata")
    return str(found.get("id", "")) if found else ""


def _numbers(folder: Path) -> list[int]:
    try:
        return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())
    except OSError:
        return []
