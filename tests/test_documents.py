"""What the documents say is so: error codes, links, flags, crash points and names of files and tests, held against the code."""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

from cli import run_flags
from cli.commands import COMMANDS, load
from core.crash import CRASHPOINTS, FAULTS

CHECKOUT = Path(__file__).resolve().parent.parent
ROOMS = ("core", "config", "schemas", "quality", "store", "actors", "bridge", "web", "cli")
CODE = re.compile(r"\bE[1-9]\d{2}\b")
LINK = re.compile(r"\]\(([^)\s]+)\)")
PLACE = re.compile(
    r"`?\b((?:core|config|schemas|quality|store|actors|bridge|web|cli|tests|bench|docs)/[\w./-]+\.(?:py|md|yml|json|sh))(?:::(\w+))?"
)
PLAIN = re.compile(r"\bdocs/[\w./-]+\.md\b")


def product() -> list[Path]:
    """The program's own Python files."""
    found = [path for room in ROOMS for path in sorted((CHECKOUT / room).rglob("*.py"))]
    return [*found, CHECKOUT / "main.py", CHECKOUT / "assay.py"]


def pages() -> list[Path]:
    """Every document, as a visitor finds it."""
    return [*sorted(CHECKOUT.glob("*.md")), *sorted((CHECKOUT / "docs").rglob("*.md"))]


def strings(path: Path) -> Iterator[str]:
    """Every string constant of a file but docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    notes = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in notes:
            yield node.value


@lru_cache(maxsize=1)
def codes() -> dict[str, set[str]]:
    """Error code -> the files that name it."""
    found: dict[str, set[str]] = {}
    for path in product():
        for text in strings(path):
            for code in CODE.findall(text):
                found.setdefault(code, set()).add(str(path.relative_to(CHECKOUT)))
    return found


def listed() -> list[str]:
    """Codes with a line of their own in the error reference, in its order."""
    text = (CHECKOUT / "docs" / "errors.md").read_text(encoding="utf-8")
    return re.findall(r"^\| (E\d{3}) \|", text, re.MULTILINE)


def passed(name: str) -> dict[str, list[str]]:
    """Literal first arguments of every call of ``name`` in the program -> files."""
    found: dict[str, list[str]] = {}
    for path in product():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
            if called and node.args and isinstance(node.args[0], ast.Constant):
                found.setdefault(node.args[0].value, []).append(str(path.relative_to(CHECKOUT)))
    return found


def tracked() -> list[Path]:
    """Text files in the repository; what lies here when there is no git."""
    asked = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, check=False)
    if asked.returncode:
        return [*product(), *pages()]
    return [
        CHECKOUT / name for name in asked.stdout.decode().split("\0") if name and (CHECKOUT / name).is_file()
    ]


def flags_of(parser: argparse.ArgumentParser) -> set[str]:
    return {word for action in parser._actions for word in action.option_strings if word.startswith("--")}


def test_every_code_of_the_program_is_listed_and_no_other():
    assert {code: sorted(places) for code, places in codes().items() if code not in listed()} == {}
    assert [code for code in listed() if code not in codes()] == []


def test_the_error_reference_is_in_order_and_says_each_code_once():
    assert listed() == sorted(set(listed()))


def test_documents_name_no_code_that_is_not_listed():
    strange = {
        str(page.relative_to(CHECKOUT)): sorted(
            set(CODE.findall(page.read_text(encoding="utf-8"))) - set(listed())
        )
        for page in pages()
    }

    assert {page: found for page, found in strange.items() if found} == {}


@pytest.mark.parametrize(
    ("call", "known"),
    [pytest.param("crashpoint", CRASHPOINTS, id="crash"), pytest.param("fault", FAULTS, id="fault")],
)
def test_every_named_place_to_fail_is_really_there(call: str, known: dict[str, str]):
    assert sorted(passed(call)) == sorted(known)


@pytest.mark.parametrize("page", pages(), ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_what_a_page_points_at_exists(page: Path):
    text = page.read_text(encoding="utf-8")
    here = [
        page.parent / link.partition("#")[0]
        for link in LINK.findall(text)
        if "://" not in link and link[0] != "#"
    ]
    named = [CHECKOUT / place for place, _ in PLACE.findall(text)] + [
        CHECKOUT / place for place in PLAIN.findall(text)
    ]
    shown = {CHECKOUT / "schemas" / "mine.json", CHECKOUT / "config" / "mine.yml"}

    assert sorted(str(path) for path in {*here, *named} - shown if not path.exists()) == []


@pytest.mark.parametrize("page", pages(), ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_names_that_a_page_finds_in_a_file_are_in_it(page: Path):
    gone = []
    for place, name in PLACE.findall(page.read_text(encoding="utf-8")):
        if name and not re.search(
            rf"\b(?:def|class) {name}\b", (CHECKOUT / place).read_text(encoding="utf-8")
        ):
            gone.append(f"{place}::{name}")

    assert gone == []


@pytest.mark.parametrize("path", [*product(), *pages()], ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_what_is_cited_by_its_section_has_it(path: Path):
    gone = []
    for page, section in re.findall(r"\b(docs/[\w./-]+\.md)(?: §(\d+))?", path.read_text(encoding="utf-8")):
        cited = CHECKOUT / page
        text = cited.read_text(encoding="utf-8") if cited.exists() else ""
        if not text or (section and f"\n## {section}. " not in text):
            gone.append(f"{page} §{section}")

    assert gone == []


def test_the_readme_begins_with_its_two_commands():
    top = (CHECKOUT / "README.md").read_text(encoding="utf-8").splitlines()[:25]

    assert [line for line in top if re.match(r"\s*make \w+$", line)] == ["make run", "make test"]


def test_the_readme_names_every_flag_and_no_other():
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    ray = {"--head", "--follow", "--no-wait", "--submission-id", "--working-dir", "--generate"}
    run = argparse.ArgumentParser(add_help=False)
    run_flags.arguments(run)
    known = flags_of(run)
    for name in COMMANDS:
        parser = argparse.ArgumentParser(add_help=False)
        load(name).arguments(parser)
        known |= flags_of(parser)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))

    assert named - known - ray == set()
    assert flags_of(run) - named == set()


def test_the_readme_names_every_command_and_target():
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(
        r"^([a-z]+):.*## ", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )

    assert [
        name for name in {*COMMANDS, *targets} - {"help"} if not re.search(rf"`(?:make )?{name}\b", text)
    ] == []


def test_nothing_tracked_names_a_machine_or_a_registry():
    wanted = re.compile(
        rb"/(?:home|Users|work|root)/[A-Za-z0-9_.-]+|(?<![\w-])--(?:extra-)?index-url|\b(?:pypi|files)\.python(?:hosted)?\.org"
    )
    found = []
    for path in tracked():
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if wanted.search(line) and path != Path(__file__).resolve():
                found.append(f"{path.relative_to(CHECKOUT)}:{number}: {line[:80]!r}")

    assert found == []
