"""Query the tables from a process of its own: ``python -m bridge.shell [--data-dir DIR] [--json] "SELECT …"``.

Exit codes: 0 ok · 1 the statement failed · 2 no Java. The embedded metastore opens for one process at a
time: query it after the run has ended, or use a metastore service.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridge.java import find_java
from bridge.session import Session
from config.models import Config, Hive, Storage
from core.errors import StoreUnavailable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the statements, print rows: tab-separated with a header line, or one JSON object a row."""
    wanted = _parser().parse_args(arguments)
    root = Path(wanted.data_dir)
    if not root.is_dir():
        return _complain(f"there is no data directory `{root}`: name one with --data-dir", 2)
    java = find_java()
    if isinstance(java, str):
        return _complain(java, 2)
    storage, hive = Storage(root=root, warehouse=wanted.warehouse), Hive(metastore_uri=wanted.metastore_uri)
    session = Session(root, Config(sources={}, storage=storage, hive=hive), java)
    try:
        session.start()
        session.open()
        for statement in wanted.statement:
            found = session.sql(statement)
            _show(found.columns, session.fetch(found), as_json=wanted.json)
    except StoreUnavailable as error:
        return _complain(str(error), 1)
    finally:
        session.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bridge.shell", description="Query Assay's Hive tables.")
    parser.add_argument("--data-dir", default=os.environ.get("ASSAY_DATA", "data"))
    parser.add_argument("--warehouse", help="where the tables lie, if not below the data directory")
    parser.add_argument("--metastore-uri", help="thrift://host:port of a metastore service")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    parser.add_argument("statement", nargs="+")
    return parser


def _show(names: Sequence[str], rows: Sequence[Any], *, as_json: bool) -> None:
    if as_json:
        lines = [json.dumps(row.asDict(recursive=True), default=_plain, ensure_ascii=False) for row in rows]
    else:
        lines = ["\t".join(names)] if names else []
        lines += ["\t".join("NULL" if value is None else str(value) for value in row) for row in rows]
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _plain(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else str(value)


def _complain(text: str, code: int) -> int:
    sys.stderr.write(f"{text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
