"""What is wrong with a configuration: many faults, one error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from core.errors import ConfigError
from core.redact import redact


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that is wrong, and where. Line and column count from 1; 0 is "the file as a whole"."""

    file: str
    line: int
    column: int
    code: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return redact(f"{place}: {self.code} {self.message}")


class ConfigErrors(ConfigError):
    """Every fault of a file, in the file's order."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(set(faults)))
        super().__init__("\n".join(map(str, self.faults)), self.faults[0].code)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.faults,)
