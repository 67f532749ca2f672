"""A YAML file as plain data and the place of everything in it, safely: no tags, no repeats, no bombs.

Anchors, aliases and ``<<`` work; dates stay text as written. What cannot be read at all raises ``ConfigErrors``;
what is wrong in one spot is collected, so that a file's faults come all at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import yaml

from config.faults import ConfigErrors, Fault
from config.places import Path, Place, Places, dotted

MOST_NODES = 10_000
DEEPEST = 60
_PREFIX = "tag:yaml.org,2002:"
_SCALARS = ("str", "null", "bool", "int", "float", "timestamp")


class Broken:
    """Stands for a value that was already found faulty, so that nothing more is said about it."""


BROKEN = Broken()


@dataclass
class Document:
    """One file, read."""

    data: dict[str, Any]
    places: Places
    faults: list[Fault] = field(default_factory=list)
    plain: set[Path] = field(default_factory=set)
    """Scalars written without quotes."""

    def fault(self, place: Place, code: str, message: str) -> None:
        """Note one thing that is wrong."""
        self.faults.append(Fault(self.places.file, *place, code, message))


def read(path: FilePath) -> Document:
    """Read a YAML file.

    Raises:
        ConfigErrors: no such file, not UTF-8, not YAML, too many nodes.
    """
    text = _text(path)
    document = Document({}, Places(str(path)))
    node = _compose(text, str(path))
    if node is None:
        return document
    if not isinstance(node, yaml.MappingNode):
        raise _stop(
            path, _mark(node.start_mark), "E102", "the file must hold keys and values, such as `sources:`"
        )
    document.data = _Reader(document).mapping(node, ())
    return document


def _text(path: FilePath) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        message = f"no such file; looked in `{FilePath.cwd()}`; name another with `--config FILE`"
        raise _stop(path, (0, 0), "E100", message) from None
    except OSError as error:
        message = f"cannot be read: {error.strerror}; looked in `{FilePath.cwd()}`"
        raise _stop(path, (0, 0), "E100", message) from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        place = (before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1)
        message = f"is not UTF-8: byte 0x{raw[error.start]:02x} at byte offset {error.start}{_guess(raw)}; save it as UTF-8"
        raise _stop(path, place, "E103", message) from None


def _guess(raw: bytes) -> str:
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return " (the file looks like UTF-16)"
    return " (the file looks like Latin-1 or Windows-1252)" if b"\x00" not in raw else ""


def _stop(path: FilePath | str, place: Place, code: str, message: str) -> ConfigErrors:
    return ConfigErrors([Fault(str(path), *place, code, message)])


def _mark(mark: Any) -> Place:
    return mark.line + 1, mark.column + 1


class _Loader(yaml.SafeLoader):
    """Composes nodes only; deep nesting is refused before it can exhaust the stack."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, f"nested deeper than {DEEPEST} levels", mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def _compose(text: str, file: str) -> Any:
    loader: Any = None
    try:
        loader = _Loader(text)
        return loader.get_single_node()
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = (before.count("\n") + 1, error.position - before.rfind("\n"))
        code_point = error.character if isinstance(error.character, int) else ord(str(error.character)[0])
        raise _stop(
            file, place, "E102", f"holds the control character U+{code_point:04X}; remove it"
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = _mark(mark) if mark else (1, 1)
        raise _stop(file, place, "E102", _problem(error, text, place)) from None
    finally:
        if loader is not None:
            loader.dispose()


def _problem(error: yaml.MarkedYAMLError, text: str, place: Place) -> str:
    lines = text.splitlines()
    line = lines[place[0] - 1] if place[0] <= len(lines) else ""
    if "\t" in line[: place[1]]:
        return "a tab stands where YAML wants spaces; indent with spaces"
    if "${" in line:
        return "is not YAML: inside `{…}` and `[…]` a value with `${…}` needs quotes around it"
    said = " ".join(part for part in (error.context, error.problem) if part)
    return f"is not YAML: {said}"


class _Reader:
    """Walks nodes, noting places and faults. Aliases are walked each time they are used, and counted each time."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._nodes = 0

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        self._count(node)
        self._document.places.values.setdefault(path, _mark(node.start_mark))
        result: dict[str, Any] = {}
        seen: dict[str, Place] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _PREFIX + "merge":
                merged.append(value_node)
                continue
            key, place = self._key(key_node), _mark(key_node.start_mark)
            if key in seen:
                self._repeated(key, path, seen[key], place)
                continue
            seen[key] = place
            self._document.places.keys[(*path, key)] = place
            result[key] = self.value(value_node, (*path, key))
        for other in merged:
            self._merge(other, path, result)
        return result

    def value(self, node: yaml.Node, path: Path) -> Any:
        if len(path) > DEEPEST:
            place = _mark(node.start_mark)
            raise _stop(
                self._document.places.file,
                place,
                "E102",
                "an alias stands inside its own anchor, without end",
            )
        if isinstance(node, yaml.MappingNode) and node.tag == _PREFIX + "map":
            return self.mapping(node, path)
        self._count(node)
        self._document.places.values[path] = _mark(node.start_mark)
        if isinstance(node, yaml.SequenceNode) and node.tag == _PREFIX + "seq":
            return [self.value(item, (*path, number)) for number, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag.removeprefix(_PREFIX) in _SCALARS:
            return self._scalar(node, path)
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        self._document.fault(
            _mark(node.start_mark), "E102", f"the tag `{tag}` is refused; write a plain value"
        )
        return BROKEN

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        kind = node.tag.removeprefix(_PREFIX)
        if node.style is None:
            self._document.plain.add(path)
        if kind in ("str", "timestamp"):
            return node.value
        try:
            return yaml.constructor.SafeConstructor().construct_object(node)
        except (ValueError, KeyError):
            self._document.fault(_mark(node.start_mark), "E102", f"`{node.value}` is not a YAML {kind}")
            return BROKEN

    def _key(self, node: yaml.Node) -> str:
        self._count(node)
        if isinstance(node, yaml.ScalarNode):
            return str(node.value)
        self._document.fault(_mark(node.start_mark), "E102", "a key must be a word, not a list or a mapping")
        return "?"

    def _repeated(self, key: str, path: Path, first: Place, second: Place) -> None:
        what = {"sources": "source", "datasets": "dataset"}.get(dotted(path), "key")
        message = f"the {what} `{key}` stands twice, on line {first[0]} and on line {second[0]}; keep one"
        self._document.fault(second, "E104", message)

    def _merge(self, node: yaml.Node, path: Path, into: dict[str, Any]) -> None:
        """``<<: *base``: keys of ``base`` that are not set here."""
        bases = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for base in bases:
            if not isinstance(base, yaml.MappingNode):
                self._document.fault(
                    _mark(node.start_mark), "E102", "`<<` takes a mapping, such as `<<: *base`"
                )
                continue
            for key_node, value_node in base.value:
                key = self._key(key_node)
                if key not in into:
                    self._document.places.keys[(*path, key)] = _mark(key_node.start_mark)
                    into[key] = self.value(value_node, (*path, key))

    def _count(self, node: yaml.Node) -> None:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            place = _mark(node.start_mark)
            message = f"holds more than {MOST_NODES:,} values once its aliases are followed; that is refused"
            raise _stop(self._document.places.file, place, "E106", message)
