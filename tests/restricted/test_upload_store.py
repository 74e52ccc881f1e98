"""Pieces on disk: resumable at any byte that has arrived, and never other than they were sent."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from test_formats import csv_text, schema
from test_source_forms import EXAMPLE
from upload_cases import MARK, begin, hand_over, holds, send

from pipeline.catalog import Home
from pipeline.environment import HOME_VARIABLE
from pipeline.refusal import Refusal
from pipeline.restricted.uploads.intake import Intake
from pipeline.runs.uploads import decryption, pieces, reception, records
from pipeline.runs.uploads.reception import (
    PIECE_BYTES,
    Announcement,
    Busy,
    DiskFull,
    TooLarge,
    WrongOffset,
)
from pipeline.runs.uploads.records import Upload

CONTENT = csv_text(EXAMPLE).encode() * 3


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    home = Home.find()
    home.datasets.mkdir(parents=True)
    schema(home.datasets)
    return home


def clear(home: Home, upload: Upload, number: int = 0) -> bytes:
    upload = records.load(home, upload.id)
    file = decryption.whole_file(home, upload, upload.file(number))
    with file.open("rb") as stream:
        return stream.read()


def test_a_stream_reads_as_a_file_does(home: Home) -> None:
    """Any seek, any length, across pieces."""
    upload = hand_over(home, "trial", {"people.csv": CONTENT}, piece=37)
    assert clear(home, upload) == CONTENT
    file = decryption.whole_file(home, upload, upload.file(0))
    with file.open("rb") as stream:
        for position, length in ((0, 5), (36, 2), (300, 200), (10, 1), (len(CONTENT) - 3, 50)):
            stream.seek(position)
            assert stream.read(length) == CONTENT[position : position + length]
        assert stream.seek(-4, os.SEEK_END) == len(CONTENT) - 4
        assert stream.read() == CONTENT[-4:] and stream.read(1) == b""


def test_what_was_cut_goes_on_after_a_restart(home: Home) -> None:
    """A whole number of pieces stays; another process knows the offset from the disk alone."""
    upload = begin(home, "trial", {"people.csv": CONTENT})
    with pytest.raises(ConnectionError), Intake(home).receiving(upload.id, 0, 0) as taker:
        taker.store(CONTENT[:100])
        taker.store(CONTENT[100:150])
        raise ConnectionError
    folder = home.upload(upload.id).pieces(0)
    (folder / ".00000002-000000000000150-00000010.age.abcd1234.tmp").write_bytes(b"half")
    assert reception.offset(home, upload, 0) == 150
    with Intake(home).receiving(upload.id, 0, 150) as taker:
        assert list(folder.glob(".*.tmp")) == []
        taker.store(CONTENT[150:])
    assert records.load(home, upload.id).state == "received"
    assert clear(home, upload) == CONTENT


@pytest.mark.parametrize("start", [0, 99, 101, 10**9, -1])
def test_a_wrong_offset(home: Home, start: int) -> None:
    upload = begin(home, "trial", {"people.csv": CONTENT})
    with Intake(home).receiving(upload.id, 0, 0) as taker:
        taker.store(CONTENT[:100])
    with pytest.raises(WrongOffset, match="100 bytes have arrived"):
        Intake(home).receiving(upload.id, 0, start).__enter__()


def test_one_connection_at_a_time(home: Home) -> None:
    upload = begin(home, "trial", {"people.csv": CONTENT})
    with Intake(home).receiving(upload.id, 0, 0), pytest.raises(Busy):
        Intake(home).receiving(upload.id, 0, 0).__enter__()


def test_a_full_disk_loses_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = begin(home, "trial", {"people.csv": CONTENT})
    with Intake(home).receiving(upload.id, 0, 0) as taker:
        taker.store(CONTENT[:100])
        with monkeypatch.context() as patch:
            patch.setattr(pieces.os, "fsync", _full)
            with pytest.raises(DiskFull, match="disk is full at byte 100"):
                taker.store(CONTENT[100:200])
        assert taker.offset == reception.offset(home, upload, 0) == 100
        assert len(list(home.upload(upload.id).pieces(0).glob("*age*"))) == 1
        taker.store(CONTENT[100:])
    assert clear(home, upload) == CONTENT


def _full(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_no_room_makes_no_upload(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(reception.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DiskFull):
        begin(home, "trial", {"people.csv": CONTENT})
    assert list(home.uploads.iterdir()) == [] and not home.upload_keys.exists()


def test_more_than_was_announced(home: Home) -> None:
    upload = begin(home, "trial", {"people.csv": CONTENT})
    with Intake(home).receiving(upload.id, 0, 0) as taker, pytest.raises(TooLarge):
        taker.store(CONTENT + b"1")
    with pytest.raises(TooLarge):
        reception.create(
            home,
            "trial",
            [Announcement("people.csv", reception.LARGEST_UPLOAD + 1, "people")],
            by="somebody",
            delete_on=upload.delete_on,
        )
    assert PIECE_BYTES <= reception.LARGEST_UPLOAD


def test_a_million_tiny_pieces_are_not_taken(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception, "_SPARE_PIECES", 5)
    upload = begin(home, "trial", {"people.csv": CONTENT})
    with Intake(home).receiving(upload.id, 0, 0) as taker, pytest.raises(TooLarge):
        for at in range(20):
            taker.store(CONTENT[at : at + 1])


def test_nothing_is_taken_once_it_is_whole(home: Home) -> None:
    upload = hand_over(home, "trial", {"people.csv": CONTENT})
    with pytest.raises(Refusal, match="takes no bytes"):
        Intake(home).receiving(upload.id, 0, len(CONTENT)).__enter__()
    with pytest.raises(Refusal, match="no file 7"):
        Intake(home).receiving(upload.id, 7, 0).__enter__()


def swap(folder: Path, other: Path) -> None:
    """The contents of two pieces of equal length, under each other's names."""
    first, second = sorted(folder.glob("*.age"))[:2]
    (folder / "x").write_bytes(first.read_bytes())
    second.replace(first)
    (folder / "x").replace(second)


