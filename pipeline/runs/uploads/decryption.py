"""Reading an upload again: a seekable stream over its pieces, decrypted in memory one at a time.

Only pipeline code that reads rows imports this (tests/house/test_portal_imports.py). No clear byte
is written to a disk: what needs a file with a name gets one in memory.
"""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Literal, cast

from pyrage import x25519

from pipeline.catalog import Home
from pipeline.refusal import Refusal
from pipeline.runs.uploads import keys, pieces
from pipeline.runs.uploads.pieces import PIECE_BYTES, Piece
from pipeline.runs.uploads.records import Upload, UploadFile

MOST_IN_MEMORY = 4 << 30  # bytes of a file that is read from memory as a whole
_WINDOW = 1 << 20  # bytes read ahead of small reads


class EncryptedFile:
    """One file of an upload, as readers of sources ask for files: a name, and a stream."""

    def __init__(
        self, upload: Upload, file: UploadFile, arrived: list[Piece], identity: x25519.Identity
    ):
        self.name = file.name
        self._upload, self._file = upload, file
        self._pieces, self._identity = arrived, identity
        self._starts = [piece.offset for piece in arrived]
        self._latest = (-1, b"")  # the piece that was decrypted last

    @property
    def size(self) -> int:
        """Bytes."""
        return self._file.size

    def open(self, mode: Literal["rb"] = "rb", /) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(_Stream(self), _WINDOW))

    def at(self, position: int) -> memoryview:
        """The bytes from `position` to the end of its piece; empty at the end of the file."""
        if position >= self.size:
            return memoryview(b"")
        index = bisect_right(self._starts, position) - 1
        latest = self._latest
        if index != latest[0]:
            self._latest = latest = (index, self._read(index))
        return memoryview(latest[1])[position - self._starts[index] :]

    def _read(self, index: int) -> bytes:
        piece = self._pieces[index]
        place, data = pieces.read(piece.path, self._identity)
        expected = pieces.Place(
            upload=self._upload.id,
            n_files=len(self._upload.files),
            number=self._file.number,
            name=self._file.name,
            index=index,
            offset=piece.offset,
            length=piece.length,
            is_last=index == len(self._pieces) - 1,
        )
        if place != expected or len(data) != piece.length:
            raise Refusal(
                f"{self.name}: piece {index} is not the one that was sent there: pieces were"
                " swapped or removed. Hand the files over again"
            )
        return data


class _Stream(io.RawIOBase):
    def __init__(self, file: EncryptedFile):
        self._file, self._position = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, position: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._file.size}[whence]
        self._position = max(0, base + position)
        return self._position

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        data = self._file.at(self._position)[: len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def whole_file(home: Home, upload: Upload, file: UploadFile) -> EncryptedFile:
    """Raises Refusal where not all of the file is there, or the key is gone."""
    arrived = pieces.present(home.upload(upload.id).pieces(file.number))
    if not arrived or not arrived[-1].is_last or arrived[-1].end != file.size:
        raise Refusal(f"{file.name}: pieces of it are missing. Hand the files over again")
    return EncryptedFile(upload, file, arrived, keys.identity_of(home, upload.id))


@contextmanager
def in_memory(file: EncryptedFile) -> Iterator[str]:
    """The path of the file's clear bytes in memory, for a library that asks for a path. They are
    gone when the block ends.

    Raises Refusal for a file that is too large for that.
    """
    if file.size > MOST_IN_MEMORY:
        raise Refusal(
            f"{file.name} has {file.size:,} bytes: a file of this form is read in memory, at most"
            f" {MOST_IN_MEMORY:,}. Hand the tables over as Parquet or CSV"
        )
    descriptor = os.memfd_create("upload", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as target, file.open("rb") as source:
            while chunk := source.read(PIECE_BYTES):
                target.write(chunk)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
