"""Assay for your own code: subscribe to judged records and signals from any process.

    async for event in await assay.subscribe("scored.flights", lossless=True):
        print(event.header.source, event.header.rows, event.rows()[0]["tier"])

See docs/subscribing.md. Nothing here needs Ray; inside a Ray job the bus is also found by its actor's name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from core.bus_messages import Filter
from core.errors import AssayError, BusLost, SubscriptionEnded
from core.frame import Frame, Header
from core.line import Endpoint, Line
from core.ports import Source as BaseConnector
from core.signals import Signal
from core.subscription import Delivery, Subscription
from core.tiers import Tier

if TYPE_CHECKING:
    from quality import JudgeSpec, compile_judge
    from quality import PythonJudge as DataClassifier


RAY_SAYS = {"RAY_JOB_ID", "RAY_JOB_CONFIG_JSON_ENV_VAR"}
"""Variables that Ray sets in its workers, and in what `ray job submit` starts."""


class Event:
    """One frame of judged records, one signal, or one post."""

    __slots__ = ("_delivery", "_tiers")

    def __init__(self, delivery: Delivery, tiers: tuple[int, ...] | None) -> None:
        self._delivery = delivery
        self._tiers = tiers

    @property
    def topic(self) -> str:
        """``scored.<dataset>`` or ``system``."""
        return self._delivery.topic

    @property
    def seq(self) -> int:
        """1, 2, 3 … within the topic."""
        return self._delivery.seq

    @property
    def gap(self) -> int:
        """How many events were dropped just before this one; always 0 for a lossless subscriber."""
        return self._delivery.gap

    @property
    def signal(self) -> Signal | None:
        """Of an event on ``system``."""
        return self._delivery.signal

    @property
    def body(self) -> bytes | None:
        """Of a post (``stats``: JSON)."""
        return self._delivery.body

    @property
    def header(self) -> Header:
        """Source, dataset, epoch, counts by tier … of a frame.

        Raises:
            ValueError: the event is no frame.
        """
        return self._frame.header

    @property
    def records(self) -> Any:
        """The records as a ``pyarrow.RecordBatch`` (columns: ``core.frame.FRAME_SCHEMA``), of the tiers asked for."""
        records = self._frame.records
        if self._tiers is None:
            return records
        import pyarrow as pa
        import pyarrow.compute as pc

        return records.filter(pc.is_in(records.column("tier"), value_set=pa.array(self._tiers, pa.uint8())))

    def rows(self) -> list[dict[str, Any]]:
        """The records as dictionaries: ``id``, ``tier`` in words, ``document`` decoded, and the other columns.

        ``document`` is None where the record is no JSON object; ``raw`` always has its bytes.
        """
        header, found = self._frame.header, []
        for row in self.records.to_pylist():
            row["id"] = f"{header.source}.{row['partition']}.{row['ordinal']}"
            row["tier"] = Tier(row["tier"]).word
            row["document"] = _document(row["document"] or row["raw"])
            row["reasons"] = row["reasons"] or []
            found.append(row)
        return found

    @property
    def _frame(self) -> Frame:
        if self._delivery.frame is None:
            raise ValueError(f"the event on `{self.topic}` holds no records")
        return self._delivery.frame


class Events:
    """A running subscription: iterate over it, close it (or use ``async with``)."""

    def __init__(self, line: Line, subscription: Subscription, tiers: tuple[int, ...] | None) -> None:
        self._line = line
        self._subscription = subscription
        self._tiers = tiers

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Event:
        return Event(await anext(self._subscription), self._tiers)

    async def __aenter__(self) -> Events:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def lost(self) -> int:
        """Events dropped so far because this reader was too slow (never when lossless)."""
        return self._subscription.lost

    async def close(self) -> None:
        """Leave the bus. A lossless subscriber with a name may come back within a minute and has missed nothing."""
        await self._line.close()


async def subscribe(
    topic: str | Sequence[str],
    *,
    lossless: bool = False,
    name: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    source: str | Sequence[str] | None = None,
    dataset: str | Sequence[str] | None = None,
    tier: str | Sequence[str] | None = None,
    type: str | Sequence[str] | None = None,
    timeout_s: float = 30.0,
) -> Events:
    """Subscribe to a running Assay, from now on.

    Args:
        topic: ``scored.<dataset>`` (judged records), ``system`` (signals); a trailing ``*`` stands for any ending.
        lossless: every event, in order, else the oldest are dropped when you are slow (``event.gap`` says so).
            A lossless subscriber that stays too far behind is ended (``SubscriptionEnded``); what it missed is in
            the tables. After a restart of the system it may see records again: key them by their id.
        name: under which a lossless subscriber goes on where it stopped when it comes back within a minute.
        data_dir: the data directory of the running system; default ``ASSAY_DATA``, then ``./data``.
        source, dataset, tier, type: only these (``tier`` in words; ``type`` of signals, may end in ``*``).

    Raises:
        BusLost: no running Assay was found, or it did not answer within ``timeout_s``.
    """
    tiers = None if tier is None else tuple(int(Tier[word.upper()]) for word in _several(tier))
    wanted = Filter(
        topic if isinstance(topic, str) else tuple(topic),
        _optional(source),
        _optional(dataset),
        tiers,
        _optional(type),
    )
    line = Line(await _endpoint(data_dir), f"subscriber:{os.getpid()}")
    try:
        await line.open(timeout_s)
        subscription = await line.subscribe(wanted, name=name, lossless=lossless, timeout_s=timeout_s)
    except BaseException:
        await line.close()
        raise
    return Events(line, subscription, tiers)


async def _endpoint(data_dir: str | os.PathLike[str] | None) -> Endpoint:
    """Where the bus listens: as the data directory says, else as the Ray cluster we are in says."""
    path = Path(data_dir or os.environ.get("ASSAY_DATA") or "data") / "state" / "bus.json"
    try:
        return Endpoint.read(path)
    except FileNotFoundError:
        if data_dir is None and RAY_SAYS & os.environ.keys():
            from actors.handles import bus_endpoint

            found = await bus_endpoint()
            if isinstance(found, Endpoint):
                return found
    except (OSError, msgspec.DecodeError) as failed:
        raise BusLost(f"`{path}` cannot be read: {failed}") from failed
    raise BusLost(
        f"no Assay runs on `{path.parent.parent}` (there is no `{path}`); name its data directory in `data_dir`"
    )


def _several(words: str | Sequence[str]) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else tuple(words)


def _optional(words: str | Sequence[str] | None) -> tuple[str, ...] | None:
    return None if words is None else _several(words)


def _document(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def __getattr__(name: str) -> Any:
    """The kernel is loaded when first asked for, so that a subscriber stays light."""
    if name in ("DataClassifier", "JudgeSpec", "compile_judge"):
        import quality

        return getattr(quality, "PythonJudge" if name == "DataClassifier" else name)
    raise AttributeError(f"module `assay` has no `{name}`")


__all__ = [
    "AssayError", "BaseConnector", "BusLost", "DataClassifier", "Event", "Events", "JudgeSpec", "SubscriptionEnded",
    "compile_judge", "subscribe",
]  # fmt: skip
