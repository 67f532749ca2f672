"""Where a Kafka query's checkpoint says it stands, in Spark's own files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from actors.sources.kafka_records import TopicPartition
from core.errors import ConfigError

Offsets = dict[TopicPartition, int]


class Places:
    """The offsets in one checkpoint; empty where there is none yet.

    Raises (every call):
        ConfigError: E124, a file cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begins(self) -> Offsets:
        """Where the first micro-batch began."""
        path = self.folder / "sources" / "0" / "0"
        return self._decoded(path, path.read_bytes().split(b"\n", 1)[-1]) if path.is_file() else {}

    def ends(self, batch: int) -> Offsets:
        """Where a micro-batch ends; Spark notes that before it begins."""
        path = self.folder / "offsets" / str(batch)
        if not path.is_file():
            return {}
        lines = path.read_bytes().splitlines()  # version, settings, one line a source
        return self._decoded(path, lines[2] if len(lines) > 2 else b"")

    def next(self) -> Offsets:
        """Where the query goes on: behind the last micro-batch that is noted as done."""
        done = self._last("commits")
        return self.begins() if done < 0 else self.ends(done)

    def forget_unfinished(self) -> None:
        """Remove the notes of micro-batches that are not noted as done: their records come again, in new ones.

        Spark 4.1.1 does such a one again, and its Kafka source then fails with a null pointer in its metrics.
        """
        done = self._last("commits")
        for path in self.folder.glob("offsets/*"):
            if path.name.isdecimal() and int(path.name) > done:
                path.unlink()
                path.with_name(f".{path.name}.crc").unlink(missing_ok=True)

    def _last(self, log: str) -> int:
        return max(
            (int(one.name) for one in self.folder.glob(f"{log}/*") if one.name.isdecimal()), default=-1
        )

    def _decoded(self, path: Path, text: bytes) -> Offsets:
        try:
            said: Mapping[str, Mapping[str, int]] = json.loads(text)
            return {(topic, int(number)): at for topic, found in said.items() for number, at in found.items()}
        except (ValueError, AttributeError):
            raise ConfigError(
                f"`{path}` of the checkpoint cannot be read; delete the folder `{self.folder}`, then start again: reading"
                " goes on from what is stored", "E124",
            ) from None  # fmt: skip


def offsets_json(offsets: Offsets) -> dict[str, dict[str, int]]:
    """``{"topic": {"0": 17}}``, as Spark writes it."""
    said: dict[str, dict[str, int]] = {}
    for (topic, number), offset in sorted(offsets.items()):
        said.setdefault(topic, {})[str(number)] = offset
    return said
