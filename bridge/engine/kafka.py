"""Kafka topics as a kind of source for Spark: a stream that begins where the stored coverage ends.

Each micro-batch covers every offset up to its end, also those that no record has (transactions' ends, aborted and
compacted records): what is covered of a partition and where the query stands are the same place after each commit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from actors.sources.kafka_records import RECORDS, TopicPartition, batches_of, mark_of, names_of
from actors.sources.table import spark_only
from bridge.engine.checkpoint import MEND
from bridge.engine.kafka_cluster import Cluster, client_settings
from bridge.engine.kafka_places import Places, offsets_json
from bridge.engine.kinds import Given
from bridge.engine.work import Trouble, Work
from config.models import KafkaSettings
from core.batch import Batch, Mark, Resume
from core.errors import AssayError, ConfigError
from core.ports import SourceStatistics
from core.ranges import Ranges
from core.signals import Signal, signal
from store.staged import Cover, StagedPart

RECORD_BYTES = 256
"""What a record counts as where a rate limits what a trigger may read."""


class KafkaReader:
    """Makes batches of the rows of Spark's Kafka source. Pickles."""

    def __init__(
        self, names: Mapping[TopicPartition, str], topics: Mapping[str, str], most_bytes: int,
        stored: Mapping[str, Sequence[tuple[int, int]]],
    ) -> None:  # fmt: skip
        self._names, self._topics, self._most = dict(names), dict(topics), most_bytes
        self._stored = {name: list(ranges) for name, ranges in stored.items()}

    def __call__(self, rows: Iterator[pa.RecordBatch]) -> Iterator[Batch | Trouble]:
        """See ``bridge.engine.work.Reader``."""
        stored = {name: Ranges(ranges) for name, ranges in self._stored.items()}
        for fetched in rows:
            yield from batches_of(fetched, self._names, self._topics, self._most, stored)


@dataclass(frozen=True, slots=True)
class Reach:
    """``Work.items``: how far a micro-batch reads one partition."""

    start: int
    end: int
    mark: Mark


