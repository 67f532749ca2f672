"""One redactor for whatever leaves the process: logs, signals, errors, config views, crash notes.

It masks by key name, by shape (URL passwords, Authorization, AWS, JWT, PEM, well-known token prefixes) and by
value: secrets the configuration was given are remembered and masked wherever they turn up.
"""

from __future__ import annotations

import json
import re
import threading
from base64 import b64encode
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from core.signals import Signal

MASK = "***"
_SHORT = 256
"""Texts up to this are remembered with what became of them."""
_SHORTEST = 4
"""Shorter secrets are not remembered: masking every ``1`` would hide what happened and say what the secret is."""

_WORDS = (
    r"password|passwd|passphrase|secret|credential|authorization"
    r"|(?<![a-z])(?:pwd|token|cookie|jwt|api[_-]?key|access[_-]?key|private[_-]?key|secret[_-]?key|sas[_-]?key)(?![a-z])"
)
_KEY = re.compile(_WORDS, re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_VALUE = r'(?:"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|[^\s,;&"\'`)}\]]+)'

_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL
        ),
        MASK,
    ),
    (re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/:@\"'`]*):[^\s/\"'`]*@"), rf"\1:{MASK}@"),
    (re.compile(r"(https?://)[^\s/:@\"'`]+@", re.IGNORECASE), rf"\1{MASK}@"),
    (
        re.compile(r"((?:authorization|cookie)[\"']?\s*[:=]\s*[\"']?)[^\"'`\n,}]+", re.IGNORECASE),
        rf"\1{MASK}",
    ),
    (re.compile(r"\b(bearer|basic|digest|apikey)\s+[A-Za-z0-9+/=._~-]{8,}", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"), MASK),
    (re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{16}\b"), MASK),
    (
        re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|xox[abeprs]-[A-Za-z0-9-]{10,}|sk-[A-Za-z0-9_-]{20,})"),
        MASK,
    ),
)
_NAMED = re.compile(rf"((?:[\w.-]*(?:{_WORDS})[\w.-]*)[\"']?\s*[=:]\s*)({_VALUE})", re.IGNORECASE)

_lock = threading.Lock()
_known: frozenset[str] = frozenset()
_known_pattern: re.Pattern[str] | None = None


@lru_cache(maxsize=4096)
def looks_secret(key: str) -> bool:
    """Whether a key of this name holds a secret.

    >>> looks_secret("db_password"), looks_secret("apiKey"), looks_secret("monkey")
    (True, True, False)
    """
    return _KEY.search(_CAMEL.sub("_", key)) is not None


def remember(*secrets: str) -> None:
    """Mask these values from now on, in every spelling they may take (URL-encoded, JSON, base64, single lines)."""
    global _known, _known_pattern  # noqa: PLW0603 - one set a process is the point
    with _lock:
        _known = _known | {secret for secret in secrets if len(secret) >= _SHORTEST}
        spellings = sorted(
            {form for secret in _known for form in _spellings(secret)}, key=lambda form: (-len(form), form)
        )
        _known_pattern = re.compile("|".join(map(re.escape, spellings))) if spellings else None
        _masked.cache_clear()


def known() -> tuple[str, ...]:
    """What is remembered, to hand to another process of the same run. Never log this."""
    return tuple(sorted(_known))


def remember_url(url: str) -> None:
    """Remember the password of a URL's userinfo and the values of its secret-looking query keys."""
    _, scheme, rest = url.partition("://")
    if not scheme:
        return
    authority, _, query = rest.partition("?")
    userinfo, at, _ = authority.rpartition("@")
    if at:
        password = userinfo.partition(":")[2]
        remember(password, unquote(password))
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if looks_secret(key):
            remember(value, unquote(value))


def redact(text: str) -> str:
    """``text`` with every secret replaced by ``***``.

    Cost: a dozen regex passes for a text not seen lately; meant for what people read, not for records.

    >>> redact("cannot reach postgresql://app:hunter2@db/x?sslmode=require")
    'cannot reach postgresql://app:***@db/x?sslmode=require'
    """
    return _masked(text, _known_pattern) if len(text) <= _SHORT else _mask(text, _known_pattern)


def _mask(text: str, known: re.Pattern[str] | None) -> str:
    if known is not None:
        text = known.sub(MASK, text)
    for pattern, mask in _SHAPES:
        text = pattern.sub(mask, text)
    return _NAMED.sub(_mask_named, text)


_masked = lru_cache(maxsize=4096)(_mask)
"""A status is the same names five times a second. What is known is part of the key, and forgetting it clears all."""


def redact_value(value: Any, key: str = "") -> Any:
    """A copy of decoded JSON (or anything like it) with secrets masked, by key name and in every text."""
    if hasattr(value, "get_secret_value"):
        return _masked_secret(str(value.get_secret_value()))
    if (
        key
        and looks_secret(key)
        and not isinstance(value, (bool, Mapping))
        and value not in (None, "", [], ())
    ):
        return MASK
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, (bytes, bytearray)):
        return redact(value.decode("utf-8", "replace"))
    if isinstance(value, Mapping):
        return {
            redact(name) if isinstance(name, str) else name: redact_value(v, str(name))
            for name, v in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redact_value(item, key) for item in value]
    return value


def signal(said: Signal) -> Signal:
    """The signal, safe to publish, store and show."""
    return msgspec.structs.replace(said, subject=redact(said.subject), data=redact_value(said.data))


def _mask_named(found: re.Match[str]) -> str:
    mark = found[2][0] if found[2][0] in "\"'" else ""
    return f"{found[1]}{mark}{MASK}{mark}"


def _masked_secret(text: str) -> str:
    shown = redact(text)
    # A URL says where it leads; its password is masked by shape. Anything else is wholly secret.
    return shown if "://" in text else MASK


def _spellings(secret: str) -> Iterable[str]:
    yield secret
    yield quote(secret, safe="")
    yield json.dumps(secret)[1:-1]
    yield repr(secret)[1:-1]
    yield b64encode(secret.encode()).decode()
    for line in secret.splitlines():
        if len(line.strip()) >= 16:
            yield line.strip()
