"""Which Java there is. Spark 4.1 wants 17 or newer; without it Hive is off and files go on."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

OLDEST = 17
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


@dataclass(frozen=True, slots=True)
class Java:
    """A Java that can run Spark."""

    home: Path
    version: int
    """17, 21 …"""


def java_home(environ: Mapping[str, str] | None = None) -> Path | None:
    """``JAVA_HOME`` if it holds a ``bin/java``, else the home of the ``java`` on the path; None if there is none."""
    env = os.environ if environ is None else environ
    named = env.get("JAVA_HOME")
    if named and (Path(named) / "bin" / "java").is_file():
        return Path(named)
    found = shutil.which("java", path=env.get("PATH"))
    return Path(found).resolve().parent.parent if found else None


@lru_cache(maxsize=8)
def java_version(home: Path) -> int | None:
    """The major version of the Java at ``home``; None if it does not say. Starts it once: 0.1-0.5 s."""
    try:
        said = subprocess.run(
            [str(home / "bin" / "java"), "-version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return version_in(said.stderr + said.stdout)


def version_in(text: str) -> int | None:
    """The major version in what ``java -version`` prints.

    >>> version_in('openjdk version "17.0.15" 2025-04-15'), version_in('java version "1.8.0_392"'), version_in("?")
    (17, 8, None)
    """
    match = _VERSION.search(text)
    return int(match[1]) if match else None


def find_java(environ: Mapping[str, str] | None = None) -> Java | str:
    """The Java to use, or one sentence on why there is none."""
    if importlib.util.find_spec("pyspark") is None:
        return "pyspark is not installed; run `make setup`"
    home = java_home(environ)
    if home is None:
        return f"no Java was found; install Java {OLDEST} or 21 or set JAVA_HOME"
    version = java_version(home)
    if version is None:
        return f"the Java at `{home}` does not run; install Java {OLDEST} or 21 or set JAVA_HOME"
    if version < OLDEST:
        return f"Java {version} at `{home}` is too old; Spark needs {OLDEST} or newer, set JAVA_HOME"
    return Java(home, version)
