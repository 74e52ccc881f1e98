"""The holdout's coin: same patient, same coin; permanent secret key; right share."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from ingest_cases import CREDIT_COLUMNS, HEART, Bench, credit_row, heart_row, write_csv

from pipeline.restricted.ingest import holdout

KEY = bytes(range(32))


def test_the_key_is_made_once_and_stays(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: holdout.permanent_key(tmp_path / "keys"), range(16)))
    assert len(keys) == 1
    path = tmp_path / "keys" / holdout.KEY_NAME
    assert len(path.read_bytes()) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == [holdout.KEY_NAME]


def test_a_damaged_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / holdout.KEY_NAME).write_bytes(b"short")
    with pytest.raises(ValueError, match="restore it from the backup"):
        holdout.permanent_key(tmp_path)


def test_the_coin_depends_on_id_and_key_alone() -> None:
    ids = pl.Series([str(n) for n in range(20_000)])
    coins = holdout.is_held_out(ids, KEY, 0.1)
    assert abs(coins.mean() - 0.1) < 0.01  # type: ignore[operator]
    shuffled = ids.reverse()
    assert holdout.is_held_out(shuffled, KEY, 0.1).equals(coins.reverse())
    assert holdout.is_held_out(ids.head(5), KEY, 0.1).equals(coins.head(5))
    assert not holdout.is_held_out(ids, bytes(32), 0.1).equals(coins)


def test_a_larger_share_only_adds() -> None:
    ids = pl.Series([str(n) for n in range(2000)])
    small, large = (holdout.is_held_out(ids, KEY, share) for share in (0.1, 0.3))
    assert not (small & ~large).any()


def test_a_refresh_with_more_patients_moves_nobody(bench: Bench, tmp_path: Path) -> None:
    source = write_csv(
        tmp_path / "a" / "uci_credit_card.csv",
        CREDIT_COLUMNS,
        *(credit_row(n) for n in range(100, 200)),
    )
    first = bench.ingest("credit_default", source)
    # others before and behind, other values, other order
    later = [credit_row(n, AGE="60") for n in range(250, 50, -1)]
    second = bench.ingest(
        "credit_default", write_csv(tmp_path / "b" / "uci_credit_card.csv", CREDIT_COLUMNS, *later)
    )
    before, after = (
        set(pl.read_parquet(done.restricted.holdout_patients)["patient_id"])
        for done in (first, second)
    )
    assert before == {patient for patient in after if 100 <= patient < 200}
    assert before


def test_without_ids_equal_rows_share_a_coin_wherever_they_stand(
    bench: Bench, tmp_path: Path
) -> None:
    rows = [heart_row(age=str(20 + n)) for n in range(40)]
    once = bench.ingest("uci_heart", write_csv(tmp_path / "a.csv", HEART, *rows))
    twice = bench.ingest("uci_heart", write_csv(tmp_path / "b.csv", HEART, *reversed(rows), *rows))
    held, held_twice = (
        pl.read_parquet(done.restricted.holdout_patients)["age"].sort().to_list()
        for done in (once, twice)
    )
    assert held_twice == sorted(held * 2)
    assert 0 < len(held) < 40
    assert twice.patients["patient_id"].n_unique() == 80
