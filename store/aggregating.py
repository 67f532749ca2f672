"""Keeping aggregates up to the commit log: which days a commit touches, what is added to each, where it all stands.

Truth is in the days' own files: each names its definition and the commit up to which Gold is in it, and it is replaced
in one step. ``state/aggregates.json`` only says where to go on reading the log; lost, it is made again. So a step
that was cut off anywhere is repeated, and adds nothing twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from core.crash import crashpoint
from core.errors import StoreUnavailable
from store.aggregate import Groups, TooManyGroups
from store.aggregate_files import DayFiles, in_portions, refused
from store.definition import Definition
from store.layout import Layout, commit_of, partition_path
from store.log import CommitLog, LiveFile, write_synced
from store.manifest import Manifest
from store.placing import Places
from store.watermark import Latest, Tide
from store.windows import day_number, day_numbers_of, day_of_number

COMMITS = 200
"""Manifests read at a time."""
PORTION = 32
"""Days that are staged before they are put in place."""

Files = dict[int, list[LiveFile]]
"""Day (since 1970-01-01) -> Gold files of one dataset, in order of commits."""


class Standing(msgspec.Struct, kw_only=True):
    """``state/aggregates.json``."""

    v: int = 1
    commit: int = 0
    """All aggregates hold Gold up to here."""
    definitions: dict[str, str] = {}
    """table -> version of the definition that holds for all its days"""
    high: dict[str, dict[str, int]] = {}
    """dataset -> source -> latest event time, UTC µs, where a watermark needs it"""
    late: dict[str, dict[str, int]] = {}
    """table -> day -> records that came too late"""


@dataclass(slots=True)
class Step:
    """What one step did."""

    commit: int
    days: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """table -> days whose files are new"""
    made_anew: list[str] = field(default_factory=list)
    """Tables that were made from all of Gold."""
    retired: dict[str, int] = field(default_factory=dict)
    """table -> days of an older definition whose Gold is gone"""
    late: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """table -> records that came too late"""
    missing: list[Path] = field(default_factory=list)
    """Gold files that the log names and that are not there."""
    refused: list[TooManyGroups] = field(default_factory=list)
    high: dict[str, Latest] = field(default_factory=dict)


class Aggregates:
    """All aggregates of one data directory. Blocking; one thread.

    Args:
        definitions: those of this run. What another run kept up and this one does not stays as it is.
    """

    def __init__(self, layout: Layout, definitions: Sequence[Definition]) -> None:
        self.standing = Standing()
        self._layout = layout
        self._log = CommitLog(layout.root)
        self._places = Places(layout)
        self._path = layout.state / "aggregates.json"
        self._kept = {one.table: one for one in definitions}
        self._files = {one.table: DayFiles(layout, one) for one in definitions}

    def open(self) -> None:
        """Read where it stood, and remove what a dead process left.

        Raises:
            StoreUnavailable: E701 a newer Assay wrote it, E709 a directory refuses.
        """
        self.standing = read_standing(self._path)
        for files in self._files.values():
            files.sweep()

    def step(self) -> Step:
        """Take in the next commits, ``COMMITS`` at most; new definitions are first made from all of Gold.

        Returns:
            What was done; its ``commit`` is as before when there was nothing new.

        Raises:
            StoreUnavailable: the log or a directory refuses now; repeating the step adds nothing twice.
        """
        known = self.standing.definitions
        new = [one for one in self._kept.values() if known.get(one.table) != one.version]
        if new:
            step = self._from_all(new)
        else:
            manifests = self._log.after(self.standing.commit, COMMITS)
            if not manifests:
                return Step(self.standing.commit)
            try:
                step = self._onward(manifests)
            except _Lost as lost:
                del self.standing.definitions[lost.table]
                return self.step()
        self._save(step)
        crashpoint("aggregates.cursor")
        return step

    @property
    def late(self) -> dict[str, int]:
        """table -> records that came after their window was closed, as far as this directory's files say."""
        return {table: sum(days.values()) for table, days in self.standing.late.items()}

    def _onward(self, manifests: Sequence[Manifest]) -> Step:
        """Add commits that follow where all aggregates stand."""
        step = Step(manifests[-1].commit)
        live = [LiveFile(commit=one.commit, entry=entry) for one in manifests for entry in one.files]
        self._each(self._kept.values(), live, self.standing.high, step, self._lost)
        return step

    def _from_all(self, new: Sequence[Definition]) -> Step:
        """Make some aggregates from all live Gold, up to where the others stand."""
        state = self._log.state()
        step = Step(self.standing.commit or state.commit)
        for definition in new:
            self.standing.late.pop(definition.table, None)
            self._files[definition.table].retire()
        live = [one for one in state.files if one.commit <= step.commit]
        self._each(new, live, {}, step, lambda definition, day: False)
        for definition in new:
            if definition.table in self._kept:
                alive = day_numbers_of(definition.window, _gold(live, definition.dataset))
                if left := self._files[definition.table].forget(alive):
                    step.retired[definition.table] = left
                step.made_anew.append(definition.table)
        return step

    def _each(
        self, definitions: Iterable[Definition], live: Sequence[LiveFile], high: Mapping[str, Latest], step: Step,
        lost: Callable[[Definition, int], bool],
    ) -> None:  # fmt: skip
        """Bring aggregates up to the step's commit; one that would not fit into memory is given up."""
        by_dataset: dict[str, list[Definition]] = defaultdict(list)
        for one in definitions:
            by_dataset[one.dataset].append(one)
        for dataset, found in by_dataset.items():
            gold = _gold(live, dataset)
            tide = Tide(high.get(dataset, {}))
            if any(one.watermark_us is not None for one in found):
                self._rise(tide, gold, step)
                step.high[dataset] = tide.high
            for definition in found:
                try:
                    self._bring(definition, gold, tide, step, lost)
                except TooManyGroups as error:
                    step.refused.append(error)
                    del self._kept[definition.table]

    def _bring(
        self, definition: Definition, gold: Files, tide: Tide, step: Step, lost: Callable[[Definition, int], bool]
    ) -> None:  # fmt: skip
        """Bring the days that have to do with some Gold files up to the step's commit."""
        files = self._files[definition.table]

        def stage(day: int) -> bool:
            stated = files.stated(day)
            if stated is None or stated.definition != definition.version:
                if lost(definition, day):
                    raise _Lost(definition.table)
                stated, groups = None, Groups(definition, day)
            since, late = (stated.commit, stated.late) if stated else (0, 0)
            more = [
                one for held in definition.window.held_days(day) for one in gold.get(held, ()) if one.commit > since
            ]  # fmt: skip
            if stated is not None and more:
                groups = files.groups(day)
            for one in sorted(more, key=lambda one: one.commit):
                self._add(groups, one, tide, step)
            if more:
                files.stage(day, groups, step.commit, late + groups.late)
                step.late[definition.table] += groups.late
                late += groups.late
            self._note_late(definition.table, day, late)
            return bool(more)

        def publish(days: list[int]) -> None:
            crashpoint("aggregates.computed")
            files.publish(days)
            crashpoint("aggregates.renamed")
            step.days[definition.table].update(days)

        in_portions(day_numbers_of(definition.window, gold), PORTION, stage, publish)

    def _add(self, groups: Groups, live: LiveFile, tide: Tide, step: Step) -> None:
        """Add one Gold file, wherever it lies now."""
        watermark = groups.definition.watermark_us
        closed = None if watermark is None else tide.closed(live.commit, watermark)
        for _ in range(2):  # it may come home between the look and the opening
            path = self._places.found_path(live.entry)
            try:
                if path is not None:
                    return groups.add_file(path, closed)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise refused(path or Path(live.entry.path), error) from error
        step.missing.append(self._places.final_path(live.entry))
        return None

    def _rise(self, tide: Tide, gold: Files, step: Step) -> None:
        """Let the tide pass over Gold, commit by commit."""
        by_commit: dict[int, list[Path]] = defaultdict(list)
        for live in (one for files in gold.values() for one in files):
            path = self._places.found_path(live.entry)
            if path is not None:
                by_commit[live.commit].append(path)
        for commit in sorted(by_commit):
            try:
                tide.rise(commit, by_commit[commit])
            except OSError as error:
                raise refused(by_commit[commit][0], error) from error

    def _lost(self, definition: Definition, day: int) -> bool:
        """Whether a day without a file of ours should have one: older Gold lies there."""
        first, warehouse = f"gold_{definition.dataset}", self._layout.warehouse
        tables = [warehouse / first, *warehouse.glob(f"{first}.v*")]
        days = [partition_path(*day_of_number(held)) for held in definition.window.held_days(day)]
        files = (path for table in tables for held in days for path in (table / held).glob("*.parquet"))
        return any((commit_of(path.name) or 0) <= self.standing.commit for path in files)

    def _note_late(self, table: str, day: int, late: int) -> None:
        days = self.standing.late.setdefault(table, {})
        days[str(day)] = late
        if not late:
            del days[str(day)]

    def _save(self, step: Step) -> None:
        standing = self.standing
        standing.commit = step.commit
        standing.definitions = {one.table: one.version for one in self._kept.values()}
        for dataset, high in step.high.items():
            known = standing.high.get(dataset, {})
            standing.high[dataset] = {name: max(time, known.get(name, time)) for name, time in high.items()}
        needed = {one.dataset for one in self._kept.values() if one.watermark_us is not None}
        standing.high = {dataset: high for dataset, high in standing.high.items() if dataset in needed}
        standing.late = {table: days for table, days in standing.late.items() if table in self._kept and days}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_synced(self._path.with_suffix(".tmp"), msgspec.json.encode(standing)).replace(self._path)
        except OSError as error:
            raise refused(self._path, error) from error


class _Lost(Exception):
    """A table lacks a day that it had: it is made anew."""

    def __init__(self, table: str) -> None:
        super().__init__(table)
        self.table = table


def read_standing(path: Path) -> Standing:
    """Where aggregates stood; the beginning if nothing readable says so, and all of them are made anew.

    Raises:
        StoreUnavailable: E701 a newer Assay wrote it.
    """
    try:
        standing = msgspec.json.decode(path.read_bytes(), type=Standing)
    except (OSError, msgspec.DecodeError):
        return Standing()
    if standing.v > Standing().v:
        raise StoreUnavailable(
            f"`{path}` has format version {standing.v}, this Assay reads up to {Standing().v}: "
            "run the Assay that wrote it, or remove the file", code="E701",
        )  # fmt: skip
    return standing


def _gold(live: Iterable[LiveFile], dataset: str) -> Files:
    found: Files = defaultdict(list)
    for one in live:
        entry = one.entry
        if entry.tier == "gold" and entry.dataset == dataset:
            found[day_number((entry.year, entry.month, entry.day))].append(one)
    return dict(found)
