"""Takes bytes of uploads in for the process that receives them, and checks what arrives at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from pipeline import params
from pipeline.catalog import Home
from pipeline.refusal import Refusal
from pipeline.restricted.uploads import findings, first_bytes
from pipeline.restricted.uploads.live import LiveCheck
from pipeline.runs.declarations import declaration_path
from pipeline.runs.uploads import reception, records
from pipeline.runs.uploads.pieces import Place
from pipeline.runs.uploads.reception import Reception
from pipeline.runs.uploads.records import Upload, UploadFile
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Table

MOST_LIVE = 8  # checks at a time; a further file is checked once it is whole
_STREAMED = (".csv", ".csv.gz", ".tsv", ".txt", ".jsonl", ".jsonl.gz", ".ndjson")


class Intake:
    """One for a process. Its live checks are in memory; all else is on disk."""

    def __init__(self, home: Home):
        self._home = home
        self._checks: dict[tuple[str, int], LiveCheck] = {}
        self._lock = Lock()

    @contextmanager
    def receiving(self, upload_id: str, number: int, start: int) -> Iterator[Taker]:
        """Takes bytes of one file that begin at `start`. Raises Refusal as `reception.receiving`
        does.
        """
        with reception.receiving(self._home, upload_id, number, start) as one:
            yield Taker(self, one, records.load(self._home, upload_id), number)

    def look_at(self, upload: Upload, file: UploadFile, start: bytes) -> None:
        """Raises Refusal, and refuses the upload, where the file is another than its name says."""
        try:
            first_bytes.check(file.name, start[: first_bytes.LONGEST])
        except Refusal as refusal:
            findings.refuse(self._home, upload.id, str(refusal))
            raise

    def follow(self, upload: Upload, file: UploadFile, place: Place, data: bytes) -> None:
        """Hands a piece that was stored to the file's live check. Raises Refusal, and refuses the
        upload, where the check shows that the file's structure is wrong.
        """
        check = self._check_for(upload, file, place)
        if check is None:
            return
        check.feed(data)
        result = check.end() if place.is_last else check.early
        if place.is_last or result is not None:
            self.forget(upload.id, file.number)
        if result is not None:
            findings.note(self._home, upload.id, file.number, result)
            if result.refusal is not None:
                raise Refusal(result.refusal)

    def _check_for(self, upload: Upload, file: UploadFile, place: Place) -> LiveCheck | None:
        key = (upload.id, file.number)
        with self._lock:
            check = self._checks.pop(key, None)
            if check is not None and check.n_bytes != place.offset:
                check.drop()  # bytes came past it: it does not know the whole file
                check = None
            if check is None and place.offset == 0 and is_streamed(file):
                settings = params.load(self._home.params)
                check = LiveCheck(
                    file.name, _table_of(upload, file), settings.ingest.max_cell_bytes
                )
            if check is not None:
                while len(self._checks) >= MOST_LIVE:  # the one that was fed longest ago
                    self._checks.pop(next(iter(self._checks))).drop()
                self._checks[key] = check
            return check

    def forget(self, upload_id: str, number: int) -> None:
        """Ends the live check of a file."""
        with self._lock:
            if check := self._checks.pop((upload_id, number), None):
                check.drop()


class Taker:
    """Takes the bytes of one connection."""

    def __init__(self, intake: Intake, one: Reception, upload: Upload, number: int):
        self._intake, self._reception = intake, one
        self._upload, self._file = upload, upload.file(number)

    @property
    def offset(self) -> int:
        """How many bytes of the file have arrived."""
        return self._reception.offset

    @property
    def n_missing(self) -> int:
        return self._reception.n_missing

    def store(self, data: bytes) -> None:
        """Stores bytes as one piece. Raises Refusal as `Reception.store` does, and for a file that
        is another than its name says, or whose structure is wrong: then the upload is refused.
        """
        if self.offset == 0:
            self._intake.look_at(self._upload, self._file, data)
        self._reception.store(
            data, lambda place, piece: self._intake.follow(self._upload, self._file, place, piece)
        )


def is_streamed(file: UploadFile) -> bool:
    """Whether a file can be checked while it arrives: text, read from its beginning to its end."""
    return file.table is not None and file.name.lower().endswith(_STREAMED)


def _table_of(upload: Upload, file: UploadFile) -> Table:
    return read_schema(declaration_path(upload.dataset)).tables[str(file.table)]
