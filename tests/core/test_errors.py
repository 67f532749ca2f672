"""Errors travel between processes with their type, code and facts."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

import cli.parser
import config.faults
from core.errors import AssayError


def subclasses(kind: type[AssayError]) -> Iterator[type[AssayError]]:
    yield kind
    for sub in kind.__subclasses__():
        yield from subclasses(sub)


def made(kind: type[AssayError]) -> AssayError:
    if kind is config.faults.ConfigErrors:
        return kind(
            [
                config.faults.Fault("a.yml", 3, 5, "E101", "wrong"),
                config.faults.Fault("a.yml", 1, 1, "E104", "x"),
            ]
        )
    return kind("`qty` is gone", "E123", {"line": 7})


@pytest.mark.parametrize("kind", list(subclasses(AssayError)), ids=lambda kind: kind.__name__)
def test_every_error_survives_pickling(kind):
    error = made(kind)

    back = pickle.loads(pickle.dumps(error))

    assert type(back) is kind
    assert (str(back), back.code, back.facts) == (str(error), error.code, error.facts)


def test_a_commands_own_errors_are_among_them():
    assert cli.parser.UsageError in set(subclasses(AssayError))


def test_faults_stand_in_the_files_order():
    errors = made(config.faults.ConfigErrors)

    assert str(errors).splitlines() == ["a.yml:1:1: E104 x", "a.yml:3:5: E101 wrong"]
    assert errors.code == "E104"
