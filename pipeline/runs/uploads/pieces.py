"""How the bytes of a file lie on disk: in pieces, each an age file of its own.

The plaintext of a piece begins with its own place: upload, file, index, offset, and whether it is
the last. So a piece that was swapped, dropped or moved is found out when it is read. A piece's name
says its place, too: what has arrived is known without a key, after a crash as well.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyrage
from pyrage import x25519

from pipeline import files
from pipeline.refusal import Refusal

PIECE_BYTES = 8 << 20  # of plaintext, at most
_LENGTH = struct.Struct(">I")  # of the place, in bytes
_NAME = re.compile(r"(\d{8})-(\d{15})-(\d{8})(-last)?\.age")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a piece belongs. `n_files`: of the upload; `name`: of the file."""

    upload: str
    n_files: int
    number: int
    name: str
    index: int
    offset: int
    length: int
    is_last: bool


@dataclass(frozen=True)
class Piece:
    """One piece on disk, by its name."""

    path: Path
    index: int
    offset: int
    length: int
    is_last: bool

    @property
    def end(self) -> int:
        return self.offset + self.length


def present(folder: Path) -> list[Piece]:
    """The pieces of a file in order, from its first byte up to the first gap."""
    pieces = []
    for path in folder.glob("[0-9]*.age"):
        if name := _NAME.fullmatch(path.name):
            index, offset, length = (int(name[group]) for group in (1, 2, 3))
            pieces.append(Piece(path, index, offset, length, name[4] is not None))
    pieces.sort(key=lambda piece: piece.index)
    end = 0
    for index, piece in enumerate(pieces):
        if (piece.index, piece.offset) != (index, end):
            return pieces[:index]
        end = piece.end
    return pieces


def n_bytes(pieces: Sequence[Piece]) -> int:
    """How many bytes of the file are there."""
    return pieces[-1].end if pieces else 0


def write(folder: Path, place: Place, data: bytes, recipient: str) -> None:
    """Encrypts a piece for `recipient` and puts it there, whole and on disk when this returns.
    OSError where the disk is full; then nothing is there.
    """
    head = json.dumps(asdict(place)).encode()
    plain = b"".join((_LENGTH.pack(len(head)), head, data))
    content = pyrage.encrypt(plain, [x25519.Recipient.from_str(recipient)])
    last = "-last" if place.is_last else ""
    path = folder / f"{place.index:08}-{place.offset:015}-{place.length:08}{last}.age"
    with files.replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    files.sync_folder(folder)


def read(path: Path, identity: x25519.Identity) -> tuple[Place, bytes]:
    """A piece's own place and its bytes. Raises Refusal for a damaged piece, or another key's."""
    try:
        plain = pyrage.decrypt(path.read_bytes(), [identity])
        end = _LENGTH.size + _LENGTH.unpack_from(plain)[0]
        return Place(**json.loads(plain[_LENGTH.size : end])), plain[end:]
    except (pyrage.DecryptError, struct.error, ValueError, TypeError, OSError) as error:
        raise Refusal(
            f"a piece of the upload cannot be decrypted ({type(error).__name__}): it is damaged, or"
            " of another upload. Hand the files over again"
        ) from None
