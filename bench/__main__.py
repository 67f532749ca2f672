"""All figures in one table: ``python -m bench [--quick] [name …]``; also in ``tests/.out/bench/results.json``.

Exit code 1 when a figure missed its target. See docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable

from bench import dropped_file, event_mode, latency, memory, micro_batch, parts, spark_batch, startup
from bench.figure import Figure, table
from bench.program import OUT

BENCHES: dict[str, Callable[[bool], list[Figure]]] = {
    "kernel": parts.kernel, "commit": parts.commit, "transport": parts.transport, "latency": latency.main,
    "event_mode": event_mode.main, "memory": memory.main, "startup": startup.main,
    "dropped_file": dropped_file.main, "micro_batch": micro_batch.main, "spark_batch": spark_batch.main,
}  # fmt: skip


def main() -> int:
    """Run the named benches, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="name", help=f"of {', '.join(BENCHES)}; all of them when none is named"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes: whether it works, not how fast it is"
    )
    args = parser.parse_args()
    if unknown := [name for name in args.names if name not in BENCHES]:
        parser.error(f"no bench `{unknown[0]}`; there are {', '.join(BENCHES)}")
    figures: list[Figure] = []
    loads = {}
    for name in args.names or BENCHES:
        loads[name] = os.getloadavg()[0]
        print(f"{name} … (load {loads[name]:.1f})", file=sys.stderr, flush=True)
        began = time.monotonic()
        figures += BENCHES[name](args.quick)
        print(f"{name} took {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print(table(figures))
    OUT.mkdir(parents=True, exist_ok=True)
    result = {
        "quick": args.quick,
        "cores": os.cpu_count(),
        "load_before": loads,
        "figures": [one.as_dict() for one in figures],
    }
    (OUT / "results.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return int(any(one.verdict == "missed" for one in figures))


if __name__ == "__main__":
    sys.exit(main())
