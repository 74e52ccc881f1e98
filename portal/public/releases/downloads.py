"""A release's files: each by its name in the manifest, several as one zip, and their checksums.
Open to everybody; who is signed in is noted.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse

from pipeline.catalog import MANIFEST, Home
from portal.public.releases import archive, citation, published
from portal.public.releases.published import Published, ReleasedFile
from portal.shared.accounts import Account
from portal.shared.actions import record
from portal.shared.guard import visitor

router = APIRouter()
Visitor = Annotated[Account | None, Depends(visitor)]
CITATION, CHECKSUMS = "CITATION.cff", "SHA256SUMS"
WITH_TABLES = ("README.txt", "START.md", "card.md", "dictionary.csv")
DATABASES = (
    ("extract/extract.duckdb", "DuckDB", "all tables and views in one file"),
    ("extract/extract.sqlite", "SQLite", "the same for programs without DuckDB"),
)
PAPERS = (
    ("card.md", "Data card, to read"),
    ("card.json", "Data card, as values"),
    ("START.md", "Where to begin"),
    ("Documents/data_dictionary.xlsx", "Data dictionary"),
    ("Documents/all_z_lookup_tables.xlsx", "Code lists"),
    ("dictionary.csv", "Data dictionary, as CSV"),
    ("transparency.json", "Proofs that it was charged"),
)


@dataclass(frozen=True)
class Parcel:
    """What can be taken with one press."""

    title: str
    about: str
    address: str
    files: Sequence[ReleasedFile]
    checksum: str | None  # of the one file; a zip has a list of checksums in it

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.files)


def parcels(one: Published) -> list[Parcel]:
    """The forms that the tables can be taken in."""
    base = f"/releases/{one.id}"
    zips = [
        Parcel(title, about, f"{base}/{kind}.zip", _of_zip(one, kind), None)
        for kind, title, about in (
            ("csv", "CSV", "one file per table, as the source writes them"),
            ("parquet", "Parquet", "one file per table, with types"),
            ("all", "Everything", "every file of the release, the model too"),
        )
    ]
    databases = [
        Parcel(title, about, f"{base}/files/{path}", [one.files[path]], one.files[path].sha256)
        for path, title, about in DATABASES
        if path in one.files
    ]
    return [*zips[:2], *databases, zips[2]]


def papers(one: Published) -> list[tuple[str, ReleasedFile]]:
    """What explains the tables."""
    return [(title, one.files[path]) for path, title in PAPERS if path in one.files]


def fetch_line(home: Home, one: Published) -> str:
    """The command that fetches a release out of the released version store. The store is named as
    it lies in the home: which address it has is for whoever keeps it to say.
    """
    store = home.released_store.relative_to(home.root)
    return f"dvc get {store} {one.card['dataset']} --rev {one.id} -o {one.id}"


def _of_zip(one: Published, kind: str) -> list[ReleasedFile]:
    if kind == "all":
        return list(one.files.values())
    tables = one.below(f"extract/{kind}")
    return [*tables, *(one.files[name] for name in WITH_TABLES if name in one.files)]


@router.get("/releases/{release_id}/{kind}.zip")
def send_zip(request: Request, release_id: str, kind: str, account: Visitor) -> Response:
    one = published.find(request.app.state.home, release_id)
    if kind not in ("csv", "parquet", "all"):
        raise HTTPException(404)
    some = _of_zip(one, kind)
    paths = {file.path: one.location(file.path) for file in some}
    paths[MANIFEST] = one.folder.manifest
    texts = {CHECKSUMS: _checksums(some), CITATION: citation.cff(one)}
    _note(request, account, f"{release_id}/{kind}.zip")
    return StreamingResponse(
        archive.stream(release_id, paths, texts),
        media_type="application/zip",
        headers=_named(f"{release_id}-{kind}.zip"),
    )


@router.head("/releases/{release_id}/files/{path:path}", include_in_schema=False)
@router.get("/releases/{release_id}/files/{path:path}")
def send_file(request: Request, release_id: str, path: str, account: Visitor) -> Response:
    """One file, or the part that a Range header asks for."""
    one = published.find(request.app.state.home, release_id)
    if path == MANIFEST:
        location, digest = one.folder.manifest, None
    else:
        location, digest = one.location(path), _digest(one.files[path].sha256)
    if request.method == "GET" and request.headers.get("range", "bytes=0").startswith("bytes=0"):
        _note(request, account, f"{release_id}/{path}")
    return FileResponse(
        location,
        media_type="application/octet-stream",
        filename=f"{release_id}-{location.name}",
        headers=digest,
    )


@router.get("/releases/{release_id}/" + CHECKSUMS)
def send_checksums(request: Request, release_id: str) -> Response:
    """What `sha256sum -c` reads, of every file."""
    one = published.find(request.app.state.home, release_id)
    return PlainTextResponse(_checksums(list(one.files.values())), headers=_named(CHECKSUMS))


@router.get("/releases/{release_id}/" + CITATION)
def send_cff(request: Request, release_id: str) -> Response:
    one = published.find(request.app.state.home, release_id)
    return PlainTextResponse(citation.cff(one), headers=_named(CITATION))


@router.get("/releases/{release_id}/citation.bib")
def send_bibtex(request: Request, release_id: str) -> Response:
    one = published.find(request.app.state.home, release_id)
    text = citation.bibtex(one, datetime.now(UTC).date())
    return PlainTextResponse(text, headers=_named(f"{release_id}.bib"))


def _checksums(some: Sequence[ReleasedFile]) -> str:
    return "".join(f"{one.sha256}  {one.path}\n" for one in some)


def _digest(sha256: str) -> Mapping[str, str]:
    """The checksum as a header (RFC 9530), and as what tells one version from another."""
    text = base64.b64encode(bytes.fromhex(sha256)).decode()
    return {"Repr-Digest": f"sha-256=:{text}:", "ETag": f'"{sha256}"'}


def _named(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}


def _note(request: Request, account: Account | None, subject: str) -> None:
    if account is not None:
        record(request, account, "downloaded", subject)
