"""What the Spark session is told: a flat map of settings, and the small files the JVM reads at its start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from bridge.code import CHECKOUT, is_local
from bridge.jars import jar_settings
from config.models import Config

LOG_SIZE = "5MB"


def warehouse_of(root: Path, config: Config) -> str:
    """Where the tables lie: an absolute local path, or the URI that the configuration names."""
    named = config.storage.warehouse
    if named is None:
        return str(root.absolute() / "warehouse")
    return named if "://" in named else str(Path(named).absolute())


def spark_settings(root: Path, config: Config, *, working: bool = False) -> dict[str, str]:
    """Every setting of the session; ``spark.conf`` of the configuration comes last and wins (jars are added up).

    Args:
        root: the data directory.
        config: whole; ``spark``, ``hive`` and ``storage.warehouse`` are read.
        working: as ``Session``.
    """
    scratch = root.absolute() / "state" / "spark"
    hive = config.hive
    return {
        "spark.app.name": "assay",
        "spark.master": config.spark.master,
        "spark.driver.memory": config.spark.driver_memory,
        "spark.executor.memory": config.spark.executor_memory,
        "spark.sql.shuffle.partitions": str(config.spark.shuffle_partitions),
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(scratch / "local"),
        "spark.driver.extraJavaOptions": _java_options(root.absolute(), scratch, working),
        "spark.sql.catalogImplementation": "hive",
        "spark.sql.warehouse.dir": warehouse_of(root, config),
        "spark.sql.session.timeZone": "UTC",
        # Files come from outside the session: never answer from a listing of a moment ago.
        "spark.sql.hive.filesourcePartitionFileCacheSize": "0",
        "spark.sql.addPartitionInBatch.size": "1000",
        # A Spark job for listing costs more than listing here.
        "spark.sql.sources.parallelPartitionDiscovery.threshold": "100000",
        # The metastore would list every partition's files to count them.
        "spark.hadoop.hive.stats.autogather": "false",
        "spark.hadoop.hive.exec.scratchdir": str(scratch / "hive"),
        "spark.hadoop.hive.exec.local.scratchdir": str(scratch / "hive-local"),
        "spark.hadoop.hive.downloaded.resources.dir": str(scratch / "hive-resources"),
        **(_remote(hive.metastore_uri) if hive.metastore_uri else _embedded(root.absolute())),
        **(_tasks(config.spark.master) if working else {}),
        **config.spark.conf,
        **jar_settings(config),
    }


def _tasks(master: str) -> dict[str, str]:
    """What Python in the tasks needs: this code (elsewhere than here it comes as a zip), and as few starts as can be."""
    return {
        **({"spark.executorEnv.PYTHONPATH": str(CHECKOUT)} if is_local(master) else {}),
        "spark.python.worker.reuse": "true",
        "spark.sql.streaming.stopTimeout": "10s",  # the default is for ever
        "spark.sql.adaptive.enabled": "false",  # nothing is shuffled
    }


def _java_options(root: Path, scratch: Path, working: bool) -> str:
    # The quick compiler alone: half the processor time of a start (10 s for 21 s), and metadata need no better one.
    pace = ["-XX:+UseParallelGC"] if working else ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    options = [
        *pace, "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError", "-Duser.timezone=UTC",
        f"-Dderby.stream.error.file={root / 'metastore' / 'derby.log'}",
        f"-Dlog4j2.configurationFile=file:{scratch / 'log4j2.properties'}",
    ]  # fmt: skip
    return " ".join(f'"{option}"' for option in options)


def _embedded(root: Path) -> dict[str, str]:
    database = root / "metastore" / "metastore_db"
    return {
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={database};create=true",
        "spark.hadoop.datanucleus.schema.autoCreateAll": "true",
        "spark.hadoop.hive.metastore.schema.verification": "false",
    }


def _remote(uri: str) -> dict[str, str]:
    # The probe sees within a second that it hangs; a statement under way then waits no longer than this (default: 600 s).
    return {
        "spark.hadoop.hive.metastore.uris": uri,
        "spark.hadoop.hive.metastore.client.socket.timeout": "30s",
        "spark.hadoop.hive.metastore.client.connect.retry.delay": "0s",
        "spark.hadoop.hive.metastore.connect.retries": "1",
        "spark.hadoop.hive.metastore.failure.retries": "1",
        # One call of a hundred stays well below that limit on a busy metastore, too.
        "spark.sql.addPartitionInBatch.size": "100",
    }


def write_start_files(root: Path, settings: Mapping[str, str]) -> Path:
    """Write the JVM's property and log settings below ``<root>/state/spark``; returns the property file.

    A file and not arguments: arguments can be read by every user of the machine. Mode 0600.
    """
    scratch = root.absolute() / "state" / "spark"
    for folder in (scratch / "local", root / "metastore"):
        folder.mkdir(parents=True, exist_ok=True)
    (scratch / "log4j2.properties").write_text(
        _LOG4J.format(file=scratch / "spark.log", size=LOG_SIZE), "utf-8"
    )
    target = scratch / "spark.properties"
    text = "".join(f"{key}={_escaped(value)}\n" for key, value in settings.items())
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - the mode is set with the descriptor
        file.write(text)
    return target


def _escaped(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return "\\" + escaped if escaped[:1].isspace() else escaped


_LOG4J = """\
rootLogger.level = warn
rootLogger.appenderRef.file.ref = file
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {file}
appender.file.filePattern = {file}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{yyyy-MM-dd'T'HH:mm:ss.SSS}} %p %c{{1}}: %m%n%ex
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = {size}
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 2
logger.native.name = org.apache.hadoop.util.NativeCodeLoader
logger.native.level = error
logger.objectstore.name = org.apache.hadoop.hive.metastore.ObjectStore
logger.objectstore.level = error
logger.hiveconf.name = org.apache.hadoop.hive.conf.HiveConf
logger.hiveconf.level = error
"""
