"""What a database or its driver refused, in one sentence each: who was asked, as ``user@host``, and never with what password. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.engine.jdbc_address import Address
from core.errors import AssayError, ConfigError, SourceUnavailable


@dataclass(frozen=True, slots=True)
class Cause:
    """One link of a Java exception's chain."""

    kind: str
    """Its class."""
    message: str
    state: str = ""
    """SQLSTATE, where it is an SQLException."""


_MISSING_DRIVER = re.compile(r"ClassNotFoundException|NoClassDefFoundError")
_TLS = re.compile(r"SSL|CertPath|sun\.security|CertificateException")
_AWAY = re.compile(
    r"java\.net\.|ConnectException|SocketTimeout|EOFException|NonTransientConnection|TransientConnection"
)


def translated(causes: Sequence[Cause], address: Address, what: str) -> AssayError:
    """The error for a chain of causes, outermost first.

    Args:
        what: which table or query was asked for, in words.
    """
    chain = list(causes)
    said = _said(chain)
    if any(_MISSING_DRIVER.search(cause.kind) for cause in chain) or "No suitable driver" in said:
        return ConfigError(
            f"Spark has no driver `{address.driver}` for {address.shown}; run `make services`, or name its jar with"
            " `spark.conf: {spark.jars: …}` or `{spark.jars.packages: …}`", "E414",
        )  # fmt: skip
    state = next((cause.state for cause in chain if cause.state), "")
    if any(_TLS.search(cause.kind) for cause in chain) or re.search(r"\bSSL\b|\bTLS\b", said):
        return ConfigError(
            f"no encrypted line to {address.shown}: {said}; check `tls`, `tls_ca` and the server's certificate",
            "E416",
        )
    if state.startswith("28"):
        return ConfigError(
            f"{address.shown} refused the login; check `user` and `password`, and who may come from here",
            "E413",
        )
    if state == "3D000" or "Unknown database" in said:
        return ConfigError(f"{address.place} is no database there is; check `url`", "E417")
    if state in {"42P01", "42S02", "3F000"}:
        return ConfigError(f"there is no {what} at {address.place}; check its name and schema", "E404")
    if state in {"42703", "42S22"}:
        return ConfigError(f"{what} at {address.place} names a column that is not there: {said}", "E405")
    if state.startswith("42"):
        return ConfigError(f"{address.shown} refused to read {what}: {said}", "E418")
    away = state[:2] in {"08", "53", "57", "40"} or any(_AWAY.search(cause.kind) for cause in chain)
    how = "cannot be reached" if away else "did not answer as it should"
    return SourceUnavailable(f"{address.shown} {how}: {said}", "E415")


def causes_in(text: str) -> list[Cause]:
    """The chain as a Java trace shows it, for errors that reach us as text only."""
    found = re.findall(
        r"(?m)^(?:.*?Caused by: |.*?failure:.*?: |: )?((?:[a-z]\w*\.)+[A-Z]\w*(?:Exception|Error)): ?(.*)$",
        text,
    )
    return [Cause(kind, message.strip()) for kind, message in found]


def _said(chain: Sequence[Cause]) -> str:
    """The words of the link that says most: the database's own, else the innermost."""
    own = [cause for cause in chain if cause.state and cause.message]
    inner = [cause for cause in chain if cause.message]
    if not inner:
        return "it gave no reason"
    chosen = own[-1] if own else inner[-1]
    if inner[-1].kind.startswith("java.net.") and inner[-1].message not in chosen.message:
        names = {"UnknownHostException": "unknown host "}
        return names.get(inner[-1].kind.rpartition(".")[2], "") + _line(inner[-1].message)
    return _line(chosen.message)


def _line(message: str) -> str:
    first = message.strip().splitlines()[0] if message.strip() else ""
    return re.sub(r"^\(conn=\d+\) |^(?:ERROR|FATAL): ", "", first)[:200]
