"""Memory of connector, bus and writer together, in PSS, over all flights of the sample and over a long event-mode run.

    python -m bench.memory [--copies 3]

Every 0.1 s the proportional set sizes of the three processes are summed (``/proc/<pid>/smaps_rollup``). Flat: over the
second half of a long run, fitted by least squares, the sum grows by less than 5 % of itself.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.csv as pcsv

from bench.figure import Figure, table
from bench.program import CHECKOUT, OUT, Program, pss_mb, running

STATIONS = ["connector:flights", "bus", "writer"]
CONFIG = CHECKOUT / "config" / "data_sources.yml"
EVERY_S = 0.1

Samples = list[tuple[float, float, dict[str, float]]]
"""(seconds, sum in MB, MB by station)"""


async def watched(root: Path, words: list[str], done: Callable[[Program], bool]) -> Samples:
    """Samples of a run over the flights in ``root``, from the first record to ``done`` or the program's end."""
    samples: Samples = []
    async with running(CONFIG, root, "--source", "flights", "--no-web", *words) as program:
        await program.until(lambda: all(name in program.stats for name in STATIONS), 120)
        pids, began = program.pids(STATIONS), time.monotonic()
        while program.process.poll() is None and not done(program):
            found = {name: pss_mb(pid) for name, pid in pids.items()}
            known = {name: size for name, size in found.items() if size is not None}
            if len(known) < len(STATIONS):
                break
            samples.append((time.monotonic() - began, sum(known.values()), known))
            await asyncio.sleep(EVERY_S)
    return samples


def growth(samples: Samples) -> float:
    """Share by which the sum grows over the second half of the samples."""
    half = samples[len(samples) // 2 :]
    at, sizes = np.array([sample[0] for sample in half]), np.array([sample[1] for sample in half])
    slope = np.polyfit(at, sizes, 1)[0]
    return float(slope * (at[-1] - at[0]) / sizes.mean())


async def batch(root: Path) -> Samples:
    """Batch mode over all flights; the sample is written by the run itself."""
    return await watched(root, [], lambda program: False)


async def long_event_mode(root: Path, copies: int) -> Samples:
    """Event mode over so many copies of the file of flights, until all are committed."""
    shutil.rmtree(root / "commits", ignore_errors=True)
    for folder in ("state", "warehouse", "registry"):
        shutil.rmtree(root / folder, ignore_errors=True)
    first = next((root / "samples" / "flights").glob("*.csv"))
    for number in range(1, copies):
        shutil.copyfile(first, first.with_name(f"copy-{number}.csv"))
    rows = pcsv.read_csv(first).num_rows * copies

    def all_committed(program: Program) -> bool:
        said = program.stats.get("connector:flights", {})
        return bool(said and said["source"]["committed"] >= rows)

    return await watched(root, ["--streaming", "--event-mode"], all_committed)


def main(quick: bool = False, *, copies: int = 3) -> list[Figure]:
    """Measure both runs."""
    root = OUT / "memory" / "data"
    shutil.rmtree(root.parent, ignore_errors=True)
    first = asyncio.run(batch(root))
    second = asyncio.run(long_event_mode(root, 1 if quick else copies))
    shutil.rmtree(root)
    return [
        Figure("memory over all flights, batch, PSS of three stations", *_most(first), note=_parts(first)),
        Figure(f"the same in event mode, {1 if quick else copies} x all flights", *_most(second), note=_parts(second)),
        Figure("its growth over the second half", 100 * growth(second), "%", 5, note=f"{second[-1][0]:.0f} s of samples"),
    ]  # fmt: skip


def _most(samples: Samples) -> tuple[float, str, float]:
    return max(sample[1] for sample in samples), "MB", 800


def _parts(samples: Samples) -> str:
    parts = max(samples, key=lambda sample: sample[1])[2]
    return "at the peak: " + ", ".join(f"{name.partition(':')[0]} {size:.0f}" for name, size in parts.items())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copies", type=int, default=3)
    print(table(main(copies=parser.parse_args().copies)))
