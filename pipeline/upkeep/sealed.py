"""A backup as one file that is encrypted to a public key of age, so that whoever keeps it reads
nothing of it.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyrage
from pyrage import x25519

from pipeline import files
from pipeline.refusal import Refusal
from pipeline.upkeep import scratch


def recipient_of(key: str) -> x25519.Recipient:
    """Raises Refusal for a text that is no public key."""
    try:
        return x25519.Recipient.from_str(key)
    except pyrage.RecipientError:
        raise Refusal(f"{key!r} is no public key of age: it begins with age1") from None


def seal(folder: Path, file: Path, recipient: x25519.Recipient) -> None:
    """Writes the folder into an encrypted file, whole or not at all. Raises Refusal where something
    stands there. What is plain meanwhile lies beside the folder.
    """
    plain = folder.with_name(f"{folder.name}.tar")
    with tarfile.open(plain, "w") as archive:
        archive.add(folder, arcname=".")
    with files.new_file(file) as temporary:
        pyrage.encrypt_file(str(plain), str(temporary), [recipient])
    plain.unlink()


@contextmanager
def unsealed(place: Path, identity: Path | None, parent: Path | None = None) -> Iterator[Path]:
    """The folder of a backup: `place` itself, or what is in the encrypted file, in a folder of its
    own below `parent` (None: where the machine keeps temporary files) while the block runs.

    identity: file with the secret key. Raises Refusal where it is missing, or another one.
    """
    if place.is_dir() or not place.exists():
        yield place
        return
    if identity is None:
        raise Refusal(f"{place} is encrypted: name the file with the secret key (--identity FILE)")
    lines = identity.read_text(encoding="utf-8").split()
    try:
        secrets = [x25519.Identity.from_str(one) for one in lines if one.startswith("AGE-SECRET")]
        with scratch.folder(parent) as folder:
            plain = folder / f"{scratch.PLAIN}.tar"
            pyrage.decrypt_file(str(place), str(plain), secrets)
            files.private_folder(folder / scratch.PLAIN)
            with tarfile.open(plain) as archive:
                archive.extractall(folder / scratch.PLAIN, filter="data")
            plain.unlink()
            yield folder / scratch.PLAIN
    except (pyrage.DecryptError, pyrage.IdentityError) as error:
        raise Refusal(f"{place} cannot be read with {identity.name}: {error}") from None
