"""Who is held out of training: a coin per patient by keyed hash, the same at every refresh
(privacy_rules.md 7).
"""

from __future__ import annotations

import hmac
import os
import uuid
from pathlib import Path

import polars as pl

from pipeline.refusal import Refusal

KEY_NAME = "holdout.key"
KEY_BYTES = 32


def permanent_key(keys: Path, *, is_first: bool = True) -> bytes:
    """The secret key in the folder `keys`; made from the system's randomness at the first call,
    never changed after. Losing it moves every coin.

    Two processes that make it at once end with the same key. Raises Refusal for a key of the
    wrong length, and where it is missing although it is not the first.
    """
    path = keys / KEY_NAME
    if not path.is_file() and not is_first:
        raise Refusal(
            f"state/keys/{KEY_NAME} is missing, and the ledger knows of people who were held out by"
            " it: a new key would hold out others. Restore state/keys from the backup of the ledger"
            " and keys; hosts that share a ledger must share it (`keys` in deployment.yaml, where"
            " none is ever made by itself). Nothing was read or charged"
        )
    if not path.is_file():
        keys.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = keys / f".{KEY_NAME}.{uuid.uuid4().hex[:8]}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)  # fails where another process was faster: then its key holds
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise Refusal(
            f"{KEY_NAME} has {len(key)} bytes, not {KEY_BYTES}: restore it from the backup of the"
            " ledger and keys."
        )
    return key


def is_held_out(identities: pl.Series, key: bytes, share: float) -> pl.Series:
    """One coin per identity (a patient's id, or a row's hash), true with probability `share`. Equal
    identities share a coin.
    """
    limit = int(share * 2**64)
    coins = {
        identity: int.from_bytes(keyed(key, "holdout", identity)[:8], "big") < limit
        for identity in identities.unique().to_list()
    }
    return pl.Series("held_out", [coins[identity] for identity in identities.to_list()], pl.Boolean)


def row_digests(texts: pl.Series, key: bytes) -> pl.Series:
    """The keyed hash of each row's text, for a table without ids. Equal rows share it."""
    digests = {text: keyed(key, "row", text).hex()[:24] for text in texts.unique().to_list()}
    return pl.Series([digests[text] for text in texts.to_list()], dtype=pl.String)


def identity(patient_ids: pl.Series, is_row_hash: bool) -> pl.Series:
    """What the coin is thrown for: the id; for a table without ids, the row's hash without its
    number among equal rows.
    """
    text = patient_ids.cast(pl.String)
    return text.str.split("-").list.first() if is_row_hash else text


def keyed(key: bytes, purpose: str, text: object) -> bytes:
    """HMAC-SHA256, 32 bytes, apart for each purpose."""
    return hmac.digest(key, f"{purpose}\x1f{text}".encode(), "sha256")
