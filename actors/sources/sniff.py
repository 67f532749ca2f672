"""What a file really is, from its first bytes, where that is not what its name says."""

from __future__ import annotations

from core.errors import BadFile

_ENCODINGS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_KINDS = (
    (b"PK\x03\x04", "a zip archive", "unpack it"),
    (b"PK\x05\x06", "an empty zip archive", "unpack it"),
    (b"\x1f\x8b", "compressed with gzip", "unpack it (`gunzip`)"),
    (b"BZh", "compressed with bzip2", "unpack it (`bunzip2`)"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it (`unzstd`)"),
    (b"\xfd7zXZ\x00", "compressed with xz", "unpack it (`unxz`)"),
    (b"PAR1", "Parquet", "let its name end in `.parquet` or set `format: parquet`"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (xls)", "export it as CSV"),
    (b"SQLite format 3\x00", "a SQLite database", "use a source of type `sql`"),
)


def refuse_disguise(file: str, head: bytes) -> None:
    """Pass text.

    Args:
        head: the first 4 KiB.

    Raises:
        BadFile: E205 an encoding with a byte order mark that is not UTF-8; E207 not text at all.
    """
    for mark, name in _ENCODINGS:
        if head.startswith(mark):
            mend = f"write it again in UTF-8 (`iconv -f {name} -t UTF-8`)"
            raise BadFile(f"`{file}` is written in {name} (its byte order mark says so); {mend}", "E205")
    for magic, name, mend in _KINDS:
        if head.startswith(magic):
            if b"[Content_Types].xml" in head or b"xl/" in head:
                raise BadFile(f"`{file}` is an Excel workbook (xlsx), not text; export it as CSV", "E207")
            raise BadFile(f"`{file}` is {name}, not text; {mend}", "E207")


def looks_like_text(head: bytes) -> bool:
    """Whether the first bytes could be a line of text.

    >>> looks_like_text(b"id;name\\n1;x\\n"), looks_like_text(b"\\x00\\x01\\x02")
    (True, False)
    """
    return bool(head) and not any(byte < 9 or 13 < byte < 32 for byte in head[:512])
