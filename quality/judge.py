"""The judge in Python: generated fast path first, the exact path for every record it does not vouch for."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from core.batch import Reason
from core.errors import ConfigError
from core.frame import JUDGED_SCHEMA, TIMESTAMP
from quality.check import quicken
from quality.columns import column, reasons_column, same_value, sparse_binary
from quality.exact import Verdict, judge_exactly, refuse, refused_reason
from quality.exact_code import Exact, generate_exact
from quality.generate import FastPath, generate
from quality.measures import make_plan
from quality.model import load
from quality.reasons import Why, in_order
from quality.rules import check_names, compile_rules
from quality.spec import JudgeSpec

Kernel = Literal["auto", "python", "native"]
_FLOAT, _BOOL, _TIER, _BINARY = pa.float64(), pa.bool_(), pa.uint8(), pa.large_binary()


def compile_judge(
    schema: bytes | dict[str, Any],
    dataset: JudgeSpec | Mapping[str, Any] | None = None,
    *,
    kernel: Kernel = "auto",
) -> PythonJudge:
    """One schema and one dataset's rules, compiled.

    Args:
        schema: the JSON Schema document.
        dataset: a ``JudgeSpec`` or the keys of one ``datasets`` entry; None: the defaults.
        kernel: ``native`` asks for an extension that is not installed here.

    Raises:
        BadSchema: E500–E503. ConfigError: E110–E113.
    """
    if kernel == "native":
        raise ConfigError("kernel `native` is not installed; use `auto` or `python`", "E113")
    spec = dataset if isinstance(dataset, JudgeSpec) else JudgeSpec.from_mapping(dataset or {})
    root = load(schema)
    quicken(root)
    plan = make_plan(spec, root, compile_rules(spec, root))
    check_names(plan)
    return PythonJudge(plan, generate(plan), generate_exact(plan)[0])


class PythonJudge:
    """Obeys ``core.ports.Judge``. Holds no state but caches of texts found good; may be used by one thread at a time."""

    kernel = "python"
    arrow_schema = JUDGED_SCHEMA

    def __init__(self, plan: Any, fast: FastPath, exact: Exact | None) -> None:
        self.version: str = plan.spec.version
        self._plan = plan
        self._fast, self._exact = fast, exact

    def judge(
        self,
        data: Any,
        offsets: Any = None,
        *,
        now_us: int,
        columns: bool = False,
        reasons: bool = True,
        refused: Mapping[int, Reason] | None = None,
    ) -> pa.RecordBatch:
        """See ``core.ports.Judge``. Typed columns are not filled by this kernel, whatever ``columns`` says."""
        whole = data if type(data) is bytes else bytes(memoryview(data))
        lines = split(whole, offsets)
        fast = self._fast
        rows = _Rows(len(lines), fast)
        for index in fast.doubtful(lines, now_us, rows, _quotes(whole, lines)):
            if refused is None or index not in refused:
                rows.set(index, self._exactly(lines[index], now_us))
        for index, reason in (refused or {}).items():
            rows.set(index, refuse(self._plan, refused_reason(reason)))
        return rows.record_batch(reasons)

    def _exactly(self, line: bytes, now_us: int) -> Verdict:
        try:
            verdict = self._exact(line, now_us) if self._exact is not None else None
        except Exception:  # whatever stops the generated code, the careful reader knows what to say
            verdict = None
        return judge_exactly(self._plan, line, now_us) if verdict is None else verdict

    def explain(self) -> dict[str, Any]:
        """Which fields and keywords the generated code covers, and which go to jsonschema-rs."""
        return self._fast.explain


def split(whole: bytes, offsets: Any) -> list[bytes]:
    """The documents of a buffer, each as bytes: between ``offsets`` (int64[n+1]), or line by line.

    >>> split(b"{}\\n[]\\n", None)
    [b'{}', b'[]']
    """
    if offsets is None:
        lines = whole.split(b"\n")
        if not lines[-1]:
            lines.pop()
        return lines
    marks = offsets if isinstance(offsets, (list, array)) else memoryview(offsets).cast("B").cast("q")
    at = marks if isinstance(marks, list) else marks.tolist()
    return [whole[start:end] for start, end in pairwise(at)]


def _quotes(whole: bytes, lines: list[bytes]) -> int:
    """Quotes in all lines; one sweep over the buffer where it holds nothing else."""
    if len(whole) < 4096 or sum(map(len, lines)) + len(lines) < len(whole):
        return sum(line.count(b'"') for line in lines)
    return int(np.count_nonzero(np.frombuffer(whole, np.uint8) == ord('"')))


class _Rows:
    """The columns of one batch while they are filled; they start as those of a perfect record."""

    __slots__ = ("accuracy", "completeness", "compliance", "consistency", "extra", "n", "needs", "notes", "score",
                 "tier", "timeliness", "times", "usual", "valid")  # fmt: skip

    def __init__(self, n: int, fast: FastPath) -> None:
        self.n = n
        self.needs = [0] * n
        """Quotes that a line needs for what was read of it."""
        self.valid = [True] * n
        self.tier = [3] * n
        self.score: list[float] = [1.0] * n
        usual = self.usual = fast.usual
        self.completeness = [usual[0]] * n
        self.accuracy = [usual[1]] * n
        self.timeliness = [usual[2]] * n
        self.compliance = [1.0] * n
        self.consistency = [usual[4]] * n
        self.times: list[int | None] = [None] * n
        self.notes: dict[int, list[Why]] = {}
        self.extra: list[tuple[int, bytes]] = []

    def note(self, index: int, why: list[Why]) -> None:
        """The reasons of a record that the fast path judged itself."""
        self.notes[index] = in_order(why)

    def set(self, index: int, verdict: Verdict) -> None:
        """Put one exact verdict in place of whatever stands there."""
        self.valid[index], self.tier[index], self.score[index] = verdict.valid, verdict.tier, verdict.score
        (self.completeness[index], self.accuracy[index], self.timeliness[index], complied,
         self.consistency[index]) = verdict.measures  # fmt: skip
        self.compliance[index] = complied or 0.0
        self.times[index] = verdict.event_us
        if verdict.reasons:
            self.notes[index] = verdict.reasons
        else:
            self.notes.pop(index, None)
        if verdict.extra is not None:
            self.extra.append((index, verdict.extra))

    def record_batch(self, reasons: bool) -> pa.RecordBatch:
        """As Arrow, columns ``JUDGED_SCHEMA``."""
        n = self.n
        notes = sorted(self.notes.items()) if reasons and self.notes else []
        usual = self.usual
        arrays = [
            column(self.valid, True, _BOOL, n),
            column(self.tier, 3, _TIER, n),
            column(self.score, 1.0, _FLOAT, n),
            column(self.completeness, usual[0], _FLOAT, n),
            column(self.accuracy, usual[1], _FLOAT, n),
            column(self.timeliness, usual[2], _FLOAT, n),
            column(self.compliance, 1.0, _FLOAT, n),
            column(self.consistency, usual[4], _FLOAT, n),
            column(self.times, None, TIMESTAMP, n),
            reasons_column(n, notes),
            same_value(None, _BINARY, n),
            sparse_binary(n, self.extra),
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=JUDGED_SCHEMA)


@lru_cache(maxsize=64)
def cached_judge(schema: bytes, dataset: JudgeSpec) -> PythonJudge:
    """``compile_judge``, once per content."""
    return compile_judge(schema, dataset)
