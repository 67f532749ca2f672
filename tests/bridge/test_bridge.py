"""The bridge on a real Spark: follows the log, survives its JVM, leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from actors.bridge import Bridge, read_cursor
from config.models import Hive
from core.signals import Signal
from core.tiers import TIER_WORDS
from tests.bridge.commits import Commits, a_config, a_plan, days
from tests.waiting import eventually, until

pytestmark = pytest.mark.slow


class Line:
    """What the bridge says."""

    def __init__(self):
        self.signals: list[Signal] = []
        self.stats: list[dict] = []

    async def send(self, frame):
        raise AssertionError("the bridge sends no frames")

    async def say(self, one):
        self.signals.append(one)

    async def post(self, topic, body):
        assert topic == "stats"
        self.stats.append(json.loads(body))

    @property
    def kinds(self):
        return [one.type for one in self.signals]


@contextlib.asynccontextmanager
async def running(root, line, config=None):
    bridge = Bridge(root, config or a_config(root), line, {"orders": a_plan()})
    await bridge.start()
    task = asyncio.create_task(bridge.run())
    try:
        yield bridge
    finally:
        await bridge.close()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def shell(root, *statements, uri=None):
    """Rows, as a new process sees them through the stored metastore, or through a service."""
    where = ["--data-dir", str(root), *(["--metastore-uri", uri] if uri else [])]
    done = subprocess.run(
        [sys.executable, "-m", "bridge.shell", *where, "--json", *statements],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.soak  # `tests/system/test_kills.py` kills the JVM of a whole program in every run of the tests
async def test_a_killed_jvm_comes_back_and_a_new_process_counts_every_row(tmp_path):
    """Commits before the session, a kill while registrations wait, commits meanwhile: each row once, then no JVM."""
    line, commits = Line(), Commits(tmp_path, a_plan())
    commits.add(days(60), tiers=("gold", "silver"))
    async with running(tmp_path, line) as bridge:
        assert bridge.statistics()["state"] == "starting" and bridge.statistics()["waiting"] == 1
        assert await bridge.drain(130) == 0
        first = bridge.statistics()
        assert psutil.Process(first["jvm"]["pid"]).nice() == 10 and os.getpriority(os.PRIO_PROCESS, 0) < 10

        commits.add(days(90), tiers=TIER_WORDS)
        bridge.poke()
        os.kill(first["jvm"]["pid"], signal.SIGKILL)
        await eventually(lambda: bridge.statistics()["state"] == "down", timeout_s=1.5, what="noticed")
        commits.add(days(10), rows=7)
        await eventually(lambda: line.stats[-1]["waiting"] == 2, what="commits go on and wait")

        assert await bridge.drain(130) == 0
        second = bridge.statistics()
        assert second["restarts"] >= 1 and second["jvm"]["pid"] != first["jvm"]["pid"]
        assert line.kinds == ["assay.store.up", "assay.store.down", "assay.store.up"]
        assert line.signals[1].data["code"] == "E722"
    assert not alive(first["jvm"]["pid"]) and not alive(second["jvm"]["pid"])

    # As after a crash between registering and noting it: the metastore knows better than the note.
    (tmp_path / "state" / "bridge.json").unlink()
    counts = ", ".join(f"(SELECT count(*) FROM assay.{tier}_orders) AS {tier}" for tier in TIER_WORDS)
    (row,) = shell(tmp_path, f"SELECT last_commit, {counts} FROM assay.assay_visible")
    assert row == {"last_commit": 3, "gold": 60 + 90 + 70, "silver": 60 + 90, "bronze": 90, "rejected": 90}


PARENT = """
import asyncio, sys
from pathlib import Path
from actors.bridge import Bridge
from tests.bridge.commits import a_config, a_plan
from tests.bridge.test_bridge import Line

async def main(root):
    bridge = Bridge(root, a_config(root), Line(), {"orders": a_plan()})
    await bridge.start()
    running = asyncio.create_task(bridge.run())
    while True:
        if (jvm := bridge.statistics()["jvm"]):
            print(jvm["pid"], bridge.statistics()["state"], flush=True)
        await asyncio.sleep(0.02)

