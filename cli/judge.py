"""``assay judge``: NDJSON on standard input, one judgement a line on standard output (docs/contracts.md §5)."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import yaml

from config import yaml_text
from core.errors import AssayError, ConfigError
from core.tiers import MEASURES, Tier
from quality import JudgeSpec, compile_judge
from quality.moments import moment_us

NAME = "judge"
HELP = "judge JSON lines from standard input"
_BATCH_BYTES = 1 << 20


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    parser.add_argument("--schema", metavar="S.json", required=True, help="JSON Schema document")
    parser.add_argument(
        "--rules", metavar="R.yml", help="the keys of one `datasets` entry: rules, weights, clock …"
    )
    parser.add_argument("--now", metavar="ISO", help="arrival time of the records; default: now")
    parser.add_argument(
        "--explain", action="store_true", help="print what runs generated and what not, and end"
    )


def run(args: argparse.Namespace) -> int:
    """Judge all lines; 0, or 2 with one line on standard error when a flag or file is wrong."""
    try:
        now_us = _now(args.now)
        judge = compile_judge(_read(args.schema, "--schema"), _rules(args.rules))
    except AssayError as err:
        print(f"assay judge: {err}", file=sys.stderr)
        return 2
    if args.explain:
        print(json.dumps(judge.explain(), indent=2, ensure_ascii=False))
        return 0
    out = sys.stdout
    try:
        for lines in _batches(sys.stdin.buffer):
            data = b"".join(lines)
            offsets = [0]
            for line in lines:
                offsets.append(offsets[-1] + len(line))
            verdicts = judge.judge(
                data, pa.array(offsets, pa.int64()).buffers()[1], now_us=now_us or _wall_us()
            )
            out.writelines(json.dumps(one, ensure_ascii=False) + "\n" for one in shown(verdicts))
            out.flush()
    except BrokenPipeError:
        sys.stderr.close()  # the reader left; nothing more to say to anybody
    return 0


def shown(verdicts: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Judgements as docs/contracts.md §5 has them."""
    for row in verdicts.select(["tier", "score", "valid", *MEASURES, "reasons"]).to_pylist():
        yield {
            "tier": Tier(row["tier"]).word,
            "score": row["score"],
            "valid": row["valid"],
            "scores": {measure: row[measure] for measure in MEASURES},
            "reasons": row["reasons"] or [],
        }


def _batches(stream: BinaryIO) -> Iterator[list[bytes]]:
    """Whole lines without their ending, as they come; never waits for more than there is."""
    rest = b""
    while chunk := stream.read1(_BATCH_BYTES):  # type: ignore[attr-defined]  # standard input is buffered
        *lines, rest = (rest + chunk).split(b"\n")
        if lines:
            yield lines
    if rest:
        yield [rest]


def _now(text: str | None) -> int | None:
    if text is None:
        return None
    moment = moment_us(text)
    if moment is None:
        raise ConfigError(
            f"`--now` is `{text[:60]}`; it must be an instant like `2026-11-22T12:00:00Z`", "E110"
        )
    return moment


def _wall_us() -> int:
    return time.time_ns() // 1000


def _read(path: str, flag: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as err:
        raise ConfigError(
            f"`{flag}`: the file `{path}` cannot be read: {err.strerror or err}", "E110"
        ) from None


def _rules(path: str | None) -> JudgeSpec:
    if path is None:
        return JudgeSpec()
    try:
        entry = yaml.safe_load(_read(path, "--rules"))
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        words = " ".join(str(err).split())[:200]
        raise ConfigError(f"`--rules`: the file `{path}` is no YAML: {words}", "E110") from None
    if entry is None:
        return JudgeSpec()
    if isinstance(
        entry, dict
    ):  # read again as the configuration is: repeated keys are refused, dates stay text
        document = yaml_text.read(Path(path))
        for fault in document.faults:
            place = f"{path}:{fault.line}:{fault.column}"
            raise ConfigError(f"`--rules`: {place}: {fault.message}", fault.code)
        entry = document.data
    else:
        raise ConfigError(
            f"`--rules`: `{path}` must hold a mapping with keys such as `rules`, `weights`, `clock`", "E110"
        )
    return JudgeSpec.from_mapping(entry)
