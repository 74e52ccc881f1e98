"""Checks a file while it arrives: what was stored is handed, in memory, to the readers of ingest,
which run in a thread of their own.

A check that a restart interrupts is lost: then the whole file is checked once it is there.
"""

from __future__ import annotations

import io
import os
from threading import Condition, Thread
from typing import BinaryIO, Literal, cast

from pipeline.restricted.uploads.problems import FileFindings
from pipeline.restricted.uploads.structure import check_file
from pipeline.schema.values import Table

_KEPT_BYTES = 4 << 20  # from the file's beginning: readers look at the header, and begin again


class LiveCheck:
    """The check of one file that arrives. One thread feeds it; another, its own, reads."""

    def __init__(self, name: str, table: Table, max_cell_bytes: int):
        self.n_bytes = 0  # that were fed
        self._file = _ArrivingFile(name)
        self._findings: FileFindings | None = None
        self._thread = Thread(target=self._run, args=(table, max_cell_bytes), daemon=True)
        self._thread.start()

    def feed(self, data: bytes) -> None:
        """Returns when what was fed before is read."""
        self.n_bytes += len(data)
        self._file.feed(data)

    def end(self) -> FileFindings | None:
        """The findings of the whole file; None where the check broke."""
        self._file.end()
        self._thread.join()
        return self._findings

    @property
    def early(self) -> FileFindings | None:
        """Findings that are there before the file's end: then it is refused, or the check broke."""
        return self._findings

    def drop(self) -> None:
        """Ends the check; nothing is found."""
        self._file.drop()

    def _run(self, table: Table, max_cell_bytes: int) -> None:
        try:
            self._findings = check_file(table, self._file, max_cell_bytes)
        except BaseException:  # of a panic as well, whose message may quote a value
            self._findings = None
        finally:
            self._file.forget()


class _Gone(Exception):
    """Bytes that are asked for are not kept, or will not come."""


class _ArrivingFile:
    """Bytes that arrive, as a file that is read from its beginning: its first bytes as often as
    somebody asks, what lies behind them once.
    """

    def __init__(self, name: str):
        self.name = name
        self._changed = Condition()
        self._start = bytearray()
        self._window, self._window_at = b"", 0  # what was fed last, and where it begins
        self._read_to = 0
        self._is_ended = self._is_over = False

    def open(self, mode: Literal["rb"], /) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(_ArrivingStream(self), 1 << 16))

    @property
    def _end(self) -> int:
        return self._window_at + len(self._window)

    def feed(self, data: bytes) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or self._read_to >= self._end)
            if self._is_over:
                return
            self._start += data[: max(0, _KEPT_BYTES - len(self._start))]
            self._window, self._window_at = data, self._end
            self._changed.notify_all()

    def end(self) -> None:
        """No byte comes any more."""
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()

    def drop(self) -> None:
        """The reader stops."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def forget(self) -> None:
        """Nobody reads any more: no byte is kept."""
        with self._changed:
            self._is_over = True
            self._start, self._window = bytearray(), b""
            self._changed.notify_all()

    def bytes_at(self, position: int, most: int) -> bytes:
        """Waits for them. Empty at the end of the file."""
        with self._changed:
            self._read_to = max(self._read_to, position)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_over or self._is_ended or position < self._end)
            if self._is_over:
                raise _Gone
            if position < len(self._start):
                return bytes(self._start[position : position + most])
            if position < self._window_at:
                raise _Gone
            return self._window[position - self._window_at :][:most]


class _ArrivingStream(io.RawIOBase):
    def __init__(self, file: _ArrivingFile):
        self._file, self._position = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, position: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_END:
            raise _Gone
        self._position = position + (self._position if whence == os.SEEK_CUR else 0)
        return self._position

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        data = self._file.bytes_at(self._position, len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
