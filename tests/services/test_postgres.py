"""The throw-away PostgreSQL is one that tests can trust."""

from __future__ import annotations

import subprocess

import pytest

from tests.services.postgres import Postgres, program

pytestmark = pytest.mark.slow


def test_each_test_has_a_database_of_its_own_and_a_wrong_password_is_refused(postgres: Postgres) -> None:
    for _ in range(2):
        postgres.database("own")
        postgres.psql("CREATE TABLE one (a int); INSERT INTO one VALUES (1), (2)", "own")
    words = [
        program("psql"),
        "-h",
        postgres.host,
        "-p",
        str(postgres.port),
        "-U",
        postgres.user,
        "-c",
        "SELECT 1",
        "own",
    ]

    refused = subprocess.run(words, env={"PGPASSWORD": "wrong"}, capture_output=True, text=True, check=False)

    assert postgres.psql("SELECT count(*) FROM one", "own") == [["2"]]
    assert refused.returncode == 2 and "password authentication failed" in refused.stderr
