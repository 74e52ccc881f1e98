"""The permanent key and the ledger: which key a population's holdout is drawn by, for its whole
life, on every host.
"""

from __future__ import annotations

import getpass

from pipeline.catalog import Home
from pipeline.ledger import Ledger, check_key
from pipeline.restricted.ingest.holdout import KEY_NAME, keyed, permanent_key


def key_of(home: Home, population: str) -> bytes:
    """The permanent key by which the population's holdout is drawn. The ledger notes its
    fingerprint the first time, if the population is open.

    Raises Refusal where the ledger notes another key, and where there is none here although the
    ledger knows of one, or of charges: on another host, or after a loss.
    """
    ledger = Ledger(home.ledger)
    key = permanent_key(home.keys, is_first=home.makes_keys and not ledger.has_key())
    if ledger.is_open(population):
        ledger.note_key(population, fingerprint(key), getpass.getuser())
    return key


def check_key_of(home: Home, population: str) -> None:
    """Raises Refusal where the population's rows would be split by another key than the ledger
    notes. Reads no row, and makes no key.
    """
    ledger, path = Ledger(home.ledger), home.keys / KEY_NAME
    here = fingerprint(permanent_key(home.keys)) if path.is_file() else None
    check_key(population, ledger.keys().get(population), here)


def fingerprint(key: bytes) -> str:
    """By which a key is known again; it tells nothing of the key."""
    return keyed(key, "fingerprint", "").hex()
