"""Declarations, each read once: that of a registry takes a second."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path

from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

_reading = threading.Lock()  # of many pages at once one reads, and the others wait for it


def declaration(path: Path) -> Schema:
    """The declaration in a file, read again where the file changed. Raises Refusal where it is
    none, OSError where there is no file.
    """
    with _reading:
        return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=100)
def _read(path: Path, _changed: int) -> Schema:
    return read_schema(path)
