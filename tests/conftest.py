"""Rules for all tests: none has a deadline, and in CI a skipped one has failed."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import settings

pytest_plugins = [
    "tests.services.kafka",
    "tests.services.postgres",
    "tests.services.mariadb",
    "tests.services.metastore",
]
"""Real services, started once by the first test that asks."""

settings.register_profile("assay", deadline=None)
settings.load_profile("assay")

IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    """A part that is missing in CI is a failure, not a gap in the report."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report
