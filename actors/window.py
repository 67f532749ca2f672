"""The window of frames that becomes one commit, and the rule for when it is cut. Pure; times are given."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from core.frame import Frame

MAX_BYTES = 48 << 20
MAX_FILES = 64
STRETCHED_S = 10.0
IDLE_S = 0.3


@dataclass(slots=True)
class Window:
    """Frames taken and not yet committed."""

    frames: list[Frame] = field(default_factory=list)
    rows: int = 0
    size_bytes: int = 0
    began: float = 0.0
    """When the first frame came, monotonic seconds."""
    newest: float = 0.0
    ended: set[str] = field(default_factory=set)
    """Sources whose newest frame said that it was the last for now."""
    tables: set[tuple[str, int]] = field(default_factory=set)
    """(dataset, tier) that it has rows for."""

    def __bool__(self) -> bool:
        return bool(self.frames)

    def add(self, frame: Frame, now: float) -> None:
        """Take in a frame."""
        header = frame.header
        if not self.frames:
            self.began = now
        self.newest = now
        self.frames.append(frame)
        self.rows += header.rows
        self.size_bytes += frame.size_bytes
        self.tables.update((header.dataset, tier) for tier, rows in enumerate(header.tiers) if rows)
        if header.last:
            self.ended.add(header.source)
        else:
            self.ended.discard(header.source)


@dataclass(slots=True)
class Cutting:
    """When a window is cut: by time in event mode, by size in batch mode, and always before it grows too big."""

    mode: str
    window_s: float
    window_rows: int
    files_a_table: float = 1.0
    """Days a table of the last commit: tells how many files the next one will have."""

    def full(self, window: Window) -> bool:
        """Whether no further frame may join."""
        return window.size_bytes >= MAX_BYTES or window.rows >= self.window_rows

    def wait_s(self, window: Window, now: float, attached: Collection[str]) -> float:
        """Seconds until the window (not empty) is to be cut if nothing more comes; 0 or less: now."""
        if self.full(window):
            return 0.0
        if self.mode == "batch":
            if attached and window.ended.issuperset(attached):
                return 0.0
            return window.newest + IDLE_S - now
        many = len(window.tables) * self.files_a_table > MAX_FILES
        return window.began + (max(STRETCHED_S, self.window_s) if many else self.window_s) - now

    def learn(self, files: int, tables: int) -> None:
        """Remember how many files the tables of a commit had."""
        if tables:
            self.files_a_table = files / tables
