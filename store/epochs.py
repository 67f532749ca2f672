"""Epochs: which connector owns a source now. Stored before use, never given twice."""

from __future__ import annotations

from pathlib import Path

import msgspec

from core.errors import StoreUnavailable
from store.layout import fsync_directory
from store.log import unwritable, write_synced
from store.manifest import damaged

FORMAT_VERSION = 1


class _Epochs(msgspec.Struct, kw_only=True):
    v: int = FORMAT_VERSION
    sources: dict[str, int] = {}


class Epochs:
    """The last epoch given to each source, in ``state/epochs.json``. For the one writer."""

    def __init__(self, state_directory: Path) -> None:
        self._path = state_directory / "epochs.json"
        self._epochs = _Epochs()

    def load(self, at_least: dict[str, int]) -> None:
        """Read the file; ``at_least``: epochs that manifests name, should the file be gone.

        Raises:
            StoreUnavailable: E702 damaged, E701 newer format.
        """
        if self._path.exists():
            data = self._path.read_bytes()
            try:
                self._epochs = msgspec.json.decode(data, type=_Epochs)
            except msgspec.DecodeError as error:
                raise damaged(str(self._path), error) from error
            if self._epochs.v > FORMAT_VERSION:
                raise StoreUnavailable(
                    f"`{self._path}` has format version {self._epochs.v}, this Assay reads up to {FORMAT_VERSION}: "
                    "run the Assay that wrote it, or a newer one", code="E701",
                )  # fmt: skip
        for source, epoch in at_least.items():
            self._epochs.sources[source] = max(epoch, self.current(source))

    def current(self, source: str) -> int:
        """The newest epoch of a source; 0 if it never had one."""
        return self._epochs.sources.get(source, 0)

    def known(self) -> list[str]:
        """All sources that ever had one."""
        return list(self._epochs.sources)

    def renew(self, source: str) -> int:
        """The next epoch of a source, durable on return.

        Raises:
            StoreUnavailable: E703; the epoch is not given.
        """
        epoch = self.current(source) + 1
        wanted = _Epochs(sources={**self._epochs.sources, source: epoch})
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_synced(self._path.with_suffix(".tmp"), msgspec.json.encode(wanted)).replace(self._path)
            fsync_directory(self._path.parent)
        except OSError as error:
            raise unwritable(self._path.parent, error) from error
        self._epochs = wanted
        return epoch
