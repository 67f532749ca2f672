"""Schema documents are read exactly, and refused with the place and what would be right."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from core.errors import BadSchema
from schemas import document
from schemas.model import Reference

SCHEMAS = Path(__file__).parents[2] / "schemas"


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_our_own_schemas_are_valid_and_explain_every_field(path: Path):
    schema = document.read(path.read_bytes(), path.name)
    document.check(schema, path.name)

    assert schema["title"]
    assert schema["description"]
    assert set(schema["required"]) <= set(schema["properties"])
    assert all(one["description"] and one["type"] for one in schema["properties"].values())


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b'{"type": "object",\n "a": }', "orders:2:7", id="no-json"),
        pytest.param(b'{"type": "object", "type": "array"}', "`type` stands twice", id="key-twice"),
        pytest.param(b'{"minimum": NaN}', "NaN", id="nan"),
        pytest.param(b"\xff\xfe{}", "no JSON", id="not-utf-8"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, "deep", id="endless-nesting"),
        pytest.param(b'{"not":' * 300 + b"{}" + b"}" * 300, "deep", id="300-deep"),
        pytest.param(b'{"description": "' + b"x" * 5_000_000 + b'"}', "at most", id="5-mb"),
        pytest.param(b'{"minimum": ' + b"9" * 10_000 + b"}", "no JSON", id="10,000-digits"),
    ],
)
def test_what_is_no_document_is_refused(data: bytes, says: str):
    started = time.monotonic()
    with pytest.raises(BadSchema) as caught:
        document.read(data, "orders")

    assert caught.value.code == "E511"
    assert says in str(caught.value)
    assert "orders" in str(caught.value)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        pytest.param({"type": "strin"}, "/type", id="type"),
        pytest.param({"properties": {"a/b": {"minimum": "x"}}}, "/properties/a~1b/minimum", id="escaped"),
        pytest.param({"properties": {"a": {"pattern": "("}}}, "/properties/a/pattern", id="pattern"),
        pytest.param({"required": ["a", "a"]}, "/required", id="required-twice"),
        pytest.param([], "", id="array"),
        pytest.param("object", "", id="string"),
        pytest.param({"$ref": "#/$defs/nope"}, "", id="ref-to-nothing"),
        pytest.param({"$ref": "http://schemas.example.test/x"}, "", id="ref-elsewhere"),
        pytest.param({"$schema": "http://schemas.example.test/x"}, "", id="unknown-draft"),
    ],
)
def test_what_is_no_schema_is_refused_with_its_place(schema: object, pointer: str):
    with pytest.raises(BadSchema) as caught:
        document.check(schema, "orders")

    assert caught.value.code == "E512"
    assert caught.value.facts["pointer"] == pointer


def test_ten_thousand_branches_end_in_time():
    schema = {"anyOf": [{"properties": {f"f{n}": {"type": "string"}}} for n in range(10_000)]}
    started = time.monotonic()

    document.check(document.read(json.dumps(schema).encode(), "wide"), "wide")

    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param('{"a": 1, "b": [1.50]}', '{ "b":[1.5],"a":1.0}', True, id="spelling"),
        pytest.param('{"a": 100}', '{"a": 1e2}', True, id="exponent"),
        pytest.param('{"a": 0}', '{"a": -0.0}', True, id="zero"),
        pytest.param('{"a": [1, 2]}', '{"a": [2, 1]}', False, id="order-of-an-array"),
        pytest.param('{"a": 1}', '{"a": "1"}', False, id="type"),
        pytest.param('{"a": true}', '{"a": 1}', False, id="boolean"),
        pytest.param(
            '{"a": 0.1234567890123456789012345678901234567891}',
            '{"a": 0.1234567890123456789012345678901234567892}',
            False,
            id="40-digits",
        ),
    ],
)
def test_equal_documents_and_only_those_have_one_fingerprint(one: str, other: str, same: bool):
    prints = [document.fingerprint(document.read(text.encode(), "x")) for text in (one, other)]

    assert (prints[0] == prints[1]) is same


def test_references_are_part_of_the_content():
    plain = document.fingerprint({"$ref": "customer"})
    first = document.fingerprint(
        {"$ref": "customer"}, references=[Reference(name="customer", subject="c", version=1)]
    )
    second = document.fingerprint(
        {"$ref": "customer"}, references=[Reference(name="customer", subject="c", version=2)]
    )

    assert len({plain, first, second}) == 3


def test_personal_fields_are_tagged_at_every_level():
    inner = {"properties": {"street": {"type": "string", "x-pii": True}, "code": {"type": "string"}}}

    assert document.tags({"properties": {"home/away": inner}}) == {"/home~1away/street": ["pii"]}
