"""What others wrote is what they published, and our pages keep their own promises."""

from __future__ import annotations

import hashlib
import re
import tomllib

import pytest

from web.pages import HERE, STATIC

VENDOR = STATIC / "vendor"
PACKAGES = tomllib.loads((VENDOR / "VENDOR.toml").read_text())["package"]
OURS = [path for path in sorted(STATIC.rglob("*")) if path.is_file() and VENDOR not in path.parents]


def test_vendored_files_are_unchanged_and_all_listed():
    listed = {name: digest for package in PACKAGES for name, digest in package["sha256"].items()}
    found = {
        str(path.relative_to(VENDOR)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "VENDOR.toml"
    }

    assert found == listed


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package["name"])
def test_licence_text_is_there(package):
    assert package["licence_file"] in package["sha256"]
    assert len((VENDOR / package["licence_file"]).read_text()) > 500


@pytest.mark.parametrize("path", [path for path in OURS if path.suffix == ".js"], ids=lambda path: path.name)
def test_data_never_become_markup(path):
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser"

    assert not re.search(forbidden, path.read_text())


@pytest.mark.parametrize("path", sorted((HERE / "templates").iterdir()), ids=lambda path: path.name)
def test_templates_have_no_inline_code_and_mark_nothing_safe(path):
    text = path.read_text()

    assert not re.search(r"\|\s*safe\b|<script>|\son[a-z]+=|style=", text)
    assert not re.search(r'(?:src|href)="https?:', text)


def test_files_stay_small():
    for path in [*OURS, *(HERE / "templates").iterdir(), *HERE.glob("*.py")]:
        assert len(path.read_text().splitlines()) <= 400, path
