"""Bounds on what a packed file may become: a small file must not unpack to a huge one."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from typing import BinaryIO, Literal, cast

import pyarrow.parquet as pq

from pipeline.refusal import Refusal
from pipeline.restricted.ingest.text_bytes import ByteFile
from pipeline.restricted.uploads import first_bytes

MOST_TIMES = 200  # its packed size; tables of codes reach a hundred
FREE_BYTES = 64 << 20  # what any file may unpack to
MOST_PARTS = 10_000  # of a workbook
_MOST_ROWS = 8  # of Parquet, for each byte of the file


def guarded(file: ByteFile) -> ByteFile:
    """The file, with a gzip file unpacked under a bound. Raises Refusal for a workbook or a Parquet
    file that says it unpacks to too much.
    """
    name = file.name.lower()
    if name.endswith(".gz"):
        return _Unpacked(file)
    if name.endswith(".xlsx"):
        _check_workbook(file)
    elif name.endswith(".parquet"):
        _check_parquet(file)
    return file


def _check_workbook(file: ByteFile) -> None:
    with file.open("rb") as raw, zipfile.ZipFile(raw) as archive:
        parts = archive.infolist()
        size = raw.seek(0, os.SEEK_END)
    # what a part says of its size is where zipfile stops to unpack it
    if len(parts) > MOST_PARTS or _is_bomb(sum(part.file_size for part in parts), size):
        raise _bomb(file.name)


def _check_parquet(file: ByteFile) -> None:
    with file.open("rb") as raw:
        size = raw.seek(0, os.SEEK_END)
        n_rows = pq.ParquetFile(raw).metadata.num_rows
    if n_rows > max(FREE_BYTES, _MOST_ROWS * size):
        raise _bomb(file.name)


def _is_bomb(unpacked: int, packed: int) -> bool:
    return unpacked > FREE_BYTES and unpacked > MOST_TIMES * packed


def _bomb(name: str) -> Refusal:
    return Refusal(
        f"{name} unpacks to more than {MOST_TIMES} times its size: such files are not taken. Send"
        " it as it is"
    )


class _Unpacked:
    """A gzip file as its content."""

    def __init__(self, file: ByteFile):
        self.name, self._file = file.name, file

    def open(self, mode: Literal["rb"], /) -> BinaryIO:
        return cast(
            BinaryIO, io.BufferedReader(_GzipStream(self.name, self._file.open(mode)), 1 << 20)
        )


class _GzipStream(io.RawIOBase):
    def __init__(self, name: str, raw: BinaryIO):
        self._name, self._raw = name, raw
        self._gzip = gzip.GzipFile(fileobj=raw)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, position: int, whence: int = os.SEEK_SET, /) -> int:
        return self._gzip.seek(position, whence)

    def tell(self) -> int:
        return self._gzip.tell()

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        at = self._gzip.tell()
        data = self._gzip.read(len(buffer))
        if at == 0 and data.startswith(first_bytes.GZIP):
            raise Refusal(f"{self._name} is packed twice: unpack it once")
        if _is_bomb(at + len(data), self._raw.tell()):
            raise _bomb(self._name)
        buffer[: len(data)] = data
        return len(data)
