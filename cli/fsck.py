"""``assay fsck``: is what lies on disk what the commit log says?"""

from __future__ import annotations

import argparse

from cli.exits import FAILED, OK
from cli.lock import RunLock
from cli.parser import config_arguments
from cli.settings import settings
from cli.status import is_running

NAME = "fsck"
HELP = "State on disk against the commit log: manifests, files, footers, leftovers, index. Takes no lock unless --repair."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    config_arguments(parser)
    parser.add_argument(
        "--repair", action="store_true", help="put right what can be; not while a run is at work"
    )


def run(args: argparse.Namespace) -> int:
    """Print one line a finding; 0 if none is left.

    Raises:
        Locked: ``--repair`` while a run holds the directory.
        StoreUnavailable: ``--repair`` of a directory whose log is damaged.
    """
    from store.check import check, repair
    from store.layout import Layout

    storage = settings(args).storage
    layout = Layout.of(storage.root, storage.warehouse, storage.fallback)
    if args.repair:
        with RunLock(storage.root):
            for line in repair(layout):
                print(f"repaired: {line}")
    findings = check(layout, running=is_running(storage.root))
    for finding in findings:
        print(f"{finding.kind}: {finding.place}: {finding.what}")
    print(f"{len(findings)} findings" if findings else f"`{layout.root}` is as its commit log says")
    return FAILED if findings else OK
