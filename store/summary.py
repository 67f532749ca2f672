"""What a data directory holds, told without a running system."""

from __future__ import annotations

from pathlib import Path

from core.ledger import Counts
from store.layout import Layout
from store.log import CommitLog, LiveFile
from store.placing import Places


def stored_status(root: Path) -> dict[str, Counts]:
    """source -> its committed counts, folded from the manifests.

    Raises:
        StoreUnavailable: E701, E702 as the log says.
    """
    return CommitLog(root).state().counts


def stored_refused(root: Path) -> dict[str, dict[str, int]]:
    """source -> ``files`` that were quarantined and their unread ``bytes``, folded from the manifests.

    Raises:
        StoreUnavailable: E701, E702 as the log says.
    """
    return CommitLog(root).state().refused


def waiting_files(layout: Layout) -> list[LiveFile]:
    """Committed files that wait in the fallback or in staging, from the log and what lies there.

    Raises:
        StoreUnavailable: E701, E702 as the log says.
    """
    places = Places(layout)
    return [
        live
        for live in CommitLog(layout.root).state().files
        if not places.final_path(live.entry).exists() and places.staged_path(live.entry).exists()
    ]
