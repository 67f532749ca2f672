"""``assay parity``: the same input through every mode, each into a directory of its own; are the tables the same?"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.sources.table import SOURCES
from cli.exits import FAILED, OK
from cli.parser import config_arguments
from cli.settings import settings
from cli.table import table
from config.models import Config
from core.errors import AssayError, ConfigError

NAME = "parity"
HELP = "Read the same sources in every mode, into temporary directories, and compare what lies there: row for row."
MODES: dict[str, tuple[str, ...]] = {
    "batch on actors": ("--engine", "actors"),
    "batch on Spark": ("--engine", "spark"),
    "micro-batch": ("--streaming", "--trigger-interval", "1 second"),
    "event mode": ("--streaming", "--event-mode"),
}
REFERENCE = "batch on actors"
CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Ran:
    """One mode's run."""

    mode: str
    root: Path
    read: int
    seconds: float


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    config_arguments(parser)
    parser.add_argument(
        "--source", action="append", default=[], metavar="NAME", help="only this source (repeatable)"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where the directories are made, and stay")
    parser.add_argument(
        "--timeout", type=float, default=3600.0, metavar="SECONDS", help="of each mode (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Print a table of differences; 0 if there is none."""
    from cli.parity_tables import differences
    from cli.samples import prepare

    config = _alike(settings(args, compiled=True))
    folder = Path(args.keep) if args.keep else Path(tempfile.mkdtemp(prefix="assay-parity-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        prepare(config, lambda words: print(words, file=sys.stderr))
        given = folder / "parity.yml"
        given.write_text(json.dumps(_plain(config)))  # JSON is YAML
        given.chmod(0o600)
        ran: list[Ran] = []
        for mode in MODES:
            ran.append(
                _run(mode, given, folder / mode.replace(" ", "-"), args.timeout, ran[0].read if ran else None)
            )
            print(f"{mode}: {ran[-1].read:,} records in {ran[-1].seconds:.0f} s", file=sys.stderr, flush=True)
        datasets = sorted({source.dataset for source in config.sources.values()})
        rows, bad = [], 0
        for one in ran:
            found = differences(ran[0].root, one.root, datasets)
            bad += sum(found.counts.values())
            rows.append((one.mode, f"{found.rows:,}", *(f"{count:,}" for count in found.counts.values())))
            for line in found.examples:
                print(f"{one.mode}: {line}", file=sys.stderr)
        print(table(("mode", "rows", "ids", "tiers", "scores", "reasons", "other columns"), rows))
        print("all modes agree" if not bad else f"{bad:,} differences from {REFERENCE}")
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return FAILED if bad or not ran[0].read else OK


def _alike(config: Config) -> Config:
    """The configuration with the sources that all modes can read, as fast as it goes, without Hive.

    Raises:
        ConfigError: E121 none can be compared, E110 a verdict depends on the time of arrival.
    """
    chosen = {
        name: source.model_copy(update={"rate_limit": None}) for name, source in config.sources.items()
        if source.type in SOURCES
    }  # fmt: skip
    if not chosen:
        raise ConfigError(
            "no source here can be read in every mode; parity compares files and SQL tables", "E121"
        )
    late = [one.dataset for one in chosen.values() if config.datasets[one.dataset].clock == "arrival"]
    if late and any(config.datasets[name].expected_every for name in late):
        raise ConfigError(
            f"dataset `{late[0]}` has `clock: arrival`: its timeliness differs from run to run; give it a fixed instant",
            "E110",
        )
    hive = config.hive.model_copy(update={"enabled": False})
    return config.model_copy(update={"sources": chosen, "hive": hive})


def _plain(config: Config) -> dict[str, Any]:
    """As plain values, secrets included: the file is for this user's eyes and is removed."""
    from pydantic import SecretStr

    def plain(value: Any) -> Any:
        if isinstance(value, SecretStr):
            return value.get_secret_value()
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [plain(one) for one in value]
        return str(value) if isinstance(value, Path) else value

    made: dict[str, Any] = plain(config.model_dump(by_alias=True, exclude_unset=True))
    made["storage"] = {"keep_raw": config.storage.keep_raw}
    made["hive"] = {"enabled": False}
    return made


def _run(mode: str, config: Path, root: Path, timeout_s: float, expected: int | None) -> Ran:
    """The program in one mode, until it has read what there is.

    Raises:
        AssayError: E907, it failed or took too long.
    """
    log = root.with_suffix(".log")
    words = ["run", "--config", str(config), "--data-dir", str(root), "--no-web", *MODES[mode]]
    began = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, str(CHECKOUT / "main.py"), *words],
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
        )
    pause = threading.Event()
    try:
        while process.poll() is None:
            books = _books(root)
            if (
                "--streaming" in words
                and expected is not None
                and not books["in_flight"]
                and books["read"] >= expected
            ):
                process.send_signal(signal.SIGTERM)
                process.wait(120)
                break
            if time.monotonic() - began > timeout_s:
                raise AssayError(f"{mode} took more than {timeout_s:.0f} s; its log is {log}", "E907")
            pause.wait(0.2)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode:
        last = log.read_text(errors="replace").strip().splitlines()[-3:]
        raise AssayError(f"{mode} failed ({process.returncode}): {' '.join(last)[:500]}", "E907")
    return Ran(mode, root, _books(root)["read"], time.monotonic() - began)


def _books(root: Path) -> dict[str, int]:
    with contextlib.suppress(OSError, ValueError, KeyError):
        found = json.loads((root / "state" / "status.json").read_bytes())
        return {"read": found["ledger"]["read"], "in_flight": found["ledger"]["in_flight"]}
    return {"read": 0, "in_flight": 0}
