"""``format`` as an assertion: our own tests for dates, times and what is common; jsonschema-rs for the others."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jsonschema_rs

from quality.moments import datetime_us, day_us, time_us

FOREIGN = frozenset({
    "email", "idn-email", "hostname", "idn-hostname", "ipv6", "uri", "uri-reference", "iri", "iri-reference",
    "uri-template", "json-pointer", "relative-json-pointer", "regex", "duration",
})  # fmt: skip
"""Formats that jsonschema-rs tests; any other name that is not ours asserts nothing."""

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
OWN: dict[str, Callable[[str], Any]] = {
    "date": lambda text: day_us(text) is not None,
    "time": lambda text: time_us(text) is not None,
    "date-time": lambda text: datetime_us(text) is not None,
    "uuid": re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch,
    "ipv4": re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}").fullmatch,
}


@lru_cache(maxsize=256)
def format_test(name: str, draft: str) -> Callable[[str], Any] | None:
    """The test of a format; None if it asserts nothing.

    >>> bool(format_test("uuid", "https://json-schema.org/draft/2020-12/schema")("x"))
    False
    """
    if name in OWN:
        return OWN[name]
    if name not in FOREIGN:
        return None
    validator = jsonschema_rs.validator_for({"$schema": draft, "format": name}, validate_formats=True)
    test: Callable[[str], Any] = validator.is_valid
    return test
