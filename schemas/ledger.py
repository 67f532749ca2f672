"""The registry's memory: one SQLite file below ``registry/``, written ahead and synced at every commit.

A version is wholly there or not at all. Version numbers and ids are never given twice, not even after a delete:
the next version stands in the subject's own row, ids are AUTOINCREMENT. One process writes (the registry actor);
others may read beside it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from core.crash import crashpoint
from core.errors import BadSchema, StoreUnavailable
from schemas import document as documents
from schemas.model import Reference, Registered, Subject, Version

FORMAT_VERSION = 1
MAX_NOTICED = 1000
"""Unknown fields remembered for a subject; a stream that invents names must not fill the disk."""

_TABLES = """
CREATE TABLE subjects (
  name TEXT PRIMARY KEY, next_version INTEGER NOT NULL DEFAULT 1,
  compatibility TEXT, policy TEXT, mode TEXT,           -- null: the global setting
  created_us INTEGER NOT NULL, deleted_us INTEGER       -- soft delete
) STRICT;
CREATE TABLE contents (
  id INTEGER PRIMARY KEY AUTOINCREMENT, fingerprint TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, body BLOB NOT NULL,
  created_us INTEGER NOT NULL
) STRICT;
CREATE TABLE content_references (
  id INTEGER NOT NULL REFERENCES contents, name TEXT NOT NULL, subject TEXT NOT NULL, version INTEGER NOT NULL,
  PRIMARY KEY (id, name)
) STRICT;
CREATE TABLE versions (
  subject TEXT NOT NULL REFERENCES subjects, version INTEGER NOT NULL, id INTEGER NOT NULL REFERENCES contents,
  metadata TEXT NOT NULL, tags TEXT NOT NULL, created_us INTEGER NOT NULL, deleted_us INTEGER,
  PRIMARY KEY (subject, version)
) STRICT;
CREATE INDEX versions_by_id ON versions (id);
CREATE TABLE settings (                                  -- the global ones
  name TEXT PRIMARY KEY, value TEXT NOT NULL
) STRICT;
CREATE TABLE columns (
  subject TEXT NOT NULL REFERENCES subjects, path TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (subject, path)
) STRICT;
CREATE TABLE loaded (subject TEXT PRIMARY KEY, path TEXT NOT NULL, fingerprint TEXT NOT NULL) STRICT;
CREATE TABLE noticed (
  subject TEXT NOT NULL, field TEXT NOT NULL, kind TEXT NOT NULL, source TEXT NOT NULL, first_us INTEGER NOT NULL,
  PRIMARY KEY (subject, field)
) STRICT;
CREATE TABLE changes (                                   -- what happened, in order, for events and the audit chain
  seq INTEGER PRIMARY KEY AUTOINCREMENT, at_us INTEGER NOT NULL, what TEXT NOT NULL, subject TEXT NOT NULL,
  version INTEGER, id INTEGER
) STRICT;
INSERT INTO settings VALUES ('compatibility', 'BACKWARD'), ('policy', 'sound'), ('mode', 'READWRITE');
"""


class Ledger:
    """Subjects, versions and contents on disk. Blocking; one thread at a time.

    Args:
        path: the SQLite file; made when it is not there.
        now_us: UTC µs, for the times that are kept.

    Raises:
        StoreUnavailable: E791 the file cannot be opened or is damaged, E792 a newer Assay wrote it.
    """

    def __init__(self, path: Path, now_us: Callable[[], int]) -> None:
        self._path = path
        self._now_us = now_us
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._make_tables()
        except (sqlite3.Error, OSError) as error:
            raise self._lost(error) from error
        except StoreUnavailable:
            self._db.close()
            raise

    def close(self) -> None:
        """Let go of the file. Safe twice."""
        self._db.close()

    def register(
        self,
        subject: str,
        data: bytes,
        *,
        name: str | None = None,
        after_latest: bool = False,
        references: Sequence[Reference] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> Registered:
        """Store a schema under a subject, unless it stands there already.

        Args:
            data: the JSON document.
            name: how errors call it; None: the subject.
            after_latest: compare with the newest version only, so that going back to an older content makes a
                new version; otherwise any version with this content answers.

        Raises:
            BadSchema: E511, E512 the document; E514 a reference that is not there.
        """
        document = documents.read(data, name or subject)
        documents.check(document, name or subject)
        print_ = documents.fingerprint(document, references=references)
        with self._transaction():
            known = self._same(subject, print_, after_latest=after_latest)
            if known is not None:
                return known
            return self._store(
                subject, data, document, print_=print_, references=references, metadata=metadata or {}
            )

    def load(self, subject: str, path: Path) -> Registered:
        """Register a document from a file, if the file changed since it was last loaded; else the newest version.

        Raises:
            BadSchema: E510 the file cannot be read; see ``register``.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BadSchema(
                f"the schema document `{path}` of `{subject}` cannot be read ({error.strerror}); expected a JSON Schema"
                " file there", "E510",
            ) from error  # fmt: skip
        print_ = documents.fingerprint(documents.read(data, str(path)))
        last = self._one("SELECT fingerprint FROM loaded WHERE subject = ?", subject)
        if last is not None and last[0] == print_ and self.latest(subject) is not None:
            return self.get(subject)
        found = self.register(subject, data, name=str(path), after_latest=True)
        with self._transaction():
            self._do("INSERT OR REPLACE INTO loaded VALUES (?, ?, ?)", subject, str(path), print_)
        return found

    def get(self, subject: str, version: int | None = None) -> Registered:
        """A version of a subject; the newest that is not deleted by default.

        A version asked for by number answers also when it is soft-deleted: records may name it.

        Raises:
            BadSchema: E513 there is none.
        """
        number = version if version is not None else self.latest(subject)
        row = self._one(
            "SELECT v.version, v.id, c.body FROM versions v JOIN contents c USING (id)"
            " WHERE v.subject = ? AND v.version = ?", subject, number,
        )  # fmt: skip
        if row is None:
            wanted = f"`{subject}`" if version is None else f"version {version} of `{subject}`"
            has = [one for (one,) in self._do("SELECT version FROM versions WHERE subject = ?", subject)]
            there = f"it has {', '.join(map(str, has))}" if has else "nothing is registered under that name"
            raise BadSchema(f"the registry has no {wanted}: {there}", "E513", {"subject": subject})
        return Registered(
            subject=subject, version=row[0], id=row[1], schema=bytes(row[2]), names=self.names(subject)
        )

    def latest(self, subject: str) -> int | None:
        """Number of the newest version that is not deleted; None if there is none."""
        row = self._one("SELECT max(version) FROM versions WHERE subject = ? AND deleted_us IS NULL", subject)
        return row[0] if row else None

    def subjects(self) -> list[Subject]:
        """All subjects, by name, deleted ones too."""
        rows = self._do(
            "SELECT s.name, max(v.version) FILTER (WHERE v.deleted_us IS NULL), count(v.version), s.compatibility,"
            " s.policy, s.mode, s.created_us, s.deleted_us FROM subjects s LEFT JOIN versions v ON v.subject = s.name"
            " GROUP BY s.name ORDER BY s.name"
        )
        return [
            Subject(
                name=row[0], latest=row[1], versions=row[2], compatibility=row[3], policy=row[4], mode=row[5],
                created_us=row[6], deleted_us=row[7],
            )
            for row in rows
        ]  # fmt: skip

    def versions(self, subject: str) -> list[Version]:
        """All versions of a subject, oldest first, deleted ones too."""
        rows = self._do(
            "SELECT v.version, v.id, c.body, c.kind, v.metadata, v.tags, v.created_us, v.deleted_us FROM versions v"
            " JOIN contents c USING (id) WHERE v.subject = ? ORDER BY v.version", subject,
        ).fetchall()  # fmt: skip
        return [
            Version(
                subject=subject, version=row[0], id=row[1], schema=bytes(row[2]), kind=row[3],
                references=self._references(row[1]), metadata=json.loads(row[4]), tags=json.loads(row[5]),
                created_us=row[6], deleted_us=row[7],
            )
            for row in rows
        ]  # fmt: skip

    def names(self, subject: str) -> dict[str, str]:
        """JSON pointer -> column name, as fixed for the subject's tables."""
        return dict(self._do("SELECT path, name FROM columns WHERE subject = ? ORDER BY rowid", subject))

    def fix_names(self, subject: str, names: Mapping[str, str]) -> dict[str, str]:
        """Remember column names; a path that has one keeps it.

        Returns:
            All names of the subject.
        """
        with self._transaction():
            for path, name in names.items():
                self._do("INSERT OR IGNORE INTO columns VALUES (?, ?, ?)", subject, path, name)
        return self.names(subject)

    def notice(self, subject: str, fields: Mapping[str, str], source: str) -> dict[str, str]:
        """Remember unknown fields; at most ``MAX_NOTICED`` for a subject.

        Returns:
            Those never seen before, in the order given.
        """
        known = {field for (field,) in self._do("SELECT field FROM noticed WHERE subject = ?", subject)}
        room = MAX_NOTICED - len(known)
        fresh = {name: kind for name, kind in fields.items() if name not in known}
        fresh = dict(list(fresh.items())[: max(0, room)])
        if fresh:
            with self._transaction():
                for field, kind in fresh.items():
                    self._do(
                        "INSERT INTO noticed VALUES (?, ?, ?, ?, ?)",
                        subject,
                        field,
                        kind,
                        source,
                        self._now_us(),
                    )
        return fresh

    def _same(self, subject: str, print_: str, *, after_latest: bool) -> Registered | None:
        row = self._one(
            "SELECT max(v.version) FROM versions v JOIN contents c USING (id)"
            " WHERE v.subject = ? AND v.deleted_us IS NULL AND c.fingerprint = ?", subject, print_,
        )  # fmt: skip
        version = row[0] if row else None
        if version is None or (after_latest and version != self.latest(subject)):
            return None
        return self.get(subject, version)

    def _store(
        self, subject: str, data: bytes, document: Any, *, print_: str, references: Sequence[Reference],
        metadata: Mapping[str, str],
    ) -> Registered:  # fmt: skip
        now = self._now_us()
        self._do(
            "INSERT INTO subjects (name, created_us) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET deleted_us = NULL",
            subject, now,
        )  # fmt: skip
        row = self._one(
            "UPDATE subjects SET next_version = next_version + 1 WHERE name = ? RETURNING next_version - 1",
            subject,
        )
        assert row is not None
        version = int(row[0])
        number = self._content(data, print_, references, now)
        self._do(
            "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, NULL)", subject, version, number,
            json.dumps(dict(metadata)), json.dumps(documents.tags(document)), now,
        )  # fmt: skip
        self._do(
            "INSERT INTO changes (at_us, what, subject, version, id) VALUES (?, 'registered', ?, ?, ?)",
            now, subject, version, number,
        )  # fmt: skip
        crashpoint("registry.storing")
        return msgspec.structs.replace(self.get(subject, version), new=True)

    def _content(self, data: bytes, print_: str, references: Sequence[Reference], now: int) -> int:
        known = self._one("SELECT id FROM contents WHERE fingerprint = ?", print_)
        if known is not None:
            return int(known[0])
        row = self._one(
            "INSERT INTO contents (fingerprint, kind, body, created_us) VALUES (?, 'JSON', ?, ?) RETURNING id",
            print_, data, now,
        )  # fmt: skip
        assert row is not None
        for one in references:
            if not self._one(
                "SELECT 1 FROM versions WHERE subject = ? AND version = ?", one.subject, one.version
            ):
                raise BadSchema(
                    f"the reference `{one.name}` names version {one.version} of `{one.subject}`, which is not"
                    " registered; register it first", "E514",
                )  # fmt: skip
            self._do(
                "INSERT INTO content_references VALUES (?, ?, ?, ?)",
                row[0],
                one.name,
                one.subject,
                one.version,
            )
        return int(row[0])

    def _references(self, number: int) -> list[Reference]:
        rows = self._do(
            "SELECT name, subject, version FROM content_references WHERE id = ? ORDER BY name", number
        )
        return [Reference(name=row[0], subject=row[1], version=row[2]) for row in rows]

    def _make_tables(self) -> None:
        with self._transaction():
            found = int(self._do("PRAGMA user_version").fetchone()[0])
            if found > FORMAT_VERSION:
                raise StoreUnavailable(
                    f"`{self._path}` has format version {found}, this Assay reads up to {FORMAT_VERSION}: run the"
                    " Assay that wrote it, or a newer one", "E792",
                )  # fmt: skip
            if found == 0:
                for statement in _TABLES.split(";\n"):
                    self._do(statement)
                self._do(f"PRAGMA user_version = {FORMAT_VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, also across a kill."""
        self._do("BEGIN IMMEDIATE")
        try:
            yield
            self._do("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _do(self, statement: str, *values: Any) -> sqlite3.Cursor:
        try:
            return self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise self._lost(error) from error

    def _one(self, statement: str, *values: Any) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._do(statement, *values).fetchone()
        return row

    def _lost(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(
            f"the schema registry's ledger `{self._path}` cannot be used ({error}); check the directory's rights and"
            " room, or restore the file from a backup", "E791",
        )  # fmt: skip
