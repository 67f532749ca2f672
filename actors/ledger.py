"""A connector's own books: what is committed, what it sent since, and when that settles."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from core.batch import Mark
from core.ledger import Counts, Ledger
from core.ports import Attachment, Settled


@dataclass(frozen=True, slots=True)
class Sent:
    """A frame on its way to a commit."""

    seq: int
    read: int
    size_bytes: int
    arrived_us: int
    marks: dict[str, Mark]


class Books:
    """Base from the manifests, plus the list of frames that are not settled. One epoch long.

    ``in_flight`` is the list's sum, ``read`` is counted as records are sent, and the tiers come from what the
    writer stored: three separate counts, so that their difference shows a loss.
    """

    def __init__(self, attachment: Attachment) -> None:
        self._counts = attachment.base
        self._read = attachment.base.read
        self._open: deque[Sent] = deque()
        self.in_flight = 0
        self.bytes_in_flight = 0

    def send(self, sent: Sent) -> None:
        """A frame goes out."""
        self._open.append(sent)
        self._read += sent.read
        self.in_flight += sent.read
        self.bytes_in_flight += sent.size_bytes

    def settle(self, settled: Settled) -> list[Sent]:
        """The frames that this word of the writer settles, oldest first."""
        done = []
        while self._open and self._open[0].seq <= settled.seq:
            sent = self._open.popleft()
            self.in_flight -= sent.read
            self.bytes_in_flight -= sent.size_bytes
            done.append(sent)
        self._counts = settled.counts
        return done

    @property
    def ledger(self) -> Ledger:
        """The books of now."""
        stored = {name: getattr(self._counts, name) for name in Counts.__struct_fields__}
        return Ledger(counts=Counts(**{**stored, "read": self._read}), in_flight=self.in_flight)
