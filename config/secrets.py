"""Which settings are secret: told to the redactor at load, and masked in every view."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, SecretStr

from config.models import Config
from config.places import Path
from core import redact

_URL_PASSWORD = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*:[^\s/]+@")


def remember_secrets(config: Config) -> None:
    """Tell the redactor every secret of a loaded configuration. Each process that gets a ``Config`` may call it."""
    for value in _secret_values(config, ""):
        if "://" in value:
            redact.remember_url(value)
        else:
            redact.remember(value)


def plain_secrets(data: Any, path: Path = ()) -> Iterator[Path]:
    """Paths of values in decoded YAML that are secret by their key's name or hold a URL with a password."""
    if isinstance(data, dict):
        for key, value in data.items():
            if isinstance(value, str) and value and (redact.looks_secret(key) or _URL_PASSWORD.search(value)):
                yield (*path, key)
            else:
                yield from plain_secrets(value, (*path, key))
    elif isinstance(data, list):
        for number, item in enumerate(data):
            if isinstance(item, str) and _URL_PASSWORD.search(item):
                yield (*path, number)
            else:
                yield from plain_secrets(item, (*path, number))


def _secret_values(value: Any, key: str) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, str) and (redact.looks_secret(key) or "://" in value):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secret_values(getattr(value, name), name)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _secret_values(item, str(name))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _secret_values(item, key)
