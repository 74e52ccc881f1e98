"""The secret of each upload. It lies apart from what it decrypts, and goes when the upload goes."""

from __future__ import annotations

import os

from pyrage import x25519

from pipeline import files
from pipeline.catalog import Home
from pipeline.refusal import Refusal
from pipeline.runs.uploads.address import check_id


def make(home: Home, upload_id: str) -> str:
    """Makes the secret of a new upload; returns its public half, by which anybody encrypts for
    it and nobody decrypts.
    """
    identity = x25519.Identity.generate()
    path = home.upload_key(check_id(upload_id))
    files.private_folder(path.parent)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{identity}\n")
        file.flush()
        os.fsync(file.fileno())
    files.sync_folder(path.parent)
    return str(identity.to_public())


def identity_of(home: Home, upload_id: str) -> x25519.Identity:
    """Raises Refusal where the secret is gone: then nobody can read the upload."""
    path = home.upload_key(check_id(upload_id))
    if not path.is_file():
        raise Refusal(f"the key of upload {upload_id} is gone: hand the files over again")
    return x25519.Identity.from_str(path.read_text(encoding="ascii").strip())


def destroy(home: Home, upload_id: str) -> None:
    """Overwrites and removes the secret; again changes nothing."""
    path = home.upload_key(check_id(upload_id))
    if not path.is_file():
        return
    with path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
    path.unlink(missing_ok=True)
    files.sync_folder(path.parent)
