"""Where a database is, read from its JDBC URL: driver, properties, and how it is named to people. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from config.models import JdbcSettings
from core.errors import ConfigError

Product = Literal["postgresql", "mariadb", "other"]

DRIVERS = {"postgresql": "org.postgresql.Driver", "mariadb": "org.mariadb.jdbc.Driver"}
_PORTS = {"postgresql": 5432, "mariadb": 3306}
_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
_URL = re.compile(
    rf"jdbc:(?P<product>[a-z0-9]+)://(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?(?P<more>(?:,{_HOST}(?::[0-9]{{1,5}})?)*)"
    r"/(?P<database>[^/?#\s]*)(?P<query>\?\S*)?"
)
_OTHER = re.compile(r"jdbc:([a-z0-9]+):\S+")


@dataclass(frozen=True, slots=True)
class Address:
    """A database, as Spark's JDBC reader is told of it."""

    product: Product
    url: str = field(repr=False)
    """What the driver is given; it may hold secrets, so it is never shown."""
    driver: str
    user: str | None
    place: str
    """``host:port/database``"""
    properties: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def shown(self) -> str:
        """``user@host:port/database``: all that messages say."""
        return f"{self.user}@{self.place}" if self.user else self.place

    def quoted(self, name: str) -> str:
        """An identifier as statements write it."""
        mark = "`" if self.product == "mariadb" else '"'
        return mark + name.replace(mark, mark * 2) + mark


def address_of(settings: JdbcSettings) -> Address:
    """The address in a source's settings.

    Raises:
        ConfigError: E412 the URL cannot be read, E414 nothing is known of its driver.
    """
    url = settings.url.get_secret_value()
    found = _URL.fullmatch(url)
    product = url.removeprefix("jdbc:").partition(":")[0]
    if found and product in DRIVERS and int(found["port"] or 1) in range(1, 65_536):
        return _known(settings, found)
    if product in DRIVERS or (settings.driver is None and not _OTHER.fullmatch(url)):
        raise ConfigError(
            "the `url` of a database cannot be read (it is not shown, it may hold a password); write"
            " `jdbc:postgresql://host:port/database` or `jdbc:mariadb://host:port/database`, user and password beside it", "E412",
        )  # fmt: skip
    if settings.driver is None:
        raise ConfigError(
            f"no driver is known for a `url` that begins with `{':'.join(url.split(':')[:2])}:`; name its class with `driver` and its jar"
            " with `spark.conf: {spark.jars: …}`", "E414",
        )  # fmt: skip
    place = f"{found['host']}/{found['database']}" if found else f"a {url.split(':')[1]} database"
    return Address("other", url, settings.driver, settings.user, place, _login(settings) | settings.options)


def _known(settings: JdbcSettings, found: re.Match[str]) -> Address:
    product: Product = "postgresql" if found["product"] == "postgresql" else "mariadb"
    url, port = settings.url.get_secret_value(), found["port"] or _PORTS[product]
    ours = dict(_PROPERTIES[product])
    if product == "mariadb":
        # Spark knows MySQL's dialect by this scheme; by MariaDB's own it would quote names as texts.
        url = (
            "jdbc:mysql"
            + url.removeprefix("jdbc:mariadb")
            + ("&" if found["query"] else "?")
            + "permitMysqlScheme=true"
        )
    properties = ours | _tls(settings, product) | _login(settings) | settings.options
    driver = settings.driver or DRIVERS[product]
    place = f"{found['host']}:{port}{found['more']}/{found['database']}"
    return Address(product, url, driver, settings.user or _user_in(found["query"]), place, properties)


_PROPERTIES: dict[str, dict[str, str]] = {
    "postgresql": {"ApplicationName": "assay", "connectTimeout": "10", "loginTimeout": "15"},
    "mariadb": {
        "connectionTimeZone": "UTC", "forceConnectionTimeZoneToSession": "true",
        "yearIsDateType": "false", "connectTimeout": "10000",
    },
}  # fmt: skip


def _login(settings: JdbcSettings) -> dict[str, str]:
    made = {"user": settings.user} if settings.user else {}
    return made | ({"password": settings.password.get_secret_value()} if settings.password else {})


def _tls(settings: JdbcSettings, product: Product) -> dict[str, str]:
    """``tls`` and ``tls_ca`` in the driver's own words."""
    if settings.tls is None:
        return {}
    if product == "postgresql":
        mode = {"off": "disable", "require": "require", "verify": "verify-full"}[settings.tls]
        authority = {"sslrootcert": str(settings.tls_ca)} if settings.tls_ca else {}
    else:
        mode = {"off": "disable", "require": "trust", "verify": "verify-full"}[settings.tls]
        authority = {"serverSslCert": str(settings.tls_ca)} if settings.tls_ca else {}
    checked = authority if settings.tls == "verify" else {}
    if product == "postgresql" and settings.tls == "verify" and not authority:
        checked = {"sslfactory": "org.postgresql.ssl.DefaultJavaSSLFactory"}  # Java's own authorities
    return {("sslmode" if product == "postgresql" else "sslMode"): mode, **checked}


def _user_in(query: str | None) -> str | None:
    found = re.search(r"[?&]user=([^&]*)", query or "")
    return found[1] if found else None
