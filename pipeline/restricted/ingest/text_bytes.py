"""The bytes of a source's text file as UTF-8: unpacked where they are gzip, transcoded where the
declaration names another encoding.
"""

from __future__ import annotations

import codecs
import gzip
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import BinaryIO, Literal, Protocol, cast

from pipeline.refusal import Refusal
from pipeline.schema.encodings import UTF8, line_end, plain_name

NOT_TEXT = "\uffff"  # no character; stands for bytes that do not decode
NOT_TEXT_BYTES = NOT_TEXT.encode()
CHUNK_BYTES = 1 << 16  # read at least at a time of a file in another encoding
LONGEST_LINE = 64 << 20  # bytes; of a longer one the characters at the cuts may be lost
_MARKS = (  # byte-order marks, and the encodings that they announce; the longer ones first
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, UTF8),
)
_HANDLER = "syndasera.not_text"
codecs.register_error(_HANDLER, lambda error: (NOT_TEXT, error.end))  # type: ignore[attr-defined]


class ByteStream(Protocol):
    """What readers of text ask of a file."""

    def read(self, size: int, /) -> bytes: ...
    def seek(self, position: int, /) -> int: ...


class ByteFile(Protocol):
    """What readers ask of a source's file: a path on a disk, or a file of an upload, which is
    decrypted as it is read.
    """

    @property
    def name(self) -> str: ...
    def open(self, mode: Literal["rb"], /) -> BinaryIO: ...


@contextmanager
def utf8(file: ByteFile, encoding: str = UTF8) -> Iterator[ByteStream]:
    """The file's text in UTF-8 and in lines as they are; gzip is told by its first bytes, not by
    the file's name. Bytes that do not decode are NOT_TEXT in their own line, but for a file in
    UTF-8, which is handed on as it is.

    Raises Refusal for a file that begins with the mark of another encoding.
    """
    with unpacked(file) as stream:
        if plain_name(encoding) == UTF8:
            yield stream
        else:
            yield _Transcoded(stream, file.name, encoding)


@contextmanager
def unpacked(file: ByteFile) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked where it is gzip (by its first bytes, not by its name)."""
    with file.open("rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        with gzip.open(raw, "rb") if is_gzip else nullcontext(raw) as stream:
            yield cast(BinaryIO, stream)


class _Transcoded:
    """A stream in one encoding as a stream of UTF-8; each line is decoded for itself."""

    def __init__(self, stream: ByteStream, name: str, encoding: str):
        self._stream, self._name, self._encoding = stream, name, encoding
        start = stream.read(4)
        self._codec = plain_name(encoding)
        self._begin = 0
        mark, announced = next((m for m in _MARKS if start.startswith(m[0])), (b"", None))
        if announced is not None:
            family = codecs.lookup(encoding).name
            if announced != self._codec and not announced.startswith(family):
                raise Refusal(
                    f"{name} begins with the mark of {announced}, and the declaration says"
                    f" `encoding: {encoding}`. Declare `encoding: {announced}`."
                )
            self._codec, self._begin = announced, len(mark)
        self._line_end = line_end(self._codec)
        self._restart()

    def _restart(self) -> None:
        self._stream.seek(self._begin)
        self._rest, self._ready, self._is_over = b"", b"", False

    def read(self, size: int, /) -> bytes:
        while len(self._ready) < size and not self._is_over:
            self._fill(max(size, CHUNK_BYTES))
        text, self._ready = self._ready[:size], self._ready[size:]
        return text

    def seek(self, position: int, /) -> int:
        """Goes to a place of the text in UTF-8, by reading up to it."""
        self._restart()
        while position > 0 and (skipped := len(self.read(min(position, 1 << 20)))):
            position -= skipped
        return position

    def _fill(self, size: int) -> None:
        width = len(self._line_end)
        chunk = self._stream.read(size)
        self._rest += chunk
        cut = len(self._rest) if not chunk else self._last_line_end()
        if not cut and len(self._rest) > LONGEST_LINE:
            cut = len(self._rest) // width * width
        lines, self._rest = self._rest[:cut], self._rest[cut:]
        if not chunk:
            self._is_over = True
            if len(lines) % width:
                raise Refusal(
                    f"{self._name} ends within a character of {self._encoding}: it is damaged, or"
                    " in another encoding. Copy it again from its origin, or correct `encoding:`."
                )
        self._ready += self._decoded(lines)

    def _last_line_end(self) -> int:
        """Behind the last whole line; a line feed lies on a unit of the encoding. 0: nowhere."""
        width, place = len(self._line_end), len(self._rest)
        while (place := self._rest.rfind(self._line_end, 0, place)) >= 0:
            if place % width == 0:
                return place + width
            place += width - 1  # another may begin within this one
        return 0

    def _decoded(self, lines: bytes) -> bytes:
        try:
            return lines.decode(self._codec).encode()
        except UnicodeError:
            pass
        if len(self._line_end) > 1:  # units of their own, whatever stands beside them
            return self._loosely(lines)
        return b"".join(map(self._line, lines.splitlines(keepends=True)))

    def _line(self, line: bytes) -> bytes:
        """A line with its end kept apart: half a character before it must not take it along."""
        body = line.rstrip(b"\r\n")
        return self._loosely(body) + line[len(body) :]

    def _loosely(self, line: bytes) -> bytes:
        text = line.decode(self._codec, errors=_HANDLER)
        return text.encode("utf-8", errors="replace")
