"""What is known of an upload: its files, its state, its dates. Nothing in a record depends on a
row.

An upload is *receiving* until all bytes are there, then *received*: its structure is checked.
*checked*: a custodian lifted the quarantine, giving label and extract date. *declared*: it is the
source of its dataset. *refused*: its structure is wrong. *deleting* and *deleted*: its key is gone.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Literal

from pipeline import files
from pipeline.catalog import Home, UploadFolder
from pipeline.refusal import Refusal
from pipeline.runs.uploads.address import address_of, check_id

State = Literal["receiving", "received", "checked", "declared", "refused", "deleting", "deleted"]
LIFTED: frozenset[State] = frozenset(("checked", "declared"))  # a stage may read it
STANDING: frozenset[State] = frozenset(("receiving", "received", "checked", "declared", "refused"))


@dataclass(frozen=True, kw_only=True)
class UploadFile:
    """One file of an upload. `size`: of the bytes as they are sent. `table`: the declared table
    that it holds; None for a workbook or a database of several.
    """

    number: int
    name: str
    size: int
    table: str | None


@dataclass(frozen=True, kw_only=True)
class Upload:
    """`recipient`: the public key that its pieces are encrypted for. `reasons`: why it is refused.
    `is_structure_known`: every file was looked through to its end. `deletion`: what was removed,
    and what remains and why.
    """

    id: str
    dataset: str
    state: State
    files: tuple[UploadFile, ...]
    recipient: str
    created: str
    created_by: str
    delete_on: date
    label: str | None = None
    extract_date: date | None = None
    lifted_by: str | None = None
    is_structure_known: bool = False
    reasons: tuple[str, ...] = ()
    deletion: Mapping[str, Any] | None = None

    @property
    def address(self) -> str:
        """As a source is called in params and in the register of sources."""
        return address_of(self.id)

    def file(self, number: int) -> UploadFile:
        """Raises Refusal where the upload has no such file."""
        for one in self.files:
            if one.number == number:
                return one
        raise Refusal(f"upload {self.id} has no file {number}")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def load(home: Home, upload_id: str) -> Upload:
    """Raises Refusal where there is no such upload."""
    value = files.read_json(home.upload(check_id(upload_id)).record)
    if value is None:
        raise Refusal(f"there is no upload {upload_id}")
    for name in ("delete_on", "extract_date"):
        value[name] = date.fromisoformat(value[name]) if value[name] else None
    value["files"] = tuple(UploadFile(**one) for one in value["files"])
    value["reasons"] = tuple(value["reasons"])
    return Upload(**value)


def every(home: Home) -> list[Upload]:
    """All uploads, deleted ones included, the newest first."""
    ids = [path.name for path in home.uploads.glob("[!.]*") if UploadFolder(path).record.is_file()]
    return sorted((load(home, one) for one in ids), key=lambda one: one.created, reverse=True)


def save(home: Home, upload: Upload) -> None:
    files.write_json(home.upload(upload.id).record, asdict(upload))


@contextmanager
def locked(home: Home, upload_id: str) -> Iterator[Upload]:
    """The upload, which nobody else changes while the block runs."""
    load(home, upload_id)
    with home.upload(upload_id).lock.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield load(home, upload_id)


def change(home: Home, upload_id: str, *, among: frozenset[State], **changes: Any) -> Upload:
    """The upload with `changes`. Raises Refusal where its state is none `among` those."""
    with locked(home, upload_id) as upload:
        if upload.state not in among:
            raise Refusal(
                f"upload {upload.id} is {upload.state}: this is for one that is"
                f" {' or '.join(sorted(among))}"
            )
        changed = replace(upload, **changes)
        save(home, changed)
        return changed


def readable(home: Home, upload_id: str) -> Upload:
    """Raises Refusal for an upload that is in quarantine, refused or deleted, and for any where
    several hosts share the run.
    """
    refuse_shared(home)
    upload = load(home, upload_id)
    if upload.state in LIFTED:
        return upload
    reason = {
        "receiving": "not all of it has arrived",
        "received": "a custodian must lift its quarantine first",
        "refused": "its structure is wrong",
    }.get(upload.state, "it was deleted")
    raise Refusal(f"upload {upload.id} is no source: {reason}")


def refuse_shared(home: Home) -> None:
    """Raises Refusal where runs leave copies of rows outside this home: to delete an upload is to
    delete those, too, and we reach them here only.
    """
    if home.deployment.is_shared:
        raise Refusal(
            "an upload is a source on one host only: its deletion would not reach the buckets that"
            " several hosts share. Put the files where every restricted host reads them"
        )
