"""Assay's program: flags to a configuration to a mode. ``python main.py --help``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cli.errors import guarded


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = sys.argv[1:] if argv is None else argv

    def command() -> int:
        from cli.parser import parse

        try:
            chosen, args = parse(words)
        except SystemExit as done:  # argparse, after --help
            return int(done.code or 0)
        return chosen.run(args)

    return guarded(command)


if __name__ == "__main__":
    sys.exit(main())
