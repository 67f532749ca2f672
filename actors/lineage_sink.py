"""Where events go: lines of a file, or an HTTP endpoint. Each ``send`` blocks until the event is there, or raises."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Protocol

from config.lineage import Lineage
from core.errors import Permanent, StoreUnavailable

AGAIN = {401, 403, 404, 407, 408, 425, 429}
"""Answers that the endpoint's owner can mend; the event itself may be right."""


class Refused(Permanent):
    """The endpoint does not take this event, now or later."""

    code = "E751"


class Sink(Protocol):
    """Takes events, one at a time."""

    def send(self, event: bytes) -> None:
        """Returns once it is there.

        Raises:
            StoreUnavailable: E750, not now.
            Refused: E751, never.
        """


def sink_of(settings: Lineage, root: Path) -> Sink:
    """The one that is configured."""
    if settings.url is not None:
        key = settings.api_key.get_secret_value() if settings.api_key else None
        return Endpoint(settings.url, key, settings.timeout_s)
    return Lines(settings.path or root / "state" / "lineage.ndjson")


class Lines:
    """One event a line, synced. A line that a death cut short is removed before the next one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._whole = False

    def send(self, event: bytes) -> None:
        """See ``Sink``."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab+") as file:
                if not self._whole:
                    _cut_torn_line(file.fileno())
                    self._whole = True
                self._whole = False
                os.write(file.fileno(), event + b"\n")
                os.fsync(file.fileno())
                self._whole = True
        except OSError as error:
            raise StoreUnavailable(
                f"`{self._path}` takes no lineage events ({error.strerror or error}): free space or mend its rights; "
                "they are sent later", "E750",
            ) from error  # fmt: skip


def _cut_torn_line(file: int) -> None:
    size = os.fstat(file).st_size
    end = size
    while end:
        start = max(0, end - 65536)
        at = os.pread(file, end - start, start).rfind(b"\n")
        if at >= 0:
            end = start + at + 1
            break
        end = start
    if end < size:
        os.ftruncate(file, end)


class Endpoint:
    """Posts each event as JSON. Redirects are not followed: the key would go along."""

    def __init__(self, url: str, key: str | None, timeout_s: float) -> None:
        self._url = url
        self._headers = {"Content-Type": "application/json", "User-Agent": "assay"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self._timeout_s = timeout_s
        self._opener = urllib.request.build_opener(_Stay)

    def send(self, event: bytes) -> None:
        """See ``Sink``."""
        request = urllib.request.Request(self._url, data=event, headers=self._headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout_s):
                return
        except urllib.error.HTTPError as error:
            error.close()
            if 400 <= error.code < 500 and error.code not in AGAIN:
                raise Refused(f"`{self._url}` refused a lineage event with {error.code}", "E751") from None
            why = f"it answers {error.code}"
        except (OSError, ValueError) as error:
            why = str(getattr(error, "reason", error))
        raise StoreUnavailable(
            f"`{self._url}` takes no lineage events ({why}): start it or mend `lineage`; they are sent later",
            "E750",
        )


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> None:
        return None
