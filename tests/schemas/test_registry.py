"""The registry station: loads documents, hands out versions, says what is new once."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actors.registry import Registry
from core.errors import BadSchema
from core.signals import Signal

ORDERS = b'{"type": "object", "properties": {"qty": {"type": "integer"}, "Year": {"type": "integer"}}}'
WIDER = b'{"type": "object", "properties": {"year": {"type": "string"}, "Year": {"type": "integer"}}}'


class Said(list[Signal]):
    """A line that keeps what was said."""

    async def say(self, signal: Signal) -> None:
        self.append(signal)

    @property
    def types(self) -> list[str]:
        return [one.type for one in self]


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "orders.json"
    path.write_bytes(ORDERS)
    return path


@pytest.fixture
async def said() -> Said:
    return Said()


@pytest.fixture
async def registry(tmp_path: Path, document: Path, said: Said) -> AsyncIterator[Registry]:
    one = Registry(tmp_path / "data", {"orders": document}, said)
    await one.start()
    yield one
    await one.close()


async def test_documents_are_there_after_start(registry: Registry, said: Said):
    found = await registry.get("orders")

    assert (found.subject, found.version, found.schema) == ("orders", 1, ORDERS)
    assert found.names == {"/qty": "qty", "/Year": "year_"}
    assert said.types == ["assay.schema.registered"]
    assert said[0].subject == "orders"
    assert said[0].data["version"] == 1
    assert registry.statistics()["versions"] == 1


async def test_a_restart_says_nothing_new_and_a_changed_document_is_a_new_version(
    registry: Registry, said: Said, tmp_path: Path, document: Path
):
    await registry.close()
    same = Registry(tmp_path / "data", {"orders": document}, said)
    await same.start()
    await same.close()
    document.write_bytes(WIDER)
    changed = Registry(tmp_path / "data", {"orders": document}, said)
    await changed.start()
    found = await changed.get("orders")
    await changed.close()

    assert said.types == ["assay.schema.registered"] * 2
    assert found.version == 2
    assert found.names["/Year"] == "year_", "a column's name outlives the version that gave it"
    assert found.names["/year"] not in {"year_", "qty"}


async def test_unknown_fields_are_told_once_also_after_a_restart(
    registry: Registry, said: Said, tmp_path: Path, document: Path
):
    await registry.noticed("orders", {"colour": "string"}, "shop")
    await registry.noticed("orders", {"colour": "string"}, "web")
    await registry.close()
    again = Registry(tmp_path / "data", {"orders": document}, said)
    await again.start()
    await again.noticed("orders", {"colour": "string"}, "shop")
    await again.noticed("orders", {"size": "integer", "colour": "string"}, "shop")
    await again.close()

    detected = [one for one in said if one.type == "assay.schema.detected"]
    assert [one.data["fields"] for one in detected] == [
        [{"name": "colour", "type": "string"}],
        [{"name": "size", "type": "integer"}],
    ]
    assert "`colour` (string)" in detected[0].data["message"]


async def test_registering_by_a_call_is_said_and_repeats_are_not(registry: Registry, said: Said):
    first = await registry.register("returns", ORDERS)
    again = await registry.register("returns", ORDERS)

    assert first.new
    assert not again.new
    assert (again.version, again.id, again.names) == (first.version, first.id, first.names)
    assert len(said) == 2


async def test_a_bad_schema_is_refused_and_the_registry_goes_on(registry: Registry):
    with pytest.raises(BadSchema) as caught:
        await registry.register("orders", b'{"properties": {"qty": {"type": "int"}}}')

    assert caught.value.code == "E512"
    assert caught.value.facts["pointer"] == "/properties/qty/type"
    assert (await registry.get("orders")).version == 1


async def test_a_document_that_is_not_there_stops_the_start(tmp_path: Path, said: Said):
    registry = Registry(tmp_path / "data", {"orders": tmp_path / "nowhere.json"}, said)

    with pytest.raises(BadSchema, match=r"E510 .*nowhere\.json"):
        await registry.start()
    await registry.close()
    await registry.close()


async def test_many_callers_at_once_get_versions_of_their_own(registry: Registry):
    texts = [b'{"minProperties": %d}' % n for n in range(30)]

    made = await asyncio.gather(*(registry.register("busy", text) for text in texts))

    assert sorted(one.version for one in made) == list(range(1, 31))


async def test_what_is_handed_out_travels_between_processes(registry: Registry):
    found = await registry.get("orders")

    assert pickle.loads(pickle.dumps(found)) == found


async def test_a_field_of_another_type_begins_a_new_version_of_the_tables(registry: Registry):
    await registry.register("orders", WIDER)
    await registry.register(
        "orders", ORDERS.replace(b'"qty": {"type": "integer"}', b'"qty": {"type": "string"}')
    )

    assert [(await registry.get("orders", version)).table for version in (1, 2, 3)] == [1, 1, 2]
    assert (await registry.get("orders")).table == 2
