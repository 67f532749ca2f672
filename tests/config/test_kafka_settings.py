"""Settings of Kafka sources: what fits together, and what is said where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.faults import ConfigErrors
from config.load import load
from config.models import KafkaSettings
from tests.config.files import write

HEAD = "datasets: {orders: {schema: flights.json}}\nsources:\n  orders:\n"
BEST = {"type": "kafka", "dataset": "orders", "topic": "orders", "bootstrap_servers": "127.0.0.1:9092"}


def text(**changed: str) -> str:
    said = {**BEST, **changed}
    return HEAD + "".join(f"    {key}: {value}\n" for key, value in said.items() if value)


SASL = {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-256", "sasl_username": "alice"}
ROWS = [
    pytest.param({"topic": ""}, ["E108", "`topic` is missing"], id="no-topic"),
    pytest.param({"topic": "'my orders'"}, ["E101", "`my orders` is no topic's name"], id="topic-with-a-space"),
    pytest.param({"topic": "[a, b, a]"}, ["E101", "has a topic twice"], id="topic-twice"),
    pytest.param({"topic": "[]"}, ["E101", "has no topic"], id="no-topics"),
    pytest.param({"bootstrap_servers": "broker"}, ["E101", "`broker` is no broker's address", "host:port"], id="no-port"),
    pytest.param({"bootstrap_servers": "kafka://b:9092"}, ["E101", "`kafka://b:9092` is no broker's address"], id="a-url"),
    pytest.param({"bootstrap_servers": "a:9092,b:99999"}, ["E101", "`b:99999`"], id="no-such-port"),
    pytest.param({"starting": "newest"}, ["E101", "`newest`", "`earliest` or `latest`"], id="starting"),
    pytest.param(SASL, ["E101", "`security_protocol: SASL_SSL` also needs `sasl_password`"], id="no-password"),
    pytest.param({"sasl_username": "alice"}, ["E101", "`sasl_username` has no use with `security_protocol: PLAINTEXT`"], id="sasl-without-its-protocol"),
    pytest.param({"tls_ca": "ca.pem"}, ["E101", "`tls_ca` has no use", "`SSL` or `SASL_SSL`"], id="tls-without-its-protocol"),
    pytest.param({"security_protocol": "SSL", "tls_key": "k.pem"}, ["E101", "also needs `tls_certificate`"], id="key-alone"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "words"), ROWS)
def test_what_does_not_fit_is_said(
    changed: dict[str, str], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigErrors) as caught:
        load(write(tmp_path, text(**changed)))

    said = str(caught.value)
    assert all(word in said for word in words), said


def test_several_topics_and_a_password_that_no_view_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    config = load(write(tmp_path, text(**SASL, sasl_password="hush-4711", topic="[orders, returns]")))

    settings = config.sources["orders"]
    assert isinstance(settings, KafkaSettings)
    assert settings.topic == ("orders", "returns")
    assert settings.sasl_password is not None and settings.sasl_password.get_secret_value() == "hush-4711"
    assert "hush-4711" not in str(config)
