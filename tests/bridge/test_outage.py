"""A real metastore service that is away at the start, is killed, hangs and flaps: commits go on, nothing is lost or doubled."""

from __future__ import annotations

import os
import signal
import time

import pytest

from config.models import Hive
from core.signals import Signal
from tests.bridge.commits import Commits, a_config, a_plan, days
from tests.bridge.test_bridge import Line, running, shell
from tests.services.metastore import Metastore
from tests.waiting import eventually

pytestmark = pytest.mark.slow
NOTICED_S = 1.0
REGISTERED_S = 5.0
"""On a machine of our own; ``busy`` stretches both where others work on it, too."""


def busy() -> float:
    """How much longer things take now than on an idle machine: 1 to 8."""
    return min(8.0, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


class Watched:
    """A bridge, its commits, and how long it takes."""

    def __init__(self, bridge, commits: Commits) -> None:
        self.bridge = bridge
        self.commits = commits
        self.rows = 0
        self.took: dict[str, float] = {}

    @property
    def state(self) -> str:
        return self.bridge.statistics()["state"]

    def commit(self, first: int, n: int) -> None:
        """A commit with n new days, two rows each."""
        self.commits.add(days(first + n)[first:], rows=2)
        self.rows += 2 * n
        self.bridge.poke()

    async def becomes(self, state: str, timeout_s: float, what: str) -> None:
        began = time.monotonic()
        await eventually(lambda: self.state == state, timeout_s=timeout_s * busy(), what=what)
        self.took[what] = time.monotonic() - began

    async def registered(self, timeout_s: float, what: str) -> None:
        began, tip = time.monotonic(), self.commits.log.last()
        done = lambda: self.bridge.statistics()["registered"] == tip and self.state == "up"  # noqa: E731
        await eventually(done, timeout_s=timeout_s * busy(), what=what)
        self.took[what] = time.monotonic() - began


@pytest.mark.timeout(400)
async def test_a_metastore_comes_and_goes_and_every_row_is_counted_once(tmp_path, metastore: Metastore):
    line, commits = Line(), Commits(tmp_path, a_plan())
    hive = Hive(metastore_uri=metastore.uri, database="outage")
    config = a_config(tmp_path).model_copy(update={"hive": hive})
    metastore.stop()
    try:
        async with running(tmp_path, line, config) as bridge:
            site = Watched(bridge, commits)
            await site.becomes("down", 2 * NOTICED_S, "away at the start: noticed")
            site.commit(0, 5)
            await eventually(
                lambda: bridge.spark_is_up, timeout_s=90, what="the session waits for the metastore"
            )
            metastore.start()
            await site.registered(60, "away at the start: tables made and registered")
            jvm = bridge.statistics()["jvm"]["pid"]

            metastore.stop()
            await site.becomes("down", NOTICED_S, "killed: noticed")
            site.commit(5, 50)
            metastore.start()
            await site.registered(REGISTERED_S, "killed: 50 partitions registered")

            metastore.send(signal.SIGSTOP)
            site.commit(55, 50)
            await site.becomes("hanging", NOTICED_S, "hanging: noticed")
            assert bridge.statistics()["waiting"] == 1
            metastore.send(signal.SIGCONT)
            await site.registered(REGISTERED_S, "hanging: 50 partitions registered")

            for turn in range(3):
                metastore.stop()
                site.commit(105 + 5 * turn, 5)
                metastore.start(wait=turn > 0)
            await site.registered(REGISTERED_S, "flapping: registered")
            assert bridge.statistics()["jvm"]["pid"] == jvm and bridge.statistics()["restarts"] == 0
            counted = shell(
                tmp_path, "SELECT count(*) AS n FROM outage.gold_orders", "SHOW PARTITIONS outage.gold_orders_files",
                uri=metastore.uri,
            )  # fmt: skip
    finally:
        metastore.send(signal.SIGCONT)
        metastore.stop()
        metastore.start()

    assert counted[0] == {"n": site.rows} and len(counted) == 1 + site.rows // 2
    assert [one.type for one in line.signals][:3] == [
        "assay.store.down",
        "assay.store.up",
        "assay.store.down",
    ]
    assert states(line.signals) == {"down", "hanging"}
    print("\n".join(f"{what}: {seconds:.2f} s" for what, seconds in site.took.items()))


def states(signals: list[Signal]) -> set[str]:
    return {one.data["state"] for one in signals if one.type == "assay.store.down"}
