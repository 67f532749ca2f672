"""Where things stand in the file: a path of keys to a line and a column, both from 1."""

from __future__ import annotations

from dataclasses import dataclass, field

Step = str | int
Path = tuple[Step, ...]
Place = tuple[int, int]


@dataclass
class Places:
    """Lines and columns of every key and value of one file."""

    file: str
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)

    def at(self, *path: Step) -> Place:
        """Where the value at ``path`` starts; of its nearest parent where the file has no such value."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, (1, 1))

    def key(self, *path: Step) -> Place:
        """Where the key at ``path`` starts; the value's place for list items."""
        return self.keys.get(path) or self.at(*path)


def dotted(path: Path) -> str:
    """``("sources", "a", "columns", 0)`` as people write it: ``sources.a.columns[0]``.

    >>> dotted(("sources", "a", "columns", 0))
    'sources.a.columns[0]'
    """
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")
