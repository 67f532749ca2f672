"""The ledger: versions and ids are given once, stay, and survive."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from core.errors import BadSchema, StoreUnavailable
from schemas.ledger import MAX_NOTICED, Ledger
from schemas.model import Reference

HERE = str(Path(__file__).parents[2])
TEXT = b'{"type": "object", "properties": {"qty": {"type": "integer"}}}'


def a_schema(n: int) -> bytes:
    return json.dumps({"type": "object", "properties": {f"f{n}": {"type": "integer"}}}).encode()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    clock = count(1_000_000)
    one = Ledger(tmp_path / "registry" / "ledger.sqlite", lambda: next(clock))
    yield one
    one.close()


def test_versions_count_up_within_a_subject(ledger: Ledger):
    made = [ledger.register("orders", a_schema(n)) for n in range(3)]

    assert [one.version for one in made] == [1, 2, 3]
    assert all(one.new for one in made)
    assert ledger.get("orders").version == 3
    assert ledger.get("orders", 2).schema == a_schema(1)
    assert made[0].word == "orders:1"


def test_the_same_content_is_the_same_version_and_id_however_it_is_spelled(ledger: Ledger):
    first = ledger.register("orders", b'{"type": "object", "minProperties": 1}')
    again = ledger.register("orders", b'{"minProperties": 1.0,\n "type": "object"}')

    assert (again.version, again.id, again.new) == (1, first.id, False)
    assert again.schema == first.schema


def test_the_same_content_under_another_subject_has_the_same_id(ledger: Ledger):
    first, other = ledger.register("orders", TEXT), ledger.register("returns", TEXT)
    different = ledger.register("returns", a_schema(1))

    assert (other.version, other.id) == (1, first.id)
    assert different.id != first.id


def test_going_back_to_an_older_document_makes_a_new_version(ledger: Ledger, tmp_path: Path):
    """What the file says now is what judges now; the content keeps its id."""
    path = tmp_path / "orders.json"
    versions = []
    for text in (a_schema(1), a_schema(2), a_schema(2), a_schema(1)):
        path.write_bytes(text)
        versions.append(ledger.load("orders", path))

    assert [one.version for one in versions] == [1, 2, 2, 3]
    assert versions[3].id == versions[0].id
    assert ledger.get("orders").schema == a_schema(1)


def test_an_unchanged_document_does_not_undo_a_version_registered_by_a_call(ledger: Ledger, tmp_path: Path):
    path = tmp_path / "orders.json"
    path.write_bytes(a_schema(1))
    ledger.load("orders", path)
    ledger.register("orders", a_schema(2))

    assert ledger.load("orders", path).version == 2


def test_numbers_of_deleted_versions_are_not_given_again(ledger: Ledger, tmp_path: Path):
    ledger.register("orders", a_schema(1))
    gone = ledger.register("orders", a_schema(2))
    other = sqlite3.connect(tmp_path / "registry" / "ledger.sqlite")
    other.execute("DELETE FROM versions WHERE version = 2")
    other.execute("DELETE FROM contents WHERE id = ?", [gone.id])
    other.commit()
    other.close()

    again = ledger.register("orders", a_schema(2))

    assert again.version == 3
    assert again.id > gone.id


def test_a_soft_deleted_version_is_hidden_but_answers_by_number(ledger: Ledger, tmp_path: Path):
    ledger.register("orders", a_schema(1))
    ledger.register("orders", a_schema(2))
    other = sqlite3.connect(tmp_path / "registry" / "ledger.sqlite")
    other.execute("UPDATE versions SET deleted_us = 1 WHERE version = 2")
    other.commit()
    other.close()

    assert ledger.get("orders").version == 1
    assert ledger.get("orders", 2).version == 2
    assert ledger.versions("orders")[1].deleted_us == 1
    assert ledger.register("orders", a_schema(2)).version == 3


def test_subjects_and_versions_list_what_there_is(ledger: Ledger):
    ledger.register("customer", b'{"properties": {"email": {"x-pii": true}}}', metadata={"owner": "shop"})
    uses = [Reference(name="customer", subject="customer", version=1)]
    ledger.register("orders", TEXT, references=uses)

    subjects = {one.name: one for one in ledger.subjects()}
    customer, orders = ledger.versions("customer")[0], ledger.versions("orders")[0]

    assert (subjects["orders"].latest, subjects["orders"].versions) == (1, 1)
    assert subjects["orders"].compatibility is None
    assert customer.tags == {"/email": ["pii"]}
    assert customer.metadata == {"owner": "shop"}
    assert orders.references == uses


def test_a_reference_to_nothing_is_refused_and_leaves_nothing(ledger: Ledger):
    with pytest.raises(BadSchema) as caught:
        ledger.register("orders", TEXT, references=[Reference(name="x", subject="nobody", version=1)])

    assert caught.value.code == "E514"
    assert ledger.subjects() == []
    assert ledger.register("orders", a_schema(5)).version == 1


def test_asking_for_what_is_not_there_says_what_there_is(ledger: Ledger):
    ledger.register("orders", TEXT)

    with pytest.raises(BadSchema, match=r"E513 the registry has no version 7 of `orders`: it has 1"):
        ledger.get("orders", 7)
    with pytest.raises(BadSchema, match=r"nothing is registered under that name"):
        ledger.get("returns")


def test_a_column_name_once_given_stays(ledger: Ledger):
    ledger.register("orders", TEXT)
    ledger.fix_names("orders", {"/Qty": "qty", "/qty": "qty_2"})

    assert ledger.fix_names("orders", {"/qty": "qty", "/new": "new"}) == {
        "/Qty": "qty",
        "/qty": "qty_2",
        "/new": "new",
    }
    assert ledger.get("orders").names["/qty"] == "qty_2"


def test_unknown_fields_are_news_once_and_bounded(ledger: Ledger):
    assert ledger.notice("orders", {"colour": "string"}, "shop") == {"colour": "string"}
    assert ledger.notice("orders", {"colour": "string", "size": "integer"}, "web") == {"size": "integer"}

    flood = ledger.notice("orders", {f"f{n}": "null" for n in range(5000)}, "web")

    assert len(flood) == MAX_NOTICED - 2


def test_everything_is_there_after_opening_again(tmp_path: Path):
    path = tmp_path / "ledger.sqlite"
    first = Ledger(path, lambda: 1)
    made = first.register("orders", TEXT)
    first.fix_names("orders", {"/qty": "qty"})
    first.notice("orders", {"colour": "string"}, "shop")
    first.close()

    again = Ledger(path, lambda: 2)

    assert (again.get("orders").id, again.get("orders").names) == (made.id, {"/qty": "qty"})
    assert again.notice("orders", {"colour": "string"}, "shop") == {}
    assert again.register("orders", TEXT).new is False
    again.close()


def test_a_ledger_of_a_newer_assay_is_left_alone(tmp_path: Path):
    path = tmp_path / "ledger.sqlite"
    Ledger(path, lambda: 1).close()
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 99")
    newer.close()

    with pytest.raises(StoreUnavailable, match="E792"):
        Ledger(path, lambda: 1)


def test_a_damaged_ledger_says_which_file(tmp_path: Path):
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"this is no database, but it is long enough to look at" * 100)

    with pytest.raises(StoreUnavailable, match=r"E791 .*ledger\.sqlite"):
        Ledger(path, lambda: 1)


REGISTER = """
import sys; sys.path.insert(0, {here!r})
from pathlib import Path
from schemas.ledger import Ledger
from tests.schemas.test_ledger import a_schema
ledger = Ledger(Path({path!r}), lambda: 1)
for n in range({first}, {first} + 1000):
    made = ledger.register("orders", a_schema(n))
    print(n, made.version, made.id, flush=True)
