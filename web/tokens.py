"""Who may come in: the token of this data directory, one-time login codes, sessions, and a limit on guesses.

All live in memory but the token, which is kept in ``<root>/state/token`` (0600) so that scripts can read it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from core.errors import ConfigError

CODE_S = 600.0
SESSION_S = 12 * 3600.0
GUESSES = 5
"""Refused sign-ins a minute and address."""
GUESSERS = 1000
"""Addresses remembered; beyond that the oldest is forgotten."""
SESSIONS = 1000


def token_path(root: Path) -> Path:
    """Where the token of a data directory is kept."""
    return root / "state" / "token"


class TokenStore:
    """The token, and what was given out for it."""

    def __init__(self, token: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._token = token
        self._clock = clock
        self._codes: dict[str, float] = {}
        self._sessions: dict[str, float] = {}
        self._refused: dict[str, deque[float]] = {}

    @classmethod
    def open(cls, root: Path) -> TokenStore:
        """The store of a data directory; its token is made when there is none.

        Raises:
            ConfigError: E603, the file cannot be written or read, or is empty.
        """
        path = token_path(root)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _create(path)
            token = path.read_text(encoding="ascii").strip()
            path.chmod(0o600)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"the token file `{path}` cannot be used: {error}; mend or remove it", "E603"
            ) from error
        if len(token) < 16:
            raise ConfigError(f"the token in `{path}` has fewer than 16 characters; remove the file", "E603")
        return cls(token)

    def is_token(self, offered: str) -> bool:
        """Whether this is the token; takes the same time for every wrong one."""
        return hmac.compare_digest(_digest(offered), _digest(self._token))

    def login_code(self) -> str:
        """A code that signs in once, within ten minutes."""
        self._forget(self._codes)
        code = secrets.token_urlsafe(24)
        self._codes[_digest(code)] = self._clock() + CODE_S
        return code

    def redeem(self, code: str) -> str | None:
        """A session for a code, which is void from now on; None if it never was, is used or is too old."""
        ends = self._codes.pop(_digest(code), None)
        return self._session() if ends is not None and ends > self._clock() else None

    def exchange(self, token: str) -> str | None:
        """A session for the token."""
        return self._session() if self.is_token(token) else None

    def is_session(self, session: str) -> bool:
        """Whether a session is known and not over."""
        ends = self._sessions.get(_digest(session))
        return ends is not None and ends > self._clock()

    def end(self, session: str) -> None:
        """Sign out."""
        self._sessions.pop(_digest(session), None)

    def may_try(self, address: str) -> bool:
        """Whether this address has refused sign-ins left within the minute."""
        refused = self._refused.get(address)
        while refused and refused[0] < self._clock() - 60:
            refused.popleft()
        return not refused or len(refused) < GUESSES

    def refuse(self, address: str) -> None:
        """A sign-in of this address was wrong."""
        if address not in self._refused and len(self._refused) >= GUESSERS:
            del self._refused[next(iter(self._refused))]
        self._refused.setdefault(address, deque(maxlen=GUESSES)).append(self._clock())

    def _session(self) -> str:
        self._forget(self._sessions)
        if len(self._sessions) >= SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        session = secrets.token_urlsafe(32)
        self._sessions[_digest(session)] = self._clock() + SESSION_S
        return session

    def _forget(self, ends: dict[str, float]) -> None:
        now = self._clock()
        for key in [key for key, end in ends.items() if end <= now]:
            del ends[key]


def login_url(tokens: TokenStore, host: str, port: int) -> str:
    """A one-time address that signs a browser in; for the terminal of whoever started Assay."""
    return f"http://{shown_host(host)}:{port}/login?code={tokens.login_code()}"


def shown_host(host: str) -> str:
    """A bound host as it stands in an address: a wildcard becomes loopback, IPv6 gets brackets."""
    if host in {"0.0.0.0", "::", ""}:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _create(path: Path) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
