"""``make soak``: every station killed ten times, for both kinds of queue and for a Kafka topic; micro-batches and aggregates
killed at every named step.

Prints a table; exit 1 on any loss.

python -m tests.soak [--stations connector,bus] [--queues memory] [--kills 10] [--seed 1] [--rows 80000] [--engine spark]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.soak.aggregates import PLACES, deaths_there
from tests.soak.kills import STATIONS, kill_loop
from tests.soak.streaming import deaths
from tests.soak.topics import kill_topic

#: Rows and rows a second of a trial. A JVM takes its time to start, so ten kills of it need a longer run.
LENGTH: dict[str, tuple[int, float]] = {"jvm": (200_000, 1_000)}
USUAL = (80_000, 2_000.0)


def main() -> int:
    """Run the matrix."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--stations", default=",".join(STATIONS))
    parser.add_argument("--queues", default="memory,disk")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--rows", type=int, help=f"of a trial; else {USUAL[0]}, and {LENGTH['jvm'][0]} for the JVM"
    )
    parser.add_argument("--rate", type=float, help="rows a second")
    parser.add_argument(
        "--engine",
        choices=("actors", "spark", "aggregates", "kafka"),
        help="only connectors' stations, only micro-batches, only aggregates, or only a Kafka topic; else all",
    )
    parser.add_argument(
        "--passes", type=int, default=5, help="micro-batches, aggregates: deaths at each step"
    )
    args = parser.parse_args()
    trials = []
    for nth in range(1, args.passes + 1) if args.engine in {None, "spark"} else ():
        with tempfile.TemporaryDirectory(prefix="assay-soak-") as folder:
            trials.append(deaths(Path(folder), nth=nth, rows=12_000 * nth, rate=args.rate or 1_000.0))
            print(trials[-1].line(), flush=True)
    for place in PLACES if args.engine in {None, "aggregates"} else ():
        with tempfile.TemporaryDirectory(prefix="assay-soak-") as folder:
            trials.append(deaths_there(Path(folder), place, args.passes))
            print(trials[-1].line(), flush=True)
    for stations in ("driver", "jvm+writer+bridge") if args.engine in {None, "kafka"} else ():
        with tempfile.TemporaryDirectory(prefix="assay-soak-") as folder:
            trials.append(kill_topic(Path(folder), stations, kills=args.kills, seed=args.seed))
            print(trials[-1].line(), flush=True)
    for station in args.stations.split(",") if args.engine in {None, "actors"} else ():
        for queue in args.queues.split(","):
            rows, rate = LENGTH.get(station, USUAL)
            with tempfile.TemporaryDirectory(prefix="assay-soak-") as folder:
                trial = kill_loop(
                    Path(folder),
                    station,
                    queue,
                    kills=args.kills,
                    seed=args.seed,
                    rows=args.rows or rows,
                    rate=args.rate or rate,
                )
                trials.append(trial)
                print(trial.line(), flush=True)
    print(f"\nkill loop of flights, seed {args.seed}")
    for trial in trials:
        print(trial.line())
    bad = sum(not trial.ok for trial in trials)
    print(f"{len(trials) - bad} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