def drop_last(folder: Path, other: Path) -> None:
    sorted(folder.glob("*.age"))[-1].unlink()


def drop_last_and_say_so(folder: Path, other: Path) -> None:
    """The last piece goes, and the one before is called the last."""
    *_, before, last = sorted(folder.glob("*.age"))
    last.unlink()
    before.rename(before.with_name(before.name.replace(".age", "-last.age")))


def drop_first(folder: Path, other: Path) -> None:
    sorted(folder.glob("*.age"))[0].unlink()


def of_another_upload(folder: Path, other: Path) -> None:
    for piece in folder.glob("*.age"):
        piece.write_bytes((other / piece.name).read_bytes())


def change_a_byte(folder: Path, other: Path) -> None:
    piece = sorted(folder.glob("*.age"))[1]
    content = bytearray(piece.read_bytes())
    content[-20] ^= 1
    piece.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [swap, drop_last, drop_last_and_say_so, drop_first, of_another_upload, change_a_byte],
)
def test_harm_is_found_out(home: Home, harm: Callable[[Path, Path], None]) -> None:
    upload = hand_over(home, "trial", {"people.csv": CONTENT}, piece=50)
    other = hand_over(home, "trial", {"people.csv": CONTENT}, piece=50)
    harm(home.upload(upload.id).pieces(0), home.upload(other.id).pieces(0))
    with pytest.raises(Refusal, match="Hand the files over again"):
        clear(home, upload)
    assert clear(home, other) == CONTENT


def test_pieces_of_two_files_cannot_be_exchanged(home: Home) -> None:
    """Not even with equal names, where one key decrypts both."""
    files = {
        "PRISM_cohort_Participants.jsonl": b"{}\n" * 9,
        "PRISM_visits_cleaned.jsonl": b"[]\n" * 9,
    }
    home.datasets.rename(home.root / "unused")
    upload = begin(home, "uganda_malaria", files)
    for number, data in enumerate(files.values()):
        send(Intake(home), upload, data, number)
    [first], [second] = (list(home.upload(upload.id).pieces(n).glob("*.age")) for n in (0, 1))
    first.write_bytes(second.read_bytes())
    with pytest.raises(Refusal, match="swapped or removed"):
        clear(home, upload)
    assert clear(home, upload, 1) == b"[]\n" * 9


def test_without_its_key_nothing_is_read(home: Home) -> None:
    upload = hand_over(home, "trial", {"people.csv": CONTENT})
    home.upload_key(upload.id).unlink()
    with pytest.raises(Refusal, match="key of upload"):
        clear(home, upload)


def test_nothing_clear_at_any_moment(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at whenever something reaches the disk."""
    content = csv_text(EXAMPLE).encode() + f"{MARK},,\n".encode()
    n_looks = 0
    sync = os.fsync

    def look(descriptor: int) -> None:
        nonlocal n_looks
        n_looks += 1
        sync(descriptor)
        assert holds(home.root, MARK) == [] and holds(home.root, "007,2001") == []

    monkeypatch.setattr(pieces.os, "fsync", look)
    upload = hand_over(home, "trial", {"people.csv": content}, piece=40)
    assert n_looks > 3 and clear(home, upload) == content
