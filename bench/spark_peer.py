"""The peer: the same job in Spark Structured Streaming, as somebody who knows Spark would write it.

    python -m bench.spark_peer FILE EVENTS

One warm session, one running query, no Python functions: text files -> ``from_json`` with an explicit schema -> schema
checks, five rules and five measures as column expressions -> score, tier, reasons -> snappy parquet partitioned by
tier and day, with the raw line and where it came from, with a checkpoint. The query first digests a warm-up portion;
then the rest is put into its folder at once and timed until the last micro-batch is committed.
It prints one JSON object: events a second and rows by tier.
"""

from __future__ import annotations

import functools
import json
import operator
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.events import NOW
from bench.program import CHECKOUT, OUT, cpu_s, machine_s

FILES = 16
"""The input comes in so many files of equal size; a quarter of them is the warm-up."""
FILES_A_BATCH = 4


def measure(source: Path, count: int, *words: str) -> dict[str, Any]:
    """What ``run`` returns, from a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-m", "bench.spark_peer", str(source), str(count), *words], cwd=CHECKOUT, env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the Spark peer failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def split(source: Path, folder: Path) -> list[tuple[Path, int]]:
    """The input in ``FILES`` files, cut between lines, with the events in each."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    data = source.read_bytes()
    made, start = [], 0
    for number in range(FILES):
        stop = len(data) if number == FILES - 1 else data.index(b"\n", len(data) * (number + 1) // FILES) + 1
        path = folder / f"part-{number:02d}.jsonl"
        path.write_bytes(data[start:stop])
        made.append((path, data.count(b"\n", start, stop)))
        start = stop
    return made


def session(root: Path) -> Any:
    """A local session on two cores, tuned for a small stateless stream."""
    from pyspark.sql import SparkSession

    settings = {
        "spark.sql.shuffle.partitions": "2", "spark.default.parallelism": "2", "spark.ui.enabled": "false",
        "spark.sql.session.timeZone": "UTC", "spark.driver.memory": "3g", "spark.ui.showConsoleProgress": "false",
        "spark.sql.parquet.compression.codec": "snappy", "spark.sql.streaming.metricsEnabled": "false",
        "spark.sql.adaptive.enabled": "false", "spark.sql.ansi.enabled": "false",
        "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": str(root / "local"), "spark.sql.warehouse.dir": str(root / "warehouse"),
        "spark.driver.extraJavaOptions": "-XX:+UseParallelGC",
    }  # fmt: skip
    builder = SparkSession.builder.master("local[2]").appName("assay-bench-peer")
    for key, value in settings.items():
        builder = builder.config(key, value)
    made = builder.getOrCreate()
    made.sparkContext.setLogLevel("ERROR")
    return made


def judged(lines: Any) -> Any:
    """From text lines to scored rows; the rules and weights of ``bench.events.DATASET``."""
    from pyspark.sql import functions as f

    fields = (
        "event_id STRING, event_time STRING, store STRING, customer_id BIGINT, sku STRING, quantity BIGINT, "
        "unit_price DOUBLE, discount DOUBLE, total DOUBLE, currency STRING, channel STRING, comment STRING, _bad STRING"
    )
    row = f.from_json("raw", fields, {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": "_bad"}).alias("e")
    parsed = lines.select(f.col("value").alias("raw"), "file", "start", row).select(
        "raw", "file", "start", "e.*"
    )
    parsed = parsed.withColumn("at", f.to_timestamp("event_time"))
    checks = {
        "parse": "_bad IS NULL",
        "event_id": "event_id IS NOT NULL AND event_id RLIKE '^evt-[0-9a-f]{12}$'",
        "event_time": r"at IS NOT NULL AND event_time RLIKE '^\\d{4}-\\d{2}-\\d{2}T'",
        "store": "store IS NOT NULL AND store RLIKE '^[A-Z]{2}-[0-9]{4}$'",
        "customer_id": "customer_id IS NULL OR customer_id >= 1",
        "sku": "sku IS NOT NULL AND length(sku) BETWEEN 6 AND 24",
        "quantity": "quantity IS NOT NULL AND quantity BETWEEN 1 AND 1000",
        "unit_price": "unit_price IS NOT NULL AND unit_price > 0 AND unit_price <= 100000",
        "discount": "discount IS NULL OR discount BETWEEN 0 AND 1",
        "total": "total IS NOT NULL AND total >= 0",
        "currency": "currency IS NOT NULL AND currency IN ('EUR','USD','GBP','CHF','JPY')",
        "channel": "channel IS NULL OR channel IN ('web','shop','phone','partner')",
        "comment": "comment IS NULL OR length(comment) <= 200",
    }
    rules = {
        "total-adds-up": "abs(total - quantity * unit_price * (1 - coalesce(discount, 0))) <= 0.01",
        "discount-needs-customer": "NOT coalesce(discount > 0.5, false) OR customer_id IS NOT NULL",
        "bulk-is-not-phoned": "NOT coalesce(channel = 'phone', false) OR quantity <= 100",
        "yen-has-no-cents": "NOT coalesce(currency = 'JPY', false) OR total % 1 = 0",
        "dear-sale-has-customer": "total < 50000 OR customer_id IS NOT NULL",
    }
    names = [name for name in checks if name != "parse"]
    one = {name: f.expr(f"CASE WHEN {test} THEN 1 ELSE 0 END") for name, test in {**checks, **rules}.items()}
    flagged = parsed.select("*", *(one[name].alias(f"ok_{at}") for at, name in enumerate(one)))
    ok = {name: f.col(f"ok_{at}") for at, name in enumerate(one)}
    present = [f.when(f.col(name).isNotNull(), 1).otherwise(0) for name in names]
    age = f.lit(NOW).cast("timestamp").cast("double") - f.col("at").cast("double")
    measured = flagged.select(
        "*",
        (sum(present[1:], present[0]) / len(names)).alias("completeness"),
        (sum((ok[name] for name in names[1:]), ok[names[0]]) / len(names)).alias("accuracy"),
        f.when(age <= 3600, 1.0).otherwise(f.pow(2.0, -(age - 3600) / 3600)).alias("timeliness"),
        f.least(*(ok[name] for name in checks)).cast("double").alias("compliance"),
        (sum((ok[name] for name in rules), f.lit(0)) / len(rules)).alias("consistency"),
    )
    score = f.expr(
        "(completeness + accuracy + 0.5 * coalesce(timeliness, 0) + compliance + consistency)"
        " / (4 + CASE WHEN timeliness IS NULL THEN 0 ELSE 0.5 END)"
    )
    lost = [f.col(name).isNull() for name in ("event_id", "event_time", "store", "sku", "currency")]
    rejected = functools.reduce(operator.or_, lost)  # a required field is away, or the line is no JSON
    tier = (
        f.when(rejected | (ok["dear-sale-has-customer"] == 0) | (f.col("score") < 0.5), "rejected")
        .when((f.col("compliance") == 0) | (f.col("score") < 0.8), "bronze")
        .when(f.col("score") < 0.95, "silver")
        .otherwise("gold")
    )
    reasons = f.concat_ws(",", *(f.when(ok[name] == 0, name) for name in one))
    day = f.coalesce("at", f.current_timestamp())
    return (
        measured.withColumn("score", score)
        .withColumn("tier", tier)
        .withColumn("reasons", reasons)
        .withColumn("arrived", f.current_timestamp())
        .withColumn("id", f.concat_ws(".", f.lit("sales"), "file", "start", f.hex(f.xxhash64("raw"))))
        .withColumn("year", f.year(day)).withColumn("month", f.month(day)).withColumn("day", f.dayofmonth(day))
        .drop("_bad", *(f"ok_{at}" for at in range(len(one))))
    )  # fmt: skip


def run(source: Path, count: int) -> dict[str, Any]:
    """Warm up on the first quarter, time the rest."""
    root = OUT / "spark"
    shutil.rmtree(root, ignore_errors=True)
    inbox = root / "in"
    inbox.mkdir(parents=True)
    parts = split(source, root / "parts")
    spark = session(root)
    from pyspark.sql import functions as f

    lines = (
        spark.readStream.format("text").option("maxFilesPerTrigger", FILES_A_BATCH).load(str(inbox))
        .select("value", f.col("_metadata.file_name").alias("file"), f.col("_metadata.file_block_start").alias("start"))
    )  # fmt: skip
    query = (
        judged(lines).writeStream.format("parquet").option("path", str(root / "out"))
        .option("checkpointLocation", str(root / "checkpoint")).partitionBy("tier", "year", "month", "day").start()
    )  # fmt: skip
    warm = FILES // 4
    for portion in _portions([path for path, _ in parts[:warm]], FILES_A_BATCH // 2 or 1):
        _move(portion, inbox)
        query.processAllAvailable()
    jvm = spark.sparkContext._gateway.proc.pid
    used, machine, began = cpu_s(jvm), machine_s(), time.monotonic()
    _move([path for path, _ in parts[warm:]], inbox)
    query.processAllAvailable()
    took, used, machine = time.monotonic() - began, cpu_s(jvm) - used, machine_s() - machine
    query.stop()
    out = spark.read.parquet(str(root / "out"))
    tiers = {found["tier"]: found["count"] for found in out.groupBy("tier").count().collect()}
    spark.stop()
    timed = sum(rows for _, rows in parts[warm:])
    if sum(tiers.values()) != count:
        raise RuntimeError(f"{count} events were written, Spark stored {tiers}")
    shutil.rmtree(root)
    return {
        "rate": timed / took, "seconds": took, "timed": timed, "tiers": tiers, "cpu_us": used / timed * 1e6,
        "elsewhere": (machine - used) / took,
    }  # fmt: skip


def run_batch(source: Path, count: int) -> dict[str, Any]:
    """The same without a stream: read and write the first quarter as warm-up, then time the rest as one job."""
    root = OUT / "spark"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    parts = split(source, root / "parts")
    spark = session(root)
    from pyspark.sql import functions as f

    def job(paths: list[Path]) -> None:
        lines = spark.read.text([str(path) for path in paths]).select(
            "value",
            f.col("_metadata.file_name").alias("file"),
            f.col("_metadata.file_block_start").alias("start"),
        )
        rows = judged(lines).write.mode("append")
        rows.partitionBy("tier", "year", "month", "day").parquet(str(root / "out"))

    warm = FILES // 4
    for portion in _portions([path for path, _ in parts[:warm]], FILES_A_BATCH // 2 or 1):
        job(portion)
    began = time.monotonic()
    job([path for path, _ in parts[warm:]])
    took = time.monotonic() - began
    tiers = {
        found["tier"]: found["count"]
        for found in spark.read.parquet(str(root / "out")).groupBy("tier").count().collect()
    }
    spark.stop()
    timed = sum(rows for _, rows in parts[warm:])
    if sum(tiers.values()) != count:
        raise RuntimeError(f"{count} events were written, Spark stored {tiers}")
    shutil.rmtree(root)
    return {"rate": timed / took, "seconds": took, "timed": timed, "tiers": tiers}


def _portions(paths: list[Path], size: int) -> Iterator[list[Path]]:
    for at in range(0, len(paths), size):
        yield paths[at : at + size]


def _move(paths: list[Path], inbox: Path) -> None:
    for path in paths:
        path.rename(inbox / path.name)


if __name__ == "__main__":
    wanted = run_batch if "--batch" in sys.argv else run
    print(json.dumps(wanted(Path(sys.argv[1]), int(sys.argv[2]))))
