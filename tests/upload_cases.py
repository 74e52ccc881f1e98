"""Files handed over as uploads, in a home of their own."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pipeline.catalog import Home
from pipeline.restricted.uploads import checking, custody
from pipeline.restricted.uploads.intake import Intake
from pipeline.runs.uploads.records import Upload

MARK = "ZQXMARKEDVALUEZQX"  # planted in rows: to be found nowhere in clear
SOME_DAY = datetime.now(UTC).date() + timedelta(days=30)


def begin(home: Home, dataset: str, files: dict[str, bytes], day: date = SOME_DAY) -> Upload:
    sizes = [(name, len(data)) for name, data in files.items()]
    return custody.begin(home, dataset, sizes, by="custodian@example.org", delete_on=day)


def send(intake: Intake, upload: Upload, data: bytes, number: int = 0, piece: int = 1000) -> None:
    """All of one file, in pieces of so many bytes."""
    with intake.receiving(upload.id, number, 0) as taker:
        while taker.n_missing:
            taker.store(data[taker.offset : taker.offset + piece])


def hand_over(home: Home, dataset: str, files: dict[str, bytes], piece: int = 1000) -> Upload:
    """Begun, sent and checked."""
    upload = begin(home, dataset, files)
    intake = Intake(home)
    for number, data in enumerate(files.values()):
        if data:
            send(intake, upload, data, number, piece)
    return checking.check(home, upload.id)


def lifted(
    home: Home,
    dataset: str,
    files: dict[str, bytes],
    extract_date: date | None = None,
    piece: int = 1000,
) -> Upload:
    """A source that any stage may read."""
    upload = hand_over(home, dataset, files, piece)
    assert upload.reasons == ()
    custody.lift(home, upload.id, label="handed over", extract_date=extract_date, by="a custodian")
    return custody.declare(home, upload.id)


def holds(root: Path, text: str) -> list[Path]:
    """The files below a folder that hold a text in clear, whatever they are."""
    return [
        path
        for path in root.rglob("*")
        if path.is_file() and (text.encode() in path.read_bytes() or text in path.name)
    ]
