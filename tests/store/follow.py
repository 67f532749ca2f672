"""A process that brings aggregates up to the log, and may be killed on the way: ``python -m tests.store.follow ROOT``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from store.log import CommitLog
from tests.store.windows import Shop, aggregates, an_aggregate, expected, gold, punctual, stored

CHECKOUT = Path(__file__).resolve().parents[2]
DEFINITIONS = (
    an_aggregate(),
    an_aggregate(window_s=86_400, keys=("paid", "assay_source"), name="day", watermark_s=86_400),
)
KILLED = -9


def main(root: Path) -> int:
    """Step until there is nothing new."""
    follower = aggregates(root, *DEFINITIONS)
    while follower.step().commit < CommitLog(root).whole():
        pass
    return 0


def follow(root: Path, crash: str = "") -> int:
    """The exit code of such a process."""
    words = [sys.executable, "-m", "tests.store.follow", str(root)]
    ended = subprocess.run(words, cwd=CHECKOUT, env={**os.environ, "ASSAY_CRASH": crash}, check=False)
    return ended.returncode


def wrong(root: Path) -> list[str]:
    """Aggregates that are not what plain Python makes of Gold."""
    rows = gold(root)
    return [
        one.table for one in DEFINITIONS if stored(root, one) != expected(one, punctual(one, rows))
    ]  # fmt: skip


def killed_there(root: Path, points: list[str], times: int) -> list[str]:
    """Kill followers at each of ``points``, ``times`` times, with new commits before each; what was wrong after that."""
    shop, found = Shop(root), []
    for point in points:
        for number in range(times):
            shop.sell_some(30, days=4)
            shop.sell_some(10, days=4 + number, source="other")
            passing = 1 + number % len(DEFINITIONS) if point != "aggregates.cursor" else 1  # once a step
            code = follow(root, f"{point}:{passing}")
            found += [] if code == KILLED else [f"{point}: ended with {code}, it never came there"]
        found += [
            f"{point}: {table}" for table in (wrong(root) if follow(root) == 0 else ["it does not end"])
        ]
    return found


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
