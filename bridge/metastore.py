"""A Hive Metastore service from pyspark's own jars, for places that have none: ``python -m bridge.metastore run …``.

Version 2.3.10, on PostgreSQL. ``init`` makes its tables (once; repeating it does no harm), ``run`` becomes the service.
Spark itself makes none of the tables: on PostgreSQL that would lock itself up.
"""

from __future__ import annotations

import argparse
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from bridge.java import Java, find_java

OPENED = ("java.lang", "java.util", "java.net", "java.nio", "java.util.concurrent")
MAIN = "org.apache.hadoop.hive.metastore.HiveMetaStore"
SCHEMA_TOOL = "org.datanucleus.store.schema.SchemaTool"


def main(arguments: Sequence[str] | None = None) -> int:
    """``init`` or ``run``. Exit codes: 0 ok · 1 the tables could not be made · 2 a part is missing."""
    wanted = _parser().parse_args(arguments)
    java = find_java()
    if isinstance(java, str):
        return _complain(java)
    driver = sorted(Path(wanted.driver).glob("postgresql-*.jar"))
    if not driver:
        return _complain(
            f"there is no PostgreSQL driver below `{wanted.driver}`: run `make services`, or name --driver"
        )
    password = os.environ.get("METASTORE_PASSWORD", "")
    if wanted.password_file:
        password = Path(wanted.password_file).read_text("utf-8").strip()
    home = Path(wanted.home).absolute()
    write_home(home, _settings(wanted, password), wanted.bind)
    words = _java_words(java, home, driver[-1])
    if wanted.what == "run":
        os.chdir(home)
        os.execv(
            words[0], [*words, MAIN, "-p", str(wanted.port)]
        )  # keeps the pid: who ends us ends the service
    with zipfile.ZipFile(next(_jars().glob("hive-metastore-*.jar"))) as jar:
        jar.extract("package.jdo", home)
    tool = [*words, SCHEMA_TOOL, "-create", "-api", "JDO", "-props", str(home / "schema.properties")]
    return min(1, subprocess.run([*tool, str(home / "package.jdo")], cwd=home, check=False).returncode)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bridge.metastore", description=__doc__)
    parser.add_argument("what", choices=("init", "run"))
    parser.add_argument(
        "--url", required=True, help="jdbc:postgresql://host:port/database, an empty one at first"
    )
    parser.add_argument("--user", required=True, help="who owns that database")
    parser.add_argument("--password-file", help="a file that holds the password; else METASTORE_PASSWORD")
    parser.add_argument("--port", type=int, default=9083, help="where `run` listens")
    parser.add_argument("--bind", help="its address; else all of this machine's")
    parser.add_argument("--warehouse", default="warehouse", help="where databases lie that name no place")
    parser.add_argument(
        "--home", default="metastore-service", help="a directory for its settings and its log"
    )
    parser.add_argument("--driver", default="lib/jdbc", help="the directory of the PostgreSQL driver")
    return parser


def _settings(wanted: argparse.Namespace, password: str) -> dict[str, str]:
    return {
        "javax.jdo.option.ConnectionURL": wanted.url,
        "javax.jdo.option.ConnectionDriverName": "org.postgresql.Driver",
        "javax.jdo.option.ConnectionUserName": wanted.user,
        "javax.jdo.option.ConnectionPassword": password,
        "datanucleus.connectionPoolingType": "HikariCP",
        "datanucleus.schema.autoCreateAll": "false",
        "datanucleus.identifierFactory": "datanucleus1",  # how Hive names columns; the schema tool would name them otherwise
        "hive.metastore.schema.verification": "false",
        "hive.metastore.warehouse.dir": str(Path(wanted.warehouse).absolute()),
        "hive.async.log.enabled": "false",
        # Assay keeps the numbers itself; counting would list every directory.
        "hive.stats.autogather": "false",
    }