"""


def registering(path: Path, first: int, crash: str) -> subprocess.Popen[str]:
    code = REGISTER.format(here=HERE, path=str(path), first=first)
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "ASSAY_CRASH": crash},
    )


def test_a_kill_while_storing_leaves_the_version_wholly_there_or_not_at_all(tmp_path: Path):
    """Killed in the middle of a registration, ten lives in a row: what was told is there, nothing is there by half."""
    path = tmp_path / "ledger.sqlite"
    told: dict[int, tuple[int, int]] = {}
    for life in range(10):
        process = registering(path, first=life * 100, crash=f"registry.storing:{life + 2}")
        said = process.communicate()[0]
        assert process.returncode == -signal.SIGKILL
        for n, version, number in (map(int, line.split()) for line in said.splitlines()):
            assert version not in [given for given, _ in told.values()], "a version was given twice"
            told[n] = (version, number)

    ledger = Ledger(path, lambda: 1)
    there = {one.version: one for one in ledger.versions("orders")}
    ledger.close()

    assert len(told) == sum(range(1, 11))
    assert {version for version, _ in told.values()} == set(there)
    assert all(there[version].schema == a_schema(n) for n, (version, _) in told.items())
    assert len({one.id for one in there.values()}) == len(there)


def test_a_kill_at_any_moment_loses_nothing_that_was_told(tmp_path: Path):
    """Here the kill comes from outside, once some versions were told: what lies between may or may not be there."""
    path = tmp_path / "ledger.sqlite"
    for life in range(3):
        process = registering(path, first=life * 1000, crash="")
        assert process.stdout is not None
        told = [tuple(map(int, process.stdout.readline().split())) for _ in range(5 + life)]
        process.kill()
        told += [
            tuple(map(int, line.split()))
            for line in process.communicate()[0].splitlines()
            if line.count(" ") == 2
        ]
        ledger = Ledger(path, lambda: 1)
        there = {one.version: one for one in ledger.versions("orders")}
        ledger.close()

        assert sorted(there) == list(range(1, len(there) + 1))
        assert all(
            there[version].schema == a_schema(n) and there[version].id == number
            for n, version, number in told
        )
