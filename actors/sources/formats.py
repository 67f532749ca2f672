"""Which reader a file gets, by its ending or its settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import PurePath

from actors.sources.catalogue import KnownFile
from actors.sources.chunk import Reader
from actors.sources.csv import CsvReader
from actors.sources.lines import JsonLinesReader
from actors.sources.sniff import refuse_disguise
from config.models import FileSettings
from core.errors import BadFile, ConfigError

_ENDINGS = {
    ".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet",
}  # fmt: skip


def make_reader(
    fd: int, known: KnownFile, settings: FileSettings, fields: Mapping[str, frozenset[str]]
) -> Reader:
    """A reader of an open file that knows where its lines stood.

    Raises:
        BadFile: E202 an ending that says no format; E205, E207 it is not the text that its ending promises.
    """
    ending = PurePath(known.file).suffix.lower()
    kind = _ENDINGS.get(ending) if settings.format == "auto" else settings.format
    if kind is None:
        refuse_disguise(known.file, os.pread(fd, 4096, 0))
        raise BadFile(
            f"`{known.file}` ends in `{ending}`, which says no format; set `format` to csv, jsonl or parquet",
            "E202",
        )
    if kind == "parquet":
        from actors.sources.parquet import ParquetReader

        return ParquetReader(
            fd, known.file, chunk_rows=settings.chunk_rows, max_record_bytes=settings.max_record_bytes
        )
    refuse_disguise(known.file, os.pread(fd, 4096, 0))
    common = {"chunk_rows": settings.chunk_rows, "max_record_bytes": settings.max_record_bytes}
    reader: JsonLinesReader | CsvReader
    if kind == "jsonl":
        reader = JsonLinesReader(fd, known.file, encoding=settings.encoding, **common)
    else:
        tabs = ending == ".tsv" and "delimiter" not in settings.model_fields_set
        reader = CsvReader(
            fd, known.file, fields=fields, delimiter="\t" if tabs else settings.delimiter, quote=settings.quote,
            escape=settings.escape, header=settings.header, columns=settings.columns, encoding=settings.encoding,
            null_values=settings.null_values, **common,
        )  # fmt: skip
    reader.lines.stand(*known.line)
    return reader


def refuse_encoding(settings: FileSettings) -> None:
    """Pass encodings that keep ASCII as it is: records are found by their bytes.

    Raises:
        ConfigError: E231 unknown, or one like UTF-16.
    """
    try:
        kept = '\n,"'.encode(settings.encoding) == b'\n,"'
    except LookupError:
        raise ConfigError(
            f"`encoding: {settings.encoding}` is not known; try utf-8, latin-1 or cp1252", "E231"
        ) from None
    if not kept:
        raise ConfigError(
            f"`encoding: {settings.encoding}` cannot be read in place; write the files again in UTF-8", "E231"
        )
