"""Java parts that pyspark does not have: copied below ``lib/`` by ``make services`` from deploy/jars/pom.xml."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from config.models import Config

LIB = Path(__file__).resolve().parent.parent / "lib"
GROUPS = {"kafka": "kafka", "jdbc": "jdbc"}
"""Type of a source -> profile of the pom."""


def jars(group: str) -> list[Path]:
    """The jars of a profile; none where it was not copied."""
    return sorted((LIB / group).glob("*.jar"))


def jar_settings(config: Config) -> dict[str, str]:
    """``spark.jars`` for the sources of a configuration, beside those that ``spark.conf`` names itself."""
    groups = {GROUPS[one.type] for one in config.sources.values() if one.type in GROUPS}
    found = [str(jar) for group in sorted(groups) for jar in jars(group)]
    return _joined([*found, *config.spark.conf.get("spark.jars", "").split(",")])


def _joined(paths: Iterable[str]) -> dict[str, str]:
    named = [path.strip() for path in paths if path.strip()]
    return {"spark.jars": ",".join(named)} if named else {}