def write_home(home: Path, settings: Mapping[str, str], bind: str | None) -> None:
    """The service's settings: files that only their owner may read, for they hold a password.

    Raises:
        OSError: the directory takes no files.
    """
    (home / "classes").mkdir(parents=True, exist_ok=True, mode=0o700)
    rows = (
        f"<property><name>{escape(k)}</name><value>{escape(v)}</value></property>"
        for k, v in settings.items()
    )
    _write(home / "classes" / "hive-site.xml", f"<configuration>{''.join(rows)}</configuration>\n")
    pairs = (
        f"{key}={value}\n" for key, value in settings.items() if key.startswith(("javax.", "datanucleus.i"))
    )
    _write(home / "schema.properties", "".join(pairs))
    _write(home / "log4j2.properties", _LOG4J)
    place = home / "classes" / "org/apache/hadoop/hive/common/auth/HiveAuthUtils.class"
    place.unlink(missing_ok=True)
    if bind:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(socket_class(bind))


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - the mode is set with the descriptor
        file.write(text)


def _java_words(java: Java, home: Path, driver: Path) -> list[str]:
    path = os.pathsep.join([str(home / "classes"), str(driver.absolute()), f"{_jars()}/*"])
    return [
        str(java.home / "bin" / "java"), *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in (*OPENED, "sun.nio.ch")),
        "-Xmx512m", "-XX:+UseSerialGC", "-XX:-UsePerfData", f"-Dhive.log4j.file={home / 'log4j2.properties'}",
        f"-Dlog4j2.configurationFile=file:{home / 'log4j2.properties'}", f"-Djava.io.tmpdir={home}", "-cp", path,
    ]  # fmt: skip


def _jars() -> Path:
    from bridge.jvm import spark_home

    return Path(spark_home()) / "jars"


def _complain(text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return 2


def socket_class(host: str) -> bytes:
    """A Java class that makes the service listen at ``host`` alone.

    Version 2.3 listens at every address and has no setting for it; it asks ``HiveAuthUtils.getServerSocket`` for its
    socket, so a class of that name stands before the jars. It is put together here because a Java that only runs
    programs brings no compiler. In Java it reads::

        static TServerSocket getServerSocket(String ignored, int port) {
            return new TServerSocket(new InetSocketAddress(host, port));
        }
    """
    pool: list[bytes] = []

    def add(tag: int, body: bytes) -> int:
        pool.append(struct.pack(">B", tag) + body)
        return len(pool)

    def text(value: str) -> int:
        data = value.encode()
        return add(1, struct.pack(">H", len(data)) + data)

    def named(name: str) -> int:
        return add(7, struct.pack(">H", text(name)))

    def constructor(owner: int, takes: str) -> int:
        kind = add(12, struct.pack(">HH", text("<init>"), text(takes)))
        return add(10, struct.pack(">HH", owner, kind))

    this, above = named("org/apache/hadoop/hive/common/auth/HiveAuthUtils"), named("java/lang/Object")
    server, address = named("org/apache/thrift/transport/TServerSocket"), named("java/net/InetSocketAddress")
    where = add(8, struct.pack(">H", text(host)))
    make_server = constructor(server, "(Ljava/net/InetSocketAddress;)V")
    make_address = constructor(address, "(Ljava/lang/String;I)V")
    method = text("getServerSocket"), text("(Ljava/lang/String;I)Lorg/apache/thrift/transport/TServerSocket;")
    body = (
        struct.pack(">BHB", 0xBB, server, 0x59)  # new, dup
        + struct.pack(">BHB", 0xBB, address, 0x59)
        + struct.pack(">BHB", 0x13, where, 0x1B)  # ldc_w, iload_1
        + struct.pack(">BHBHB", 0xB7, make_address, 0xB7, make_server, 0xB0)  # invokespecial twice, areturn
    )
    code = struct.pack(">HHI", 6, 2, len(body)) + body + struct.pack(">HH", 0, 0)
    attribute = struct.pack(">HI", text("Code"), len(code)) + code
    public_static = struct.pack(">HHHHH", 1, 0x0009, *method, 1) + attribute
    head = struct.pack(">IHHH", 0xCAFEBABE, 0, 49, len(pool) + 1) + b"".join(pool)
    return head + struct.pack(">HHHHH", 0x0021, this, above, 0, 0) + public_static + struct.pack(">H", 0)


_LOG4J = """\
rootLogger.level = warn
rootLogger.appenderRef.said.ref = said
appender.said.type = Console
appender.said.name = said
appender.said.target = SYSTEM_ERR
appender.said.layout.type = PatternLayout
appender.said.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSS} %p %c{1}: %m%n
"""


if __name__ == "__main__":
    sys.exit(main())
