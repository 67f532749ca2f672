"""A certificate authority of a test's own, and certificates by it for servers on loopback."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"


@dataclass(frozen=True)
class Certificates:
    """PEM files in one folder; the keys have no passphrase."""

    authority: Path
    """What a client must trust."""
    certificate: Path
    key: Path


def certificates(folder: Path) -> Certificates:
    """Make an authority and a certificate for ``localhost`` and 127.0.0.1 by it: 0.1-0.5 s."""
    authority, authority_key = folder / "authority.pem", folder / "authority.key"
    certificate, key, asked = folder / "server.pem", folder / "server.key", folder / "server.csr"
    extensions = folder / "names.cnf"
    extensions.write_text(f"{NAMES}\n")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    _openssl(
        "req",
        "-x509",
        *new_key,
        "-keyout",
        authority_key,
        "-out",
        authority,
        "-days",
        "2",
        "-subj",
        "/CN=assay-tests",
    )
    _openssl("req", *new_key, "-keyout", key, "-out", asked, "-subj", "/CN=localhost")
    _openssl("x509", "-req", "-in", asked, "-CA", authority, "-CAkey", authority_key, "-CAcreateserial", "-days", "2",
             "-extfile", extensions, "-out", certificate)  # fmt: skip
    return Certificates(authority, certificate, key)


def _openssl(*words: object) -> None:
    done = subprocess.run(
        ["openssl", *map(str, words)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
