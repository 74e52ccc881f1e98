"""Taking an upload in: piece by piece, encrypted before it touches the disk, resumable at any byte
that has arrived.
"""

from __future__ import annotations

import errno
import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from pipeline import files
from pipeline.catalog import Home
from pipeline.refusal import Refusal
from pipeline.runs.uploads import keys, pieces, records
from pipeline.runs.uploads.address import new_id
from pipeline.runs.uploads.pieces import PIECE_BYTES, Place
from pipeline.runs.uploads.records import Upload, UploadFile

LARGEST_UPLOAD = 200 << 30  # bytes
MOST_FILES = 100
SMALLEST_CUT = 1 << 20  # bytes; of a connection that was cut, a shorter rest is not kept
_SPARE_PIECES = 1000  # of each file, beside those that whole megabytes make
_FULL = (errno.ENOSPC, errno.EDQUOT)

OnPiece = Callable[[Place, bytes], None]


class WrongOffset(Refusal):
    """The bytes do not begin where those that have arrived end."""


class Busy(Refusal):
    """Another connection sends the same file."""


class TooLarge(Refusal):
    """More than was announced, or than is taken."""


class DiskFull(Refusal):
    """There is no room for what is sent; all that arrived before is kept."""


@dataclass(frozen=True)
class Announcement:
    """A file that is to come. `table`: as of `UploadFile`."""

    name: str
    size: int
    table: str | None


def create(
    home: Home, dataset: str, announced: list[Announcement], *, by: str, delete_on: date
) -> Upload:
    """Makes an upload that waits for its files. Raises Refusal for too many or too large files, and
    where the disk has no room for them; then nothing was made.
    """
    records.refuse_shared(home)
    if not announced or len(announced) > MOST_FILES:
        raise Refusal(f"an upload has 1 to {MOST_FILES} files")
    if any(one.size < 0 for one in announced):
        raise Refusal("the size of a file is a number of bytes")
    total = sum(one.size for one in announced)
    if total > LARGEST_UPLOAD:
        raise TooLarge(
            f"the files have {total:,} bytes together: at most {LARGEST_UPLOAD:,} are taken"
        )
    files.private_folder(home.uploads)
    if shutil.disk_usage(home.uploads).free < total:
        raise DiskFull(f"the disk has no room for {total:,} bytes: nothing was made")
    upload_id = new_id()
    upload = Upload(
        id=upload_id,
        dataset=dataset,
        state="receiving",
        files=tuple(
            UploadFile(number=number, name=one.name, size=one.size, table=one.table)
            for number, one in enumerate(announced)
        ),
        recipient=keys.make(home, upload_id),
        created=records.now(),
        created_by=by,
        delete_on=delete_on,
    )
    folder = home.upload(upload_id)
    files.private_folder(folder.root)
    for one in upload.files:
        files.private_folder(folder.pieces(one.number))
    records.save(home, upload)
    for one in upload.files:
        if one.size == 0:  # no byte of it is ever sent
            with receiving(home, upload_id, one.number, 0) as reception:
                reception.store(b"")
    return records.load(home, upload_id)


def offset(home: Home, upload: Upload, number: int) -> int:
    """How many bytes of a file have arrived."""
    return pieces.n_bytes(pieces.present(home.upload(upload.id).pieces(number)))


def is_whole(home: Home, upload: Upload, number: int) -> bool:
    """Whether all of a file has arrived, its last piece included."""
    arrived = pieces.present(home.upload(upload.id).pieces(number))
    return bool(arrived) and arrived[-1].is_last


class Reception:
    """One connection that sends bytes of one file, from where those that arrived end."""

    def __init__(self, home: Home, upload: Upload, file: UploadFile, start: int, n_pieces: int):
        self._home, self._upload, self._file = home, upload, file
        self.offset = start
        self._index = n_pieces

    @property
    def n_missing(self) -> int:
        return self._file.size - self.offset

    def store(self, data: bytes, on_piece: OnPiece | None = None) -> None:
        """Stores bytes as one piece, at most PIECE_BYTES of them; they are on disk when this
        returns.

        Raises TooLarge for more than was announced, or for very many small pieces; DiskFull where
        there is no room. Then these bytes are not taken.
        """
        if len(data) > min(self.n_missing, PIECE_BYTES):
            raise TooLarge(f"{self._file.name}: more bytes than the {self._file.size:,} announced")
        if self._index > self._file.size // SMALLEST_CUT + _SPARE_PIECES:
            raise TooLarge(f"{self._file.name} comes in too many small pieces: send larger ones")
        place = Place(
            upload=self._upload.id,
            n_files=len(self._upload.files),
            number=self._file.number,
            name=self._file.name,
            index=self._index,
            offset=self.offset,
            length=len(data),
            is_last=len(data) == self.n_missing,
        )
        try:
            pieces.write(
                self._home.upload(self._upload.id).pieces(self._file.number),
                place,
                data,
                self._upload.recipient,
            )
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise DiskFull(
                f"the disk is full at byte {self.offset:,} of {self._file.name}. Nothing that"
                " arrived is lost: make room and go on"
            ) from None
        self.offset += len(data)
        self._index += 1
        if on_piece is not None:
            on_piece(place, data)
        if place.is_last:
            _close(self._home, self._upload.id)


@contextmanager
def receiving(home: Home, upload_id: str, number: int, start: int) -> Iterator[Reception]:
    """Takes bytes of one file that begin at `start`.

    Raises WrongOffset where others have arrived, Busy where another connection sends the same
    file, Refusal where the upload takes no bytes any more.
    """
    upload = records.load(home, upload_id)
    file = upload.file(number)
    folder = home.upload(upload_id).pieces(number)
    with _alone(folder, file.name):
        upload = records.load(home, upload_id)
        if upload.state != "receiving":
            raise Refusal(f"upload {upload_id} is {upload.state}: it takes no bytes")
        for leftover in folder.glob(".*.tmp"):  # of a piece during which a process was killed
            leftover.unlink(missing_ok=True)
        arrived = pieces.present(folder)
        at = pieces.n_bytes(arrived)
        if start != at:
            raise WrongOffset(f"{file.name}: {at:,} bytes have arrived: send from there")
        if arrived and arrived[-1].is_last:
            raise WrongOffset(f"{file.name} has arrived whole")
        _drop_behind(folder, len(arrived))
        yield Reception(home, upload, file, at, len(arrived))


def _drop_behind(folder: Path, n_kept: int) -> None:
    """Removes pieces behind a gap: they would be taken for later ones."""
    for path in folder.glob("[0-9]*.age"):
        if int(path.name[:8]) >= n_kept:
            path.unlink()


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    try:
        lock = (folder / "lock").open("a")
    except FileNotFoundError:
        raise Refusal(f"the upload of {name} is gone") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Busy(f"another connection sends {name}: wait until it ends") from None
        yield


def _close(home: Home, upload_id: str) -> None:
    """The upload is received once the last of its files is whole."""
    with records.locked(home, upload_id) as upload:
        if upload.state == "receiving" and all(
            is_whole(home, upload, one.number) for one in upload.files
        ):
            records.save(home, replace(upload, state="received"))


def finish(home: Home, upload_id: str) -> Upload:
    """Closes an upload whose bytes are all there though a crash came before this was noted."""
    with suppress(Refusal):
        _close(home, upload_id)
    return records.load(home, upload_id)