class KafkaKind:
    """See ``bridge.engine.work.Kind``. Made anew for each epoch; only streams read Kafka.

    Args:
        say: told of signals, from any thread.
        checkpoint: of the query that reads it, a local directory.
        most: records a trigger, for a source whose rate is limited.
    """

    def __init__(
        self, name: str, settings: KafkaSettings, *, say: Callable[[Signal], None], checkpoint: Path,
        most: int | None = None,
    ) -> None:  # fmt: skip
        self._name, self._settings, self._tell = name, settings, say
        self._most = (
            min(max(1, most), settings.records_per_trigger)
            if most is not None
            else settings.records_per_trigger
        )
        self._wanted = (settings.topic,) if isinstance(settings.topic, str) else settings.topic
        self._cluster: Cluster | None = None
        self._places = Places(checkpoint)
        self._stored: dict[str, Ranges] = {}
        self._marks: dict[str, Mark] = {}
        self._topics: dict[str, str] = {}
        self._names: dict[TopicPartition, str] = {}
        self._start: dict[TopicPartition, int] = {}
        self._latest: dict[TopicPartition, int] = {}
        self._done: dict[TopicPartition, int] = {}

    def restore(self, resume: Resume) -> None:
        """See ``Kind``. The cluster is asked by ``stream``."""
        self._stored = {partition: ranges.copy() for partition, ranges in resume.coverage.items()}
        self._marks = dict(resume.marks)

    def plan(self, limit_bytes: int) -> Work | None:
        """Refused: batch runs do not read Kafka.

        Raises:
            ConfigError: E411.
        """
        raise spark_only(self._name, "kafka")

    def owner(self) -> Mapping[str, Any]:
        """See ``bridge.engine.stream.StreamKind``."""
        return {"type": "kafka", "topics": sorted(self._wanted)}

    def pump(self) -> None:
        """See ``StreamKind``; Spark looks itself."""

    def stream(self, spark: Any) -> Any:
        """See ``StreamKind``: one row a record.

        Raises:
            SourceUnavailable: E430 no broker answers, E431 no such topic.
            Permanent: E432 records that are not stored are gone, E433 the brokers refuse us.
            ConfigError: E123 the checkpoint is ahead of what is stored, E434 the connector's jars are missing,
                E435 a PEM file cannot be read.
        """
        self._look(spark)
        self._compare()
        self._places.forget_unfinished()
        settings = self._settings
        options = {
            "subscribe": ",".join(self._wanted),
            "startingOffsets": json.dumps(offsets_json(self._start)),
            "maxOffsetsPerTrigger": str(self._most),
            "failOnDataLoss": str(settings.on_data_loss == "stop").lower(),
            "includeHeaders": "true",
            "fetchOffset.numRetries": "1",
            "kafka.isolation.level": "read_committed",
            **{f"kafka.{key}": value for key, value in client_settings(settings).items()},
        }
        reader = spark.readStream.format("kafka").options(**options)
        try:
            return reader.load().select(*RECORDS.names)
        except Exception as error:
            raise self.failed(str(error)) or error from error

    def of_batch(self, frame: Any, batch_id: int, stored: Mapping[str, Ranges]) -> Work | None:
        """See ``StreamKind``; None where every offset of the micro-batch is covered."""
        ends = self._places.ends(batch_id)
        before = self._places.ends(batch_id - 1) if batch_id else self._places.begins()
        self._name_partitions(ends)
        assert self._cluster is not None
        self._latest = self._cluster.offsets(ends, "latest")
        reach = {
            self._names[one]: Reach(before.get(one, 0), end, mark_of(one[0], self._topics[one[0]], one[1]))
            for one, end in ends.items()
            if not stored.get(self._names[one], Ranges()).covers(before.get(one, 0), end)
        }
        if not reach:
            return None
        names = {one: self._names[one] for one in ends}
        known = {name: list(stored[name]) for name in names.values() if name in stored}
        return Work(
            frame=lambda spark: frame,
            reader=KafkaReader(names, self._topics, self._settings.max_record_bytes, known),
            tasks=len(reach), size_bytes=0, partitions=frozenset(reach), items=reach,
        )  # fmt: skip

    def settle(
        self, work: Work, troubles: Sequence[Trouble], parts: Sequence[StagedPart]
    ) -> list[StagedPart]:
        """See ``Kind``: what lies between and behind the records is done with, too."""
        covers: list[Cover] = []
        marks: dict[str, Mark] = {}
        for name, reach in work.items.items():
            known = self._stored.get(name, Ranges()).copy()
            begin = next(iter(known))[1] if known else reach.start
            for part in parts:
                known.update((start, end) for partition, start, end in part.covers if partition == name)
            holes = [(name, start, end) for start, end in known.complement(begin, reach.end)]
            covers += holes
            marks |= {name: reach.mark} if holes else {}
        return [StagedPart(covers=covers, marks=marks)] if covers else []

    def committed(self, work: Work, parts: Sequence[StagedPart]) -> None:
        """See ``Kind``."""
        for part in parts:
            for partition, start, stop in part.covers:
                self._stored.setdefault(partition, Ranges()).add(start, stop)
            self._marks.update(part.marks)
        for reach in work.items.values():
            self._done[reach.mark["topic"], reach.mark["partition"]] = reach.end

    def failed(self, text: str) -> AssayError | None:
        """What it means that the query ended with this Java trace; None: nothing that is Kafka's."""
        return self._cluster.meant(text) if self._cluster is not None else None

    def statistics(self) -> SourceStatistics:
        """See ``Kind``."""
        lag = sum(max(0, latest - self._done.get(one, latest)) for one, latest in self._latest.items())
        return SourceStatistics(
            lag_records=lag if self._latest else None,
            partitions=len(self._names),
            detail=f"{len(self._names)} partitions of {', '.join(self._wanted)}" if self._names else "",
        )

    def close(self) -> None:
        """See ``Kind``."""
        if self._cluster is not None:
            self._cluster.close()

    # --- before the query starts

    def _look(self, spark: Any) -> None:
        """Ask the cluster what there is, and find where each partition goes on."""
        self.close()
        cluster = self._cluster = Cluster(spark._jvm, self._settings, self._wanted)
        found = cluster.topics()
        self._topics = {topic: topic_id for topic, (topic_id, _) in found.items()}
        partitions = [(topic, number) for topic, (_, numbers) in found.items() for number in numbers]
        self._name_partitions(partitions)
        earliest, latest = (cluster.offsets(partitions, which) for which in ("earliest", "latest"))
        unread = latest if self._settings.starting == "latest" else earliest
        self._start = {one: self._reached(one, unread[one]) for one in partitions}
        self._latest, self._done = latest, dict(self._start)
        for one in partitions:
            self._in_reach(one, earliest[one], latest[one])

    def _name_partitions(self, partitions: Any) -> None:
        if not set(partitions) <= self._names.keys():
            self._names |= names_of(self._topics, partitions, self._marks)

    def _reached(self, one: TopicPartition, otherwise: int) -> int:
        """The first offset that is not stored; ``otherwise`` where nothing is."""
        stored = self._stored.get(self._names[one])
        return next(iter(stored))[1] if stored else otherwise

    def _in_reach(self, one: TopicPartition, earliest: int, latest: int) -> None:
        """Whether the topic still has what comes next.

        Raises:
            Permanent: E432.
        """
        start, where = self._start[one], f"`{one[0]}`, partition {one[1]}"
        if earliest <= start <= latest:
            return
        assert self._cluster is not None
        what = f"{where} begins at {earliest} and ends at {latest}, and offset {start} is next"
        if start > latest or self._settings.on_data_loss == "stop":
            raise self._cluster.lost(what)
        self._start[one] = earliest
        self._tell(signal(
            "assay.source.skipped", self._name, f"{self._name}: {what}; {earliest - start} are lost",
            source=f"/sources/{self._name}", level="error", records=earliest - start,
        ))  # fmt: skip

    def _compare(self) -> None:
        """Refuse a checkpoint that would pass over what is not stored.

        Raises:
            ConfigError: E123.
        """
        begins = self._places.begins()
        for one, offset in self._places.next().items():
            stored = self._stored.get(self._names.get(one, ""))
            reached = next(iter(stored))[1] if stored else begins.get(one, 0)
            if offset > reached:
                why = f"it goes on at offset {offset} of `{one[0]}`, partition {one[1]}, and only what lies before {reached} is stored"
                raise ConfigError(
                    f"the checkpoint `{self._places.folder}` is ahead of the tables ({why}): {MEND}", "E123"
                )


def batch(given: Given) -> KafkaKind:
    """See ``bridge.engine``: there is none.

    Raises:
        ConfigError: E411.
    """
    raise spark_only(given.name, "kafka")


def stream(given: Given) -> KafkaKind:
    """See ``bridge.engine``."""
    most = given.limit_bytes // RECORD_BYTES if given.settings.rate_limit else None
    return KafkaKind(given.name, given.settings, say=given.say, checkpoint=given.checkpoint, most=most)
