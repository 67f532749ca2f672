"""Any record is found from its id, with or without an index."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.tiers import Tier
from store.index import Index, split_id
from store.layout import Layout
from tests.store.frames import Row, Sender, rows
from tests.store.stores import a_committer


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    committer, sender = a_committer(tmp_path), Sender()
    committer.commit([sender.frame([Row(10 * at, tier=Tier(at % 4)) for at in range(40)])])
    committer.commit([sender.frame(rows(10, start=400, partition="a.b"))])
    return tmp_path


@pytest.mark.parametrize("how", ["no index", "index", "behind", "damaged", "ahead"])
def test_a_record_is_found(stored: Path, how: str):
    index = Index(Layout.of(stored))
    path = stored / "state" / "index.sqlite"
    if how != "no index":
        assert index.catch_up() == 2
    if how == "behind":
        a_committer(stored).commit([Sender(epoch=2).frame(rows(1, start=900))])
    if how == "damaged":
        path.write_bytes(b"no database" * 1000)
        assert index.newest() == 0
    if how == "ahead":
        (stored / "commits" / "000000000002.json").rename(stored / "away")
        assert index.catch_up() == 1
        (stored / "away").rename(stored / "commits" / "000000000002.json")

    for assay_id in ("orders.p0.0", "orders.p0.390", "orders.a.b.450"):
        found = index.find(assay_id)
        assert found is not None
        assert found.row["assay_id"] == assay_id
    if how == "behind":
        assert index.find("orders.p0.900") is not None
    for assay_id in (
        "orders.p0.5",
        "orders.p1.0",
        "other.p0.0",
        "orders.p0.99999",
        "x",
        "",
        "a.b.c",
        "orders.p0.-1",
    ):
        assert index.find(assay_id) is None
    assert index.catch_up() == (3 if how == "behind" else 2)


@pytest.mark.parametrize(
    ("assay_id", "parts"),
    [
        ("s.p.1", ("s", "p", 1)),
        ("s.a.b.1", ("s", "a.b", 1)),
        ("s.p.99999999999999999999", None),
        ("s..1", None),
        ("s.p.١", None),
    ],
)
def test_an_id_is_taken_apart(assay_id, parts):
    assert split_id(assay_id) == parts
