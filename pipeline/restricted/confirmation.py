"""Somebody's yes or no to what ingest kept, before anything is charged (`confirm` asks)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pipeline import files
from pipeline.catalog import Restricted
from pipeline.refusal import Refusal


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """One answer about what ingest kept. `account`: SHA-256 of the account that it is about; by:
    the run itself, or a person.
    """

    release_id: str
    account: str
    confirmed: bool
    by: str
    answered_at: str  # UTC, ISO


def check(restricted: Restricted, release_id: str) -> None:
    """Raises Refusal where nobody confirmed what ingest kept for this release."""
    confirmation = files.read_json(restricted.confirmation)
    if confirmation is None or confirmation["release_id"] != release_id:
        raise Refusal("confirm has not run in this workspace: run it before reserve")
    has_data = restricted.ingest_report.is_file()
    if has_data and confirmation["account"] != account_hash(restricted):
        raise Refusal("ingest has run since what it kept was confirmed: run confirm again")


def account_hash(restricted: Restricted) -> str:
    return hashlib.sha256(restricted.ingest_report.read_bytes()).hexdigest()
