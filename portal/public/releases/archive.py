"""Several files of a release as one zip, made while it is sent: nothing is kept on disk."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

PIECE = 1 << 18  # bytes read at a time
WHEN = (2000, 1, 1, 0, 0, 0)  # as the files of a release are dated: the same zip each time
SMALL = (".parquet", ".duckdb", ".sqlite", ".safetensors", ".xlsx", ".png")  # small already


class _Pieces:
    """What zipfile writes to; it cannot go back, so every size stands behind its file."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is open."""

    def take(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def stream(top: str, paths: Mapping[str, Path], texts: Mapping[str, str]) -> Iterator[bytes]:
    """The bytes of a zip that holds a folder `top`: files by their name in it, and texts."""
    pieces = _Pieces()
    with zipfile.ZipFile(pieces, "w", allowZip64=True) as archive:
        for name, text in texts.items():
            archive.writestr(_entry(f"{top}/{name}"), text)
            yield pieces.take()
        for name, path in paths.items():
            entry = _entry(f"{top}/{name}")
            entry.file_size = path.stat().st_size  # so that a large one is written as such
            with path.open("rb") as source, archive.open(entry, "w") as target:
                while piece := source.read(PIECE):
                    target.write(piece)
                    yield pieces.take()
    yield pieces.take()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, WHEN)
    entry.external_attr = 0o644 << 16
    is_small = name.endswith(SMALL)
    entry.compress_type = zipfile.ZIP_STORED if is_small else zipfile.ZIP_DEFLATED
    return entry
