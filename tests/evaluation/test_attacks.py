"""All attacks together: copies are found, what is honest is not, and odd tables stop nothing."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from attack_cases import LOG, TABLE, Toy, log, table

from bench.attacks import plant
from bench.shadow_membership import CATEGORIES, population, synthesize
from pipeline.evaluation.attacks import run_attacks
from pipeline.evaluation.findings import Risk
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Column

COPIES = {
    "singling out, all columns",
    "membership, the most exposed",
    "exact copies of patients",
    "exact copies of date sequences",
}


def run(schema: Toy, *logs: PatientLog) -> dict[str, Risk]:
    return {risk.attack: risk for risk in run_attacks(schema, *logs, lambda line: None)}


def alarms(risks: dict[str, Risk]) -> set[str]:
    return {name for name, risk in risks.items() if risk.is_found}


@pytest.fixture(scope="module")
def real() -> tuple[PatientLog, PatientLog]:
    """(training patients, holdout), the product's shares of 5,000."""
    return log(4_500, 1), log(500, 2)


def test_a_fresh_sample_is_no_risk_and_copies_of_1_percent_are(real) -> None:
    fresh = log(4_500, 3)
    honest, leaking = (run(LOG, *real, one) for one in (fresh, plant(real[0], fresh, 0.01, 4)))
    assert alarms(honest) == set()
    assert alarms(leaking) >= COPIES
    assert leaking["exact copies of patients"].rate.value == pytest.approx(0.01)
    assert leaking["exact copies of patients"].control.value == 0
    # an average over all patients does not see them: a low figure there proves nothing
    assert abs(leaking["membership, all patients"].advantage.value) < 0.1
    for risk in (*honest.values(), *leaking.values()):
        for estimate in (risk.rate, risk.control, risk.advantage):
            assert estimate.low <= estimate.value + 1e-9 and estimate.value <= estimate.high + 1e-9
        assert risk.attempts > 0


def test_a_table_learnt_by_heart_is_found_by_every_attack_that_can() -> None:
    train, holdout = table(600, 1), table(600, 2)
    risks = run(TABLE, train, holdout, train)
    assert alarms(risks) >= {
        "singling out, one column",
        "singling out, 3 columns",
        "singling out, all columns",
        "linkability",
        "inference of stage",
        "inference of ill",
        "membership, all patients",
        "membership, 1% false alarms",
        "membership, the most exposed",
        "exact copies of patients",
    }
    assert risks["membership, all patients"].rate.value > 0.95
    assert risks["exact copies of patients"].rate.value == 1


@pytest.mark.long
def test_fresh_samples_are_called_found_hardly_ever() -> None:
    """At most 1% of runs may have an alarm; more than 2 of 24 by chance once in 500 times."""
    n_runs = sum(
        bool(alarms(run(TABLE, table(300, seed), table(120, seed + 100), table(300, seed + 200))))
        for seed in range(1, 25)
    )
    assert n_runs <= 2


def test_small_tables_with_odd_columns_stop_nothing() -> None:
    def odd(n: int, seed: int) -> PatientLog:
        rows = log(n, seed)
        return PatientLog(
            rows.patients.with_columns(
                pl.lit("same").alias("constant"),
                pl.lit(None, dtype=pl.Float64).alias("empty"),
                pl.lit(None, dtype=pl.String).alias("no category"),
                pl.col(ID).cast(pl.String).alias("high"),
                pl.lit(5.0).alias("one number"),
            ),
            rows.events,
        )

    extra = {
        "constant": Column(name="constant", kind="categorical", categories=("same",)),
        "empty": Column(name="empty", kind="continuous", lower=0, upper=1, nullable=True),
        "no category": Column(name="no category", kind="categorical", categories=("x",)),
        "high": Column(name="high", kind="categorical", categories=()),
        "one number": Column(name="one number", kind="continuous", lower=0, upper=9),
    }
    schema = Toy(
        patients={**LOG.patients, **extra},
        events=LOG.events,
        targets=("stage", "empty", "constant"),
        quasi_identifiers=("empty", "high", "age"),
    )
    risks = run(schema, odd(60, 1), odd(15, 2), odd(60, 3))
    assert len(risks) == 12 and alarms(risks) == set()
    assert risks["inference of constant"].rate.value == 1
    assert math.isnan(risks["inference of constant"].advantage.value)  # nothing to gain


@pytest.mark.parametrize("sizes", [(0, 20, 20), (20, 1, 20), (20, 20, 0)])
def test_too_few_patients_are_attacked_by_nobody(sizes: tuple[int, int, int]) -> None:
    logs = [table(n, seed) for seed, n in enumerate(sizes)]
    assert run_attacks(TABLE, *logs, lambda line: None) == []


def test_figures_are_the_same_again() -> None:
    logs = table(200, 1), table(80, 2), table(200, 3)
    first, second = (run(TABLE, *logs) for _ in range(2))
    assert [risk.rate.value for risk in first.values()] == [
        risk.rate.value for risk in second.values()
    ]


def test_one_column_is_enough() -> None:
    schema = Toy(patients={"age": TABLE.patients["age"]}, targets=(), quasi_identifiers=())
    logs = [PatientLog(table(100, seed).patients.select(ID, "age")) for seed in (1, 2, 3)]
    risks = run(schema, *logs)
    assert alarms(risks) == set()
    assert np.isnan(risks["linkability"].rate.value)  # no halves of one column


@pytest.mark.long
def test_a_private_release_at_epsilon_1_is_called_found_hardly_ever() -> None:
    """A model of noisy counts on few categories, where many rows agree; the same bound."""
    names = tuple("abcde")
    codes = tuple(map(str, range(max(CATEGORIES))))
    schema = Toy(
        patients={name: Column(name=name, kind="categorical", categories=codes) for name in names},
        targets=("e",),
        quasi_identifiers=names[:4],
    )

    def as_log(rows: np.ndarray) -> PatientLog:
        frame = pl.DataFrame(rows.astype(str), schema=names, orient="row")
        return PatientLog(frame.with_row_index(ID))

    n_runs = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        train, holdout = population(random), population(random)[:200]
        synthetic = synthesize(train, 1.0, random)[: len(train)]
        n_runs += bool(alarms(run(schema, as_log(train), as_log(holdout), as_log(synthetic))))
    assert n_runs <= 2
