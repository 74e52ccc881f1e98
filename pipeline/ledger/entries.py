"""The entries of the ledger and the chain that they form: each carries the hash of the one before
it.

The hash chain shows a changed or missing entry. A chain head noted elsewhere (cards and MLflow
carry it) shows that the end was cut off, or that an old copy was put back.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.refusal import Refusal

GENESIS = hashlib.sha256(b"syndasera ledger").hexdigest()  # what the first entry points back to
MOVED = "moved"
SALT = "salt"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the ledger."""

    number: int  # 1, 2, 3, ...
    population: str
    release_id: str | None  # None where the entry is about the population itself
    # opened, raised, keyed, declined, reserved, training, trained, released, abandoned; moved
    # closes a ledger that lies elsewhere now
    kind: str
    at: str  # UTC, ISO 8601
    by: str
    content: str  # JSON object, exactly as hashed
    previous: str
    hash: str

    @property
    def facts(self) -> dict[str, Any]:
        """The content as values, without the salt."""
        value: dict[str, Any] = json.loads(self.content)
        return {name: item for name, item in value.items() if name != SALT}

    @property
    def salt(self) -> str | None:
        """Random and secret; None in entries of before there were salts."""
        value = json.loads(self.content).get(SALT)
        return None if value is None else str(value)

    def expected_hash(self) -> str:
        """SHA-256 over every other field."""
        fields = {name: value for name, value in asdict(self).items() if name != "hash"}
        return hashlib.sha256(
            json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
        ).hexdigest()


def check_chain(entries: Sequence[Entry]) -> None:
    """Every entry is what was written, in an unbroken chain.

    Raises Refusal that names the first entry which is not what was written there.
    """
    previous = GENESIS
    for number, entry in enumerate(entries, start=1):
        if entry.number != number:
            raise Refusal(
                f"the ledger's chain is broken: entry {number} is missing (entry {entry.number}"
                " stands in its place)"
            )
        if entry.previous != previous:
            raise Refusal(
                f"the ledger's chain is broken at entry {number}: it does not follow entry"
                f" {number - 1}"
            )
        if entry.hash != entry.expected_hash():
            raise Refusal(
                f"the ledger's chain is broken at entry {number} ({entry.kind}"
                f" {entry.release_id or entry.population}): its content was changed after it was"
                " written"
            )
        previous = entry.hash


def chain_head(entries: Sequence[Entry]) -> str:
    """Hash of the last entry: noted elsewhere, it pins everything before it."""
    return entries[-1].hash if entries else GENESIS


def check_chain_heads(entries: Sequence[Entry], chain_heads: Mapping[str, str]) -> None:
    """Chain heads noted elsewhere, {where it was noted: chain head}, are still in the ledger.

    Raises Refusal that names the first place whose chain head is gone.
    """
    hashes = {entry.hash for entry in entries} | {GENESIS}
    missing = {place: head for place, head in chain_heads.items() if head not in hashes}
    if not missing:
        return
    place, head = next(iter(missing.items()))
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    raise Refusal(
        f"the head {head[:12]}… noted on {place}{more} is not in the ledger of"
        f" {len(entries)} entries: its end was cut off, an old copy was put back, or it is"
        " another ledger. Restore the newest backup, and reserve nothing until it verifies"
    )
