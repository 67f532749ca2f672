"""Commit numbers given out before their commits are made, so that rows staged elsewhere can carry them.

``commits/000000000012.reserved`` says whose number 12 is. While it has no manifest the log has a hole: commits with
larger numbers go on, readers of the log stop before it. A number is never given twice: one that nobody commits
gets an empty manifest, it is void.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from core.errors import AssayError, StoreUnavailable
from store.layout import fsync_directory
from store.log import CommitLog, unwritable, write_synced
from store.manifest import FORMAT_VERSION, VOID, Manifest, Origin, check_version


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """Whose number it is. ``source`` is empty for a window of frames that the store refused so far."""

    v: int = FORMAT_VERSION
    source: str
    epoch: int


NOBODY = Reservation(source="", epoch=0)


class Reservations:
    """The open numbers of one commit log. For the one writer; ``open`` is what holds in this life."""

    def __init__(self, log: CommitLog) -> None:
        self._log = log
        self.open: dict[int, Reservation] = {}

    def take(self, number: int, source: str, epoch: int) -> None:
        """Reserve ``number``, durable on return.

        Raises:
            StoreUnavailable: E703; the number is not reserved.
        """
        wanted = Reservation(source=source, epoch=epoch)
        path = self._log.reserved_path(number)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_synced(path.with_suffix(".reserving"), msgspec.json.encode(wanted)).replace(path)
            fsync_directory(path.parent)
        except OSError as error:
            raise unwritable(path.parent, error) from error
        self.open[number] = wanted

    def of(self, source: str) -> list[int]:
        """The open numbers of a source, in order."""
        return sorted(number for number, found in self.open.items() if found.source == source)

    def require(self, number: int, source: str, epoch: int) -> None:
        """That ``number`` is the oldest open one of this epoch of the source.

        Raises:
            AssayError: E909.
        """
        found = self.open.get(number)
        if found is None or (found.source, found.epoch) != (source, epoch):
            raise AssayError(
                f"commit {number} is not reserved for epoch {epoch} of `{source}`: it was given back, or never was; "
                "reserve another number and stage the rows again", code="E909",
            )  # fmt: skip
        older = self.of(source)[0]
        if older != number:
            raise AssayError(
                f"commit {number} of `{source}` comes before its commit {older} was made or given back: "
                "commit a source's numbers in their order", code="E909",
            )  # fmt: skip

    def void(self, number: int, at_us: int) -> Manifest:
        """Close a number without a commit; what an earlier try did write stands.

        Returns:
            The manifest that stands under the number now.

        Raises:
            StoreUnavailable: E703, the log takes no writes; the number stays open.
        """
        manifest = self._standing(number) or self._log.append(self._nothing(number, at_us))
        self.close(number)
        return manifest

    def close(self, number: int) -> None:
        """The number has its manifest. Should the marker stay, the next start removes it."""
        self.open.pop(number, None)
        try:
            self._log.reserved_path(number).unlink(missing_ok=True)
        except OSError:
            return

    def recover(self, at_us: int) -> list[int]:
        """Void what a dead writer left open. To be done before the log is folded.

        Returns:
            The voided numbers.

        Raises:
            StoreUnavailable: E701 a newer Assay wrote a marker; E703 the log takes no writes.
        """
        voided = []
        for number, whose in stored(self._log):
            self.open[number] = whose
            if not self._log.path(number).exists():
                voided.append(number)
            self.void(number, at_us)
        return voided

    def _standing(self, number: int) -> Manifest | None:
        """What a try that failed after its manifest was there did write."""
        path = self._log.path(number)
        if not path.exists():
            return None
        try:
            fsync_directory(path.parent)
        except OSError as error:
            raise unwritable(path.parent, error) from error
        return self._log.read(number)

    def _nothing(self, number: int, at_us: int) -> Manifest:
        whose = self.open[number]
        origin = Origin(source=whose.source, epoch=whose.epoch, first=0, last=0, mode=VOID)
        return Manifest(commit=number, at_us=at_us, origin=[origin] if whose.source else [])


def stored(log: CommitLog) -> Iterator[tuple[int, Reservation]]:
    """The markers on disk in order, whether or not a manifest came after. A damaged one is nobody's.

    Raises:
        StoreUnavailable: E701 a newer Assay wrote one.
    """
    for path in sorted(log.directory.glob("*.reserved")):
        yield int(path.stem), _read(path)


def _read(path: Path) -> Reservation:
    try:
        data = path.read_bytes()
        check_version(data, str(path))
        return msgspec.json.decode(data, type=Reservation)
    except (OSError, msgspec.DecodeError):
        return NOBODY
    except StoreUnavailable as error:
        if error.code == "E701":
            raise
        return NOBODY
