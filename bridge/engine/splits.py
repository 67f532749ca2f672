"""Splits: which stretch of which file a task reads. Made by the planner, carried as JSON lines, read in tasks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
import pyarrow as pa

from actors.sources.catalogue import KnownFile, open_inside
from actors.sources.chunk import Reader as FileReader
from actors.sources.formats import make_reader
from actors.sources.reading import batch_of
from bridge.engine.work import Trouble
from config.models import FileSettings
from core.batch import Batch
from core.errors import BadFile, SourceUnavailable
from core.ranges import Ranges


class Split(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stretch of one file that begins and ends between records."""

    partition: str
    file: str
    """Relative to the source's root."""
    path: str
    root: str
    """Where the file must lie below."""
    generation: int
    inode: int
    size: int
    """Bytes, when it was planned. It may have grown since."""
    gaps: tuple[tuple[int, int], ...]
    """Half-open ranges of ordinals to read, in order."""
    at: int = 0
    line: int = 1
    """Number of the line that begins at byte ``at``, which is not after the first gap."""
    limit: int
    """Where the ordinals of the file ended."""
    parts: bool = False
    """Records of the file were delivered before."""
    weight: int = 0
    """Bytes to read, about."""

    @property
    def start(self) -> int:
        """First ordinal."""
        return self.gaps[0][0]

    @property
    def stop(self) -> int:
        """End of the last gap."""
        return self.gaps[-1][1]

    def without(self, covered: Ranges) -> Split | None:
        """What is left of it; None if nothing is."""
        left = tuple(part for gap in self.gaps for part in covered.complement(*gap))
        if left == self.gaps:
            return self
        share = sum(b - a for a, b in left) / max(1, sum(b - a for a, b in self.gaps))
        return msgspec.structs.replace(self, gaps=left, weight=int(self.weight * share)) if left else None

    def before(self, ordinal: int) -> Split | None:
        """What of it lies before an ordinal."""
        gaps = tuple((a, min(b, ordinal)) for a, b in self.gaps if a < ordinal)
        return msgspec.structs.replace(self, gaps=gaps) if gaps else None


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Split).decode


def bins(splits: Sequence[Split], tasks: int, most_bytes: int) -> list[list[Split]]:
    """Splits in their order, in about ``tasks`` bins of equal weight, none much heavier than ``most_bytes``."""
    total = sum(split.weight for split in splits)
    share = max(1, min(most_bytes, -(-total // max(1, tasks))))
    made: list[list[Split]] = []
    filled = 0
    for split in splits:
        if not made or filled + split.weight // 2 >= share:
            made.append([])
            filled = 0
        made[-1].append(split)
        filled += split.weight
    return made


class SplitReader:
    """See ``bridge.engine.work.Reader``: row k of the DataFrame stands for bin k."""

    def __init__(
        self, bins: Sequence[Sequence[Split]], settings: FileSettings, fields: Mapping[str, frozenset[str]]
    ) -> None:
        self._bins = [b"\n".join(map(encode, one)) for one in bins]
        self._settings = settings.model_dump(mode="json")
        self._fields = {name: sorted(types) for name, types in fields.items()}

    def __call__(self, rows: Iterator[pa.RecordBatch]) -> Iterator[Batch | Trouble]:
        """Every split of the bins that the rows name."""
        settings = FileSettings.model_validate(self._settings)
        fields = {name: frozenset(types) for name, types in self._fields.items()}
        for batch in rows:
            for number in batch.column(0).to_pylist():
                yield from read_all(map(decode, self._bins[number].split(b"\n")), settings, fields)


def read_all(
    splits: Iterable[Split], settings: FileSettings, fields: Mapping[str, frozenset[str]]
) -> Iterator[Batch | Trouble]:
    """Batches of splits, in order; the rest of a file that was refused is left."""
    ended: set[str] = set()
    for split in splits:
        if split.partition in ended:
            continue
        for found in read(split, settings, fields):
            if isinstance(found, Trouble):
                ended.add(found.partition)
            yield found


def read(
    split: Split, settings: FileSettings, fields: Mapping[str, frozenset[str]]
) -> Iterator[Batch | Trouble]:
    """Batches of one split, as the file source makes them.

    Raises:
        SourceUnavailable: E208, the disk does not give the file now.
    """
    known = KnownFile(
        split.partition, split.file, split.generation, path=split.path, inode=split.inode, size=split.size
    )
    known.line, known.parts = (split.at, split.line), split.parts
    at = split.start
    try:
        fd = open_inside(known, split.root)
    except FileNotFoundError:
        yield Trouble(
            partition=split.partition,
            start=at,
            what="gone",
            message=f"`{split.file}` was gone before it could be read",
        )
        return
    except BadFile as error:
        yield refused(split, at, error)
        return
    reader: FileReader | None = None
    try:
        status = os.fstat(fd)
        if status.st_ino != split.inode or status.st_size < split.size:
            message = f"`{split.file}` is not the file it was when it was planned; it is looked at again"
            yield Trouble(partition=split.partition, start=at, what="gone", message=message)
            return
        reader = make_reader(fd, known, settings, fields)
        known.limit = reader.limit(split.size)
        for start, stop in split.gaps:
            at = start
            while at < stop:
                chunk = reader.take(at, stop, final=True)
                if chunk is None:
                    break
                at = chunk.cover[1]
                yield batch_of(known, chunk, fd, reader, split.size)
    except BadFile as error:
        yield refused(split, at, error)
    except OSError as error:
        raise SourceUnavailable(f"`{split.file}` cannot be read now: {error.strerror}", "E208") from error
    finally:
        if reader is not None:
            reader.close()
        os.close(fd)


def refused(split: Split, at: int, error: BadFile) -> Trouble:
    """The rest of a split's file, from ordinal ``at`` on."""
    return Trouble(
        partition=split.partition,
        start=at,
        what="refused",
        code=error.code,
        message=error.message,
        facts=error.facts,
    )
