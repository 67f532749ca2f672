"""What runs inside a Spark task: read, judge, trim, stage. The same code as the connector's and the writer's."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pyarrow as pa

from bridge.engine.work import Failure, Job, Outcome, Reader, Trouble
from core.batch import Batch
from core.errors import AssayError
from core.frame import Frame, Header, QuarantineNote
from core.judging import counts_by_tier, judge_batch, within
from core.lean import without_pandas
from core.novelty import unknown_fields
from core.ranges import Ranges
from core.tally import Tally
from quality.judge import PythonJudge, cached_judge
from quality.spec import JudgeSpec
from schemas.columns import Column
from store.documents import Documents
from store.staged import StagedPart
from store.staging import attempt_suffix, stage_part

STAGE_BYTES = 64 << 20
"""Records that a task holds before it stages them, in bytes as received. Fewer files, more memory: about six times this."""
OUTCOME = pa.schema([("outcome", pa.binary())])


class Stage:
    """The function of a task: ``DataFrame.mapInArrow(Stage(job, reader), "outcome binary")``. Pickles."""

    def __init__(self, job: Job, reader: Reader) -> None:
        self._job = job
        self._reader = reader

    def __call__(self, rows: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """One row: what the task did."""
        without_pandas()
        outcome = run(self._job, self._reader, rows, _task_number())
        yield pa.RecordBatch.from_arrays([pa.array([outcome.packed()], pa.binary())], schema=OUTCOME)


def run(job: Job, reader: Reader, rows: Iterator[pa.RecordBatch], task: int) -> Outcome:
    """Read, judge and stage; errors are told, not raised, so that Spark does not try a hopeless task again."""
    outcome = Outcome(task=task)
    try:
        work = _Work(job, outcome)
        for found in reader(rows):
            if isinstance(found, Trouble):
                outcome.troubles.append(found)
            else:
                work.take(found)
        work.stage()
        work.tell()
    except AssayError as error:
        outcome.failure = Failure.of(error)
    return outcome


class _Work:
    """One task's frames on their way to parquet."""

    def __init__(self, job: Job, outcome: Outcome) -> None:
        self._job = job
        self._outcome = outcome
        spec = JudgeSpec.from_mapping(job.rules)
        self._judge: PythonJudge = cached_judge(job.document, spec)
        self._documents = documents(job.schema, job.columns)
        self._coverage = {partition: Ranges(found) for partition, found in job.coverage.items()}
        self._frames: list[Frame] = []
        self._bytes = 0
        self._tally = Tally()
        self._suffix = attempt_suffix()
        self._seq = 0

    def take(self, batch: Batch) -> None:
        """Judge a batch and hold it; stage what is held when that is much."""
        arrived = time.time_ns() // 1000
        self._outcome.arrived_us = self._outcome.arrived_us or arrived
        records, covers = within(judge_batch(self._judge, batch, arrived), batch.covers, self._job.span)
        self._tally.events += len(batch) + batch.repeats
        tiers = counts_by_tier(records)
        self._tally.judged(records, tiers)
        self._outcome.fields |= unknown_fields(records, self._outcome.fields)
        notes = [
            QuarantineNote(q.what, q.reason, q.records, q.bytes_unread, q.path) for q in batch.quarantined
        ]
        if not (records.num_rows or covers or notes):
            return
        self._seq += 1
        header = Header(
            source=self._job.source, dataset=self._job.dataset, epoch=self._job.epoch, seq=self._seq,
            mode=self._job.mode, arrived_us=arrived, schema=self._job.schema, rules=self._judge.version,
            content_type=batch.content_type, tiers=tiers,
            covers=[(batch.partition, start, end) for start, end in covers],
            marks={batch.partition: batch.mark}, quarantined=notes, attachments=dict(batch.attachments),
        )  # fmt: skip
        self._frames.append(Frame(header, records))
        self._bytes += batch.size_bytes
        if self._bytes >= STAGE_BYTES:
            self.stage()

    def stage(self) -> None:
        """Write what is held."""
        if not self._frames:
            return
        part: StagedPart = stage_part(
            self._frames, self._coverage, self._job.layout, number=self._job.number,
            suffix=f"{self._suffix}{len(self._outcome.parts):02d}", documents=lambda dataset, schema: self._documents,
            keep_raw=self._job.keep_raw,
        )  # fmt: skip
        self._outcome.parts.append(part)
        for partition, start, end in part.covers:
            self._coverage.setdefault(partition, Ranges()).add(start, end)
        self._frames, self._bytes = [], 0

    def tell(self) -> None:
        """The tally, into the outcome."""
        self._outcome.events, self._outcome.scored = self._tally.events, dict(self._tally.scored)
        self._outcome.rules, self._outcome.measures = dict(self._tally.rules), dict(self._tally.measures)


_documents: dict[tuple[str, tuple[str, ...]], Documents] = {}


def documents(schema: str, columns: Sequence[Column]) -> Documents:
    """The decoder of a schema version's documents, made once a process."""
    key = (schema, tuple(f"{column.name} {column.type} {column.table}" for column in columns))
    if key not in _documents:
        _documents[key] = Documents(columns)
    return _documents[key]


def _task_number() -> int:
    from pyspark import TaskContext

    context = TaskContext.get()
    return int(context.partitionId()) if context is not None else 0
