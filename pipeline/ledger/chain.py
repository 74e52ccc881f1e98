"""The chain of entries as it is read and written: a writer sees verified entries and can only
append.

Chain heads are published, and most of an entry is public or easily guessed. So each entry holds a
random salt: without it whoever tries out the moment at which training began, or the reason of a
refusal, could tell by the chain head which one is right (privacy_rules.md 1).
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

from pipeline.ledger.entries import MOVED, SALT, Entry, chain_head, check_chain
from pipeline.ledger.storage import Storage, insert_entry, read_entries
from pipeline.refusal import Refusal


class Writer:
    """What a transaction may do: look at the verified entries and append."""

    def __init__(self, connection: Connection, entries: list[Entry]) -> None:
        self._connection = connection
        self.entries = entries

    def append(
        self,
        *,
        population: str,
        release_id: str | None,
        kind: str,
        by: str,
        facts: Mapping[str, Any],
    ) -> Entry:
        """A new entry at the end of the chain: its moment, salt and hashes are made here.

        Raises Refusal where nobody is named.
        """
        if not by.strip():
            raise Refusal(
                f"an entry needs a name: who writes {kind!r} for {release_id or population}?"
            )
        content = json.dumps(
            {**facts, SALT: new_salt()}, sort_keys=True, separators=(",", ":"), allow_nan=False
        )
        unsigned = Entry(
            number=len(self.entries) + 1,
            population=population,
            release_id=release_id,
            kind=kind,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            by=by,
            content=content,
            previous=chain_head(self.entries),
            hash="",
        )
        entry = Entry(**{**asdict(unsigned), "hash": unsigned.expected_hash()})
        self.put(entry)
        return entry

    def put(self, entry: Entry) -> None:
        """The entry as it stands."""
        insert_entry(self._connection, entry)
        self.entries.append(entry)


class Chain:
    """The entries in one storage: a file's path, or a URL of PostgreSQL (see `Storage`).

    Raises Refusal for a URL of another database.
    """

    def __init__(self, where: str | Path) -> None:
        self.storage = Storage(where)

    @property
    def place(self) -> str:
        """For messages: without a password."""
        return self.storage.place

    @contextmanager
    def writing(self, *, moving: bool = False) -> Iterator[Writer]:
        """One transaction: nobody else writes meanwhile; on any exception nothing of it stays. On
        disk when it returns.

        Raises Refusal for a broken chain, and for a ledger that was moved, unless `moving`.
        """
        with self.storage.transaction() as connection:
            entries = read_entries(connection)
            check_chain(entries)  # a broken ledger takes no more entries: it fails closed
            if not moving:
                _refuse_moved(entries)
            yield Writer(connection, entries)

    def entries(self) -> list[Entry]:
        """All entries in order; none where there is no ledger yet. Not verified.

        Raises Refusal for a ledger that was moved.
        """
        entries = self.storage.read()
        _refuse_moved(entries)
        return entries

    def move_to(self, other: "Chain", by: str) -> None:
        """Every entry into an empty chain elsewhere. First an entry `moved` closes this one for
        good; so a move that was cut off leaves nobody two ledgers, and the same move again goes on
        where it stopped.

        Raises Refusal where the other chain holds other entries, or this one was moved
        elsewhere.
        """
        with self.writing(moving=True) as old:
            is_closed = bool(old.entries) and old.entries[-1].kind == MOVED
            if is_closed and old.entries[-1].facts["to"] != other.place:
                raise Refusal(
                    f"this ledger was moved to {old.entries[-1].facts['to']}: it cannot move to"
                    f" {other.place} as well"
                )
            entries = old.entries[:-1] if is_closed else list(old.entries)
            others = other.entries()
            if others[: len(entries)] != entries[: len(others)] or (
                len(others) > len(entries) and not is_closed
            ):
                raise Refusal(
                    f"{other.place} holds other entries than {self.place}: name an empty database."
                    " Nothing was moved"
                )
            if not is_closed:
                old.append(
                    population="", release_id=None, kind=MOVED, by=by, facts={"to": other.place}
                )
        with other.writing() as new:
            if new.entries[: len(entries)] != entries[: len(new.entries)]:
                raise Refusal(
                    f"{other.place} was written to while {self.place} was moved there: empty it,"
                    " and move again"
                )
            for entry in entries[len(new.entries) :]:
                new.put(entry)

    def copy_to(self, other: "Chain") -> int:
        """Every entry, as it was written, into another chain that holds none, or the first ones of
        these. One that holds all of these, and more, stays as it is. Returns how many were added.

        Raises Refusal for a broken chain, and where the other one holds something else.
        """
        entries = self.storage.read()
        check_chain(entries)
        with other.writing(moving=True) as copy:
            n_shared = min(len(entries), len(copy.entries))
            if copy.entries[:n_shared] != entries[:n_shared]:
                raise Refusal(
                    f"{other.place} holds another ledger than {self.place}: name an empty one."
                    " Nothing was changed there"
                )
            for entry in entries[n_shared:]:
                copy.put(entry)
        return len(entries) - n_shared


def new_salt() -> str:
    """128 random bits. They stay in the ledger, and so in the restricted zone."""
    return os.urandom(16).hex()


def _refuse_moved(entries: list[Entry]) -> None:
    if entries and entries[-1].kind == MOVED:
        raise Refusal(
            f"this ledger was moved to {entries[-1].facts['to']} and is closed: use that one"
            " (state/ledger.url, or SYNDASERA_LEDGER)"
        )
