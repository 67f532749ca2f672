"""A Kafka cluster as Spark's JVM sees it: topics, their ids, their first and last offsets, and what its errors mean."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from actors.sources.kafka_records import TopicPartition
from config.kafka import KafkaClient
from core.errors import AssayError, ConfigError, Permanent, SourceUnavailable

ANSWER_MS = 10_000
"""How long a broker may take to answer before the source counts as away."""

_AUTHENTICATION = re.compile(r"(Sasl|Ssl)?AuthenticationException: (.*)")
_LOST = re.compile(
    r"data (may have been|was) (lost|missed)|OffsetOutOfRange|[Dd]ata loss|KafkaIllegalState|have been (lost|removed|deleted)"
)


def client_settings(settings: KafkaClient) -> dict[str, str]:
    """The client's own settings. PEM files are read here, so executors on other machines need none.

    Raises:
        ConfigError: E435, a PEM file cannot be read.
    """
    said = {
        "bootstrap.servers": settings.bootstrap_servers,
        "security.protocol": settings.security_protocol,
        "request.timeout.ms": str(ANSWER_MS // 2),
        "default.api.timeout.ms": str(ANSWER_MS),
    }
    if settings.sasl_mechanism is not None and settings.sasl_password is not None:
        said["sasl.mechanism"] = settings.sasl_mechanism
        said["sasl.jaas.config"] = _jaas(
            settings.sasl_mechanism, settings.sasl_username or "", settings.sasl_password.get_secret_value()
        )
    if settings.tls_ca is not None:
        said |= {"ssl.truststore.type": "PEM", "ssl.truststore.certificates": _pem(settings.tls_ca)}
    if settings.tls_certificate is not None and settings.tls_key is not None:
        said |= {
            "ssl.keystore.type": "PEM", "ssl.keystore.key": _pem(settings.tls_key),
            "ssl.keystore.certificate.chain": _pem(settings.tls_certificate),
        }  # fmt: skip
        if settings.tls_key_password is not None:
            said["ssl.key.password"] = settings.tls_key_password.get_secret_value()
    if not settings.tls_check_name:
        said["ssl.endpoint.identification.algorithm"] = ""
    return said


def _jaas(mechanism: str, user: str, password: str) -> str:
    kind = "plain.Plain" if mechanism == "PLAIN" else "scram.Scram"
    quoted = [text.replace("\\", "\\\\").replace('"', '\\"') for text in (user, password)]
    login = f"org.apache.kafka.common.security.{kind}LoginModule"
    return f'{login} required username="{quoted[0]}" password="{quoted[1]}";'


def _pem(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the PEM file `{path}` cannot be read: {error}", "E435") from error


class Cluster:
    """An admin client in Spark's JVM; one thread at a time.

    Args:
        jvm: the session's, by py4j.
        settings: of the source.
        topics: its topics, for what errors say.
    """

    def __init__(self, jvm: Any, settings: KafkaClient, topics: Iterable[str]) -> None:
        self._jvm = jvm
        self._settings = settings
        self._names = tuple(topics)
        self._client: Any = None

    def topics(self) -> dict[str, tuple[str, list[int]]]:
        """Name -> topic id and partitions, of the source's topics.

        Raises:
            SourceUnavailable: E430 no broker answers, E431 there is no such topic. Permanent: E433 it refuses us.
        """
        names = self._jvm.java.util.ArrayList()
        for name in self._names:
            names.add(name)
        found = self._asked(lambda client: client.describeTopics(names).allTopicNames().get())
        return {
            str(name): (
                str(found[name].topicId().toString()),
                sorted(int(one.partition()) for one in found[name].partitions()),
            )
            for name in found
        }

    def offsets(self, partitions: Iterable[TopicPartition], which: str) -> dict[TopicPartition, int]:
        """The ``earliest`` offset of each partition, or the ``latest``: behind the last committed record.

        Raises:
            As ``topics``.
        """
        admin, common = self._jvm.org.apache.kafka.clients.admin, self._jvm.org.apache.kafka.common
        asked = self._jvm.java.util.HashMap()
        spec = admin.OffsetSpec.earliest() if which == "earliest" else admin.OffsetSpec.latest()
        wanted = [(one, common.TopicPartition(*one)) for one in partitions]
        for _, partition in wanted:
            asked.put(partition, spec)
        options = admin.ListOffsetsOptions(common.IsolationLevel.READ_COMMITTED)
        found = self._asked(lambda client: client.listOffsets(asked, options).all().get())
        return {one: int(found.get(partition).offset()) for one, partition in wanted}

    def close(self) -> None:
        """Safe twice."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):  # its JVM may be gone
                client.close(self._jvm.java.time.Duration.ofSeconds(1))

    def _asked(self, question: Any) -> Any:
        try:
            if self._client is None:
                self._client = self._opened()
            return question(self._client)
        except Exception as error:
            meant = self.meant(str(error))
            if meant is None:
                raise
            raise meant from error

    def _opened(self) -> Any:
        said = self._jvm.java.util.HashMap()
        for key, value in client_settings(self._settings).items():
            said.put(key, value)
        return self._jvm.org.apache.kafka.clients.admin.Admin.create(said)

    def meant(self, text: str) -> AssayError | None:
        """What a Java trace of Kafka's says, in a sentence; None: nothing we know."""
        where, names = self._settings.bootstrap_servers, " and ".join(f"`{name}`" for name in self._names)
        if "is not a package" in text or "object is not callable" in text or "data source: kafka" in text:
            return ConfigError(
                "Spark's Kafka connector is missing: `make services` copies it to lib/kafka by Maven; or name its jars with"
                " `spark.conf: {spark.jars: …}`", "E434",
            )  # fmt: skip
        if found := _AUTHENTICATION.search(text):
            user = f" as `{self._settings.sasl_username}`" if self._settings.sasl_username else ""
            return Permanent(
                f"the Kafka brokers at {where} refuse us{user}: {found[2].strip()[:200]}", "E433"
            )
        if "AuthorizationException" in text:
            return Permanent(
                f"the Kafka brokers at {where} do not let us read {names}: {_cause(text)}", "E433"
            )
        if "UnknownTopicOrPartition" in text or "UnknownTopicId" in text:
            return SourceUnavailable(f"there is no topic {names} at {where}; check `topic`", "E431")
        if _LOST.search(text):
            return self.lost(_cause(text))
        if "No resolvable bootstrap" in text:
            return SourceUnavailable(f"`bootstrap_servers` {where}: no such host", "E430")
        if "TimeoutException" in text or "DisconnectException" in text or "BrokerNotAvailable" in text:
            return SourceUnavailable(f"no Kafka broker answers at {where}; is it up?", "E430")
        return None

    def lost(self, what: str) -> Permanent:
        """Records that are not stored yet are gone."""
        return Permanent(
            f"records that are not stored yet are gone from the topic: {what}; set `on_data_loss: skip` to go on behind them",
            "E432",
        )  # fmt: skip


def _cause(text: str) -> str:
    """The line of a Java trace that says most."""
    lines = [line.strip() for line in text.splitlines() if "Exception" in line or "lost" in line]
    return re.sub(r"^(Caused by: )?[\w.$]+(Exception|Error): ", "", lines[-1] if lines else text)[:200]
