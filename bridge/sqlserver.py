"""A Spark Thrift Server over the tables, for beeline, Hue, JDBC and ODBC: ``python -m bridge.sqlserver …``.

It speaks HiveServer2's protocol. It needs a metastore service (an embedded one opens for one process at a time), and may
run on any machine that sees the warehouse. Whoever reaches its port may query: bind it to a loopback address, or put it
behind something that asks who is there.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bridge.java import Java, find_java
from bridge.jvm import spark_home
from bridge.settings import spark_settings, write_start_files
from config.models import Config, Hive, Spark, Storage

MAIN = "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2"


def main(arguments: Sequence[str] | None = None) -> int:
    """Become the server. Exit code 2: no Java."""
    wanted = _parser().parse_args(arguments)
    java = find_java()
    if isinstance(java, Java):
        home = Path(wanted.home).absolute()
        properties = write_start_files(home, settings(wanted, home))
        os.environ |= {"JAVA_HOME": str(java.home), "SPARK_LOCAL_IP": "127.0.0.1"}
        words = [
            f"{spark_home()}/bin/spark-submit", "--properties-file", str(properties), "--class", MAIN, "spark-internal",
            "--hiveconf", f"hive.server2.thrift.port={wanted.port}",
            "--hiveconf", f"hive.server2.thrift.bind.host={wanted.bind}",
        ]  # fmt: skip
        os.execv(words[0], words)  # keeps the pid: who ends us ends the server
    sys.stderr.write(f"{java}\n")
    return 2


def settings(wanted: argparse.Namespace, home: Path) -> dict[str, str]:
    """What its session is told: as Assay's own, so that a query never answers from a listing of files of a moment ago."""
    config = Config(
        sources={}, storage=Storage(root=home, warehouse=str(Path(wanted.warehouse).absolute())),
        hive=Hive(metastore_uri=wanted.metastore_uri),
        spark=Spark(master=wanted.master, driver_memory=wanted.memory),
    )  # fmt: skip
    own = {"spark.app.name": "assay-sql", "spark.sql.adaptive.enabled": "true"}
    return {**spark_settings(home, config, working=True), **own}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bridge.sqlserver", description=__doc__)
    parser.add_argument("--metastore-uri", required=True, help="thrift://host:port")
    parser.add_argument("--warehouse", default="data/warehouse", help="where Assay's tables lie")
    parser.add_argument("--port", type=int, default=10000, help="where it listens")
    parser.add_argument("--bind", default="127.0.0.1", help="its address")
    parser.add_argument("--home", default="sql-server", help="a directory for its settings and logs")
    parser.add_argument("--master", default="local[2]", help="where Spark runs")
    parser.add_argument("--memory", default="1g", help="heap of its JVM")
    return parser


if __name__ == "__main__":
    sys.exit(main())
