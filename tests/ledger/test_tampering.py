"""A changed, missing or cut-off entry is found and named, on a file and on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from ledger_cases import OPEN, opened, reserve

from pipeline.dp.events import DiscreteGaussianDpEvent
from pipeline.ledger import Ledger

DISARM = {
    "sqlite": ("DROP TRIGGER entry_is_never_changed", "DROP TRIGGER entry_is_never_deleted"),
    "postgresql": ("DROP TRIGGER entry_is_never_changed ON entry",),
}


@pytest.fixture
def ledger(where: str) -> Ledger:
    return opened(where)


def run(ledger: Ledger, *statements: str) -> None:
    with ledger._chain.storage.engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def tamper(ledger: Ledger, *statements: str) -> None:
    """As somebody with the file or the database and without scruples: triggers dropped first."""
    run(ledger, *DISARM[ledger._chain.storage.engine.dialect.name], *statements)


def noted(heads: list[str]) -> dict[str, str]:
    return {f"the card of r{number}": head for number, head in enumerate(heads)}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET by = 'nobody'",
        "DELETE FROM entry",
        "UPDATE entry SET content = '{}' WHERE number = 2",
    ],
)
def test_entries_cannot_be_changed_through_the_database(ledger: Ledger, statement: str) -> None:
    reserve(ledger, "r1")
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        run(ledger, statement)
    ledger.verify()


def test_a_table_of_postgresql_cannot_be_emptied_either(database: str) -> None:
    ledger = opened(database)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        run(ledger, "TRUNCATE entry")
    ledger.verify()


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (
            ["UPDATE entry SET content = replace(content, '8.0', '80.0') WHERE number = 3"],
            "broken at entry 3 .*content was changed",
        ),
        (["UPDATE entry SET release_id = 'r9' WHERE number = 2"], "broken at entry 2"),
        (["DELETE FROM entry WHERE number = 3"], "entry 3 is missing"),
        (["DELETE FROM entry WHERE number = 1"], "entry 1 is missing"),
        (
            [
                "DELETE FROM entry WHERE number = 2",
                "UPDATE entry SET number = number + 100 WHERE number > 2",
                "UPDATE entry SET number = number - 101 WHERE number > 100",
            ],
            "broken at entry 2",
        ),
        (["UPDATE entry SET at = '2020-01-01' WHERE number = 4"], "broken at entry 4"),
    ],
)
def test_tampering_is_found_and_stops_the_ledger(
    ledger: Ledger, statements: list[str], message: str
) -> None:
    for release_id in ("r1", "r2", "r3"):
        reserve(ledger, release_id)
    tamper(ledger, *statements)
    with pytest.raises(ValueError, match=message):
        ledger.verify()
    with pytest.raises(ValueError, match=message):
        reserve(ledger, "r4")  # fails closed


def test_a_cut_off_end_is_found_and_named_by_a_noted_head(ledger: Ledger) -> None:
    heads = [ledger.chain_head()]
    for release_id in ("r1", "r2"):
        reserve(ledger, release_id)
        heads.append(ledger.chain_head())
    ledger.verify(noted(heads))
    tamper(ledger, "DELETE FROM entry WHERE number = 3")
    ledger.verify(noted(heads[:2]))  # the chain alone cannot show it
    with pytest.raises(
        ValueError,
        match="noted on the card of r2 is not in the ledger of 2 entries: its end was cut off",
    ):
        ledger.verify(noted(heads))


def test_a_rewritten_history_is_found_by_a_noted_head(ledger: Ledger, tmp_path: Path) -> None:
    reserve(ledger, "r1")
    head = ledger.chain_head()
    forged = Ledger(tmp_path / "forged.db")  # a whole new chain, well-formed in itself
    forged.open_population("trial", **OPEN)
    reserve(forged, "r1", DiscreteGaussianDpEvent(1000.0))
    forged.verify()
    with pytest.raises(ValueError, match="another ledger"):
        forged.verify({"the card of r1": head})