asyncio.run(main(Path(sys.argv[1])))
"""


@contextlib.contextmanager
def a_process(root, **environ):
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(root)], stdout=subprocess.PIPE, text=True, env=os.environ | environ
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.soak  # `tests/system/test_crash_points.py` has this death in a whole program
def test_no_jvm_outlives_its_process_and_a_crash_while_registering_is_repeated(tmp_path):
    """The process dies after the partitions are there and before the commit may be seen."""
    commits = Commits(tmp_path, a_plan())
    commits.add(days(3), tiers=("gold", "bronze"), rows=2)

    with a_process(tmp_path, ASSAY_CRASH="bridge.registering") as process:
        said = [line.split() for line in process.stdout]
        assert process.wait(60) == -signal.SIGKILL
    pid = int(said[0][0])
    until(lambda: not alive(pid), timeout_s=10, what="its JVM ended")

    assert not (tmp_path / "state" / "bridge.json").exists(), "not noted, so it is done again"

    with a_process(tmp_path) as process:
        until(lambda: read_cursor(tmp_path / "state" / "bridge.json") == 1, what="registered")
        pid = int(process.stdout.readline().split()[0])
        process.kill()
        until(lambda: not alive(pid), timeout_s=10, what="its JVM ended")
    (row,) = shell(tmp_path, "SELECT count(*) AS n FROM assay.gold_orders")
    assert row == {"n": 6}


async def test_a_metastore_that_nobody_runs_is_said_once_and_at_once(tmp_path):
    """Nothing listens at the address: down, with the reason and what to do; closing is quick."""
    line, commits = Line(), Commits(tmp_path, a_plan())
    commits.add(days(1))
    config = a_config(tmp_path).model_copy(update={"hive": Hive(metastore_uri="thrift://127.0.0.1:9")})

    async with running(tmp_path, line, config) as bridge:
        await eventually(lambda: bridge.statistics()["state"] == "down", timeout_s=2, what="noticed")
        jvm = await eventually(lambda: bridge.statistics()["jvm"], what="the session starts all the same")
        error = bridge.statistics()["last_error"]
        assert error["code"] == "E723" and "`thrift://127.0.0.1:9`: start it, or mend" in error["message"]
        assert bridge.statistics()["waiting"] == 1
        assert await bridge.drain(0.1) == 1
    assert line.kinds == ["assay.store.down"]
    assert not alive(jvm["pid"])


async def test_closing_while_the_jvm_starts_leaves_none(tmp_path):
    line = Line()
    async with running(tmp_path, line) as bridge:
        jvm = await eventually(lambda: bridge.statistics()["jvm"], what="launched")

    assert not alive(jvm["pid"]) and line.signals == []


@pytest.mark.parametrize(
    ("enabled", "java", "words", "level"),
    [
        pytest.param("auto", None, "no Java was found", "info", id="no java"),
        pytest.param(True, None, "no Java was found", "warning", id="no java, but asked for"),
        pytest.param("auto", "1.8.0_392", "Java 8 at", "info", id="too old"),
        pytest.param(False, None, "`hive.enabled` is false", "info", id="switched off"),
    ],
)
async def test_without_java_hive_is_off_with_one_line(tmp_path, monkeypatch, enabled, java, words, level):
    home = tmp_path / "java"
    if java:
        (home / "bin").mkdir(parents=True)
        (home / "bin" / "java").write_text(f"#!/bin/sh\necho 'java version \"{java}\"' >&2\n")
        (home / "bin" / "java").chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(home))
    monkeypatch.setenv("PATH", "/bin" if java else str(tmp_path))
    line, commits = Line(), Commits(tmp_path, a_plan())
    commits.add(days(1))

    async with running(
        tmp_path, line, a_config(tmp_path).model_copy(update={"hive": Hive(enabled=enabled)})
    ) as bridge:
        await eventually(lambda: line.signals)
        assert await bridge.drain(30) == 0
        assert bridge.statistics()["state"] == "off" and bridge.statistics()["jvm"] is None

    assert [(one.type, one.level) for one in line.signals] == [("assay.store.off", level)]
    assert words in line.signals[0].data["message"]
