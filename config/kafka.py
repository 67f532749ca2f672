"""How a Kafka client reaches its cluster: addresses, who logs in, what is trusted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


def _addresses(text: str) -> str:
    found = [part.strip() for part in text.split(",")]
    for one in found:
        match = _ADDRESS.fullmatch(one)
        if match is None or not 0 < int(match[2]) < 65_536:
            why = "is no broker's address; write `host:port`, several with commas"
            raise PydanticCustomError("E101", "`{one}` {why}", {"one": one, "why": why})
    return ",".join(found)


def _topics(said: str | tuple[str, ...]) -> str | tuple[str, ...]:
    names = (said,) if isinstance(said, str) else said
    for name in names:
        if not _TOPIC.fullmatch(name) or name in {".", ".."}:
            why = "is no topic's name; it has 1 to 249 letters, digits, `.`, `_` and `-`"
            raise PydanticCustomError("E101", "`{name}` {why}", {"name": name, "why": why})
    if not names or len(set(names)) < len(names):
        raise PydanticCustomError("E101", "has {what}", {"what": "a topic twice" if names else "no topic"})
    return said


Topics = Annotated[str | tuple[str, ...], AfterValidator(_topics)]
"""One topic's name, or several."""


class KafkaClient(BaseModel):
    """What every Kafka client is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bootstrap_servers: Annotated[str, AfterValidator(_addresses)] = Field(
        description="Brokers to ask first, `host:port`, several with commas.",
        examples=["broker1.example.test:9092,broker2.example.test:9092"],
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="Whether the line is encrypted (SSL) and who asks is known (SASL)."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        default=None, description="How to log in; with `SASL_…` only."
    )
    sasl_username: str | None = Field(default=None, description="Who logs in.")
    sasl_password: SecretStr | None = Field(default=None, description="Their password.")
    tls_ca: Path | None = Field(
        default=None,
        description="PEM file of the authority that signed the brokers' certificates; null: Java's own.",
    )
    tls_certificate: Path | None = Field(
        default=None, description="PEM file of our certificate, where brokers ask for one."
    )
    tls_key: Path | None = Field(
        default=None, description="PEM file (PKCS 8) of that certificate's private key."
    )
    tls_key_password: SecretStr | None = Field(
        default=None, description="What that key is encrypted with; null: it is not."
    )
    tls_check_name: bool = Field(
        default=True, description="Whether a broker's certificate must carry its host's name."
    )

    @model_validator(mode="after")
    def _the_parts_agree(self) -> Self:
        protocol = self.security_protocol
        sasl = {"sasl_mechanism": self.sasl_mechanism, "sasl_username": self.sasl_username, "sasl_password": self.sasl_password}  # fmt: skip
        tls = {"tls_ca": self.tls_ca, "tls_certificate": self.tls_certificate, "tls_key": self.tls_key}
        if protocol.startswith("SASL"):
            _need(
                f"`security_protocol: {protocol}` also needs",
                [key for key, value in sasl.items() if value is None],
            )
        else:
            _without(protocol, "SASL_SSL` or `SASL_PLAINTEXT", sasl)
        if not protocol.endswith("SSL"):
            _without(protocol, "SSL` or `SASL_SSL", tls)
        if (self.tls_certificate is None) != (self.tls_key is None):
            _need("a certificate goes with its key: it also needs", ["tls_key" if self.tls_key is None else "tls_certificate"])  # fmt: skip
        return self


def _need(why: str, missing: list[str]) -> None:
    if missing:
        raise PydanticCustomError(
            "E101", "{why} {keys}", {"why": why, "keys": " and ".join(f"`{key}`" for key in missing)}
        )


def _without(protocol: str, instead: str, keys: Mapping[str, object]) -> None:
    found = next((key for key, value in keys.items() if value is not None), None)
    if found is not None:
        raise PydanticCustomError(
            "E101", "`{key}` has no use with `security_protocol: {protocol}`; write `{instead}`, or leave it out",
            {"key": found, "protocol": protocol, "instead": instead},
        )  # fmt: skip
