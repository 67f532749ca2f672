"""A real Apache Kafka broker (KRaft, one node) on free loopback ports, made for the tests and thrown away after them.

The fixture ``kafka`` is started once a session of tests, by the first test that asks for it; its jars are brought by
``make services``. Each test makes topics of its own: ``await kafka.create_topic("mine", partitions=3)``.
"""

from __future__ import annotations

import base64
import shutil
import socket
import struct
import subprocess
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.waiting import until

JARS = Path(__file__).parents[2] / "lib" / "kafka-broker"
QUICK_JVM = ("-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Djava.awt.headless=true")  # fmt: skip
ONE_NODE = {
    "process.roles": "broker,controller", "node.id": "1",
    "controller.listener.names": "CONTROLLER", "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "4", "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4", "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1", "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0", "group.min.session.timeout.ms": "1000",
    # The heartbeat's interval is also its time-out: shorter ones fail on a loaded machine.
    "broker.session.timeout.ms": "4000", "broker.heartbeat.interval.ms": "1000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    "log.cleaner.dedupe.buffer.size": "2097152", "log.cleaner.threads": "1",
    "log.retention.check.interval.ms": "2000", "log.initial.task.delay.ms": "1000",
    "log.segment.delete.delay.ms": "1000",
    "num.network.threads": "2", "num.io.threads": "2",
}  # fmt: skip
LOGGING = """\
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1}: %m%n%ex
"""
API_VERSIONS = struct.pack(">ihhih", 11, 18, 0, 1, 1) + b"r"
"""Size, ApiVersions version 0, correlation 1, client `r`."""


class PortTaken(Exception):
    """Another process took the port between choosing and binding it."""


@dataclass
class Kafka:
    """One broker; ``folder`` holds its data, settings and log."""

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def bootstrap(self) -> str:
        """``host:port``."""
        return f"{self.host}:{self.port}"

    @property
    def log(self) -> Path:
        """What the broker said, over all of its starts."""
        return self.folder / "broker.log"

    def format(self) -> None:
        """Choose ports and prepare the data directory; once, before the first ``start``."""
        self.port, controller = free_ports(2)
        here = f"{self.host}:{controller}"
        said = {
            **ONE_NODE, "log.dirs": str(self.folder / "data"), "controller.quorum.voters": f"1@{here}",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{here}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}", **self.settings,
        }  # fmt: skip
        self.folder.mkdir(parents=True, exist_ok=True)
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in said.items()))
        (self.folder / "log4j2.properties").write_text(LOGGING)
        name = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        words = ["kafka.tools.StorageTool", "format", "-t", name, "-c", str(self._properties), "--ignore-formatted"]  # fmt: skip
        done = subprocess.run(self._java(words), capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start it and wait until it serves.

        Raises:
            PortTaken: ``format`` anew and start again.
        """
        with self.log.open("ab") as log:
            self._began = log.tell()
            self.process = subprocess.Popen(
                self._java(["kafka.Kafka", str(self._properties)]),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        until(self._serves, timeout_s=120, what=f"Kafka serves; its log: {self.log}")

    def stop(self) -> None:
        """End it, by its pid. Safe twice."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process
        self.process.kill()
        self.process.wait(10)

    async def create_topic(self, name: str, partitions: int = 1, **settings: str) -> str:
        """Make a topic and wait until it can be used; returns its name."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=settings)])
        finally:
            await admin.close()
        return name

    async def delete_topic(self, name: str) -> None:
        """Delete a topic with all of its records."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            await admin.delete_topics([name])
        finally:
            await admin.close()

    async def send(self, topic: str, messages: Iterable[Message]) -> None:
        """Write messages in this order, each acknowledged by the broker on return."""
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, enable_idempotence=True, linger_ms=5)
        await producer.start()
        try:
            for one in messages:
                await producer.send(
                    topic, one.value, one.key, one.partition, headers=list(one.headers), timestamp_ms=one.timestamp_ms
                )  # fmt: skip
            await producer.flush()
        finally:
            await producer.stop()

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    def _java(self, words: list[str]) -> list[str]:
        assert JARS.is_dir(), f"`{JARS}` was not found: `make services` brings the broker's jars by Maven"
        log4j = f"-Dlog4j2.configurationFile={self.folder}/log4j2.properties"
        return ["java", *QUICK_JVM, log4j, "-cp", f"{JARS}/*", *words]

    def _serves(self) -> bool:
        """Its own log says so, and the port answers: the port alone may be somebody else's, the log alone too early."""
        with self.log.open("rb") as log:
            log.seek(self._began)
            said = log.read()
        assert self.process
        if self.process.poll() is not None:
            if b"Address already in use" in said:
                raise PortTaken(self.bootstrap)
            raise AssertionError(f"Kafka ended with {self.process.returncode}: {said[-3000:].decode()}")
        return b"Kafka Server started" in said and self._answers()

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), 1) as line:
                line.settimeout(1)
                line.sendall(API_VERSIONS)
                head = line.recv(10)
        except OSError:
            return False
        return len(head) == 10 and struct.unpack(">h", head[8:])[0] == 0


@dataclass(frozen=True, slots=True)
class Message:
    """What a producer sends; ``value`` None is a tombstone."""

    value: bytes | None
    key: bytes | None = None
    partition: int | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp_ms: int | None = None


def free_ports(n: int) -> list[int]:
    """Loopback ports that nobody listens at now."""
    holders = [socket.socket() for _ in range(n)]
    try:
        for one in holders:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in holders]
    finally:
        for one in holders:
            one.close()


def a_kafka(**settings: str) -> Iterator[Kafka]:
    """A broker of one's own; ended and removed when the generator is.

    Args:
        settings: further ones of the broker's, dots written as ``_``.
    """
    base = Path(tempfile.mkdtemp(prefix="assay-kafka-"))
    try:
        for attempt in range(5):
            server = Kafka(
                base / str(attempt), {key.replace("_", "."): value for key, value in settings.items()}
            )
            server.format()
            try:
                server.start()
            except PortTaken:
                continue
            yield server
            return
        raise AssertionError("no free port stayed free")
    finally:
        server.stop()
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """The session's broker."""
    yield from a_kafka()
