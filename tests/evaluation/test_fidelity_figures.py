"""Figures of tables whose closeness is known, between their bounds."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from attack_cases import LOG, TABLE, Toy, log, table

from pipeline.evaluation import fidelity_figures as figures
from pipeline.evaluation.bounds import FidelityFigures, shuffled_columns
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Column

PAIRS = "distance of pairs of columns (2-way TVD)"
SHARE = "as close as a real sample of so many percent of the training patients"
TELL = "AUC of a model that tells them from real patients"


def run(schema: Toy, *logs: PatientLog) -> FidelityFigures:
    return figures.fidelity_figures(schema, *logs, lambda line: None)


@pytest.mark.long
def test_a_fresh_sample_is_at_the_best_and_shuffled_columns_are_at_the_worst() -> None:
    train, holdout, fresh = log(1_000, 1), log(500, 2), log(1_000, 3)
    good, bad = (run(LOG, train, holdout, one) for one in (fresh, shuffled_columns(fresh)))
    assert good.rows == 1_000 and good.holdout_rows == 500
    assert 0 < good.sdmetrics_seconds < good.seconds
    for name in (PAIRS, TELL):
        best, worst = good.of(name).best, good.of(name).worst
        assert abs(good.of(name).synthetic - best) < 0.25 * (worst - best) + 0.02
        assert abs(bad.of(name).synthetic - worst) < 0.25 * (worst - best) + 0.02
    assert good.of(SHARE).best == pytest.approx(100) and good.of(SHARE).synthetic > 80
    assert max(bad.of(SHARE).synthetic, bad.of(SHARE).worst) < 80
    names = [figure.name for figure in good.figures]
    assert len(names) == len(set(names))
    for part in ("one table, quality", "patients and events, diagnostic", "sequences, lengths"):
        figure = good.of(f"SDMetrics, {part}")
        assert figure.is_higher_better and 0.8 < figure.synthetic <= 1
    assert (
        good.of("SDMetrics, one table, quality").synthetic
        > bad.of("SDMetrics, one table, quality").synthetic
    )
    orders = good.of("distance of pairs in order of events (2-gram TVD)")
    assert orders.synthetic < 0.1 < orders.worst


def test_equivalent_subsample_is_the_share_that_was_drawn() -> None:
    """Over ten draws, as one draw of 50 rows may be anywhere between 2% and 10%."""
    columns = {name: TABLE.patients[name] for name in ("site", "region", "stage", "ill")}
    train, holdout = table(1_000, 1).patients, table(1_000, 2).patients
    coded = [figures.fidelity.binned(train, one, columns)[1] for one in (holdout, train)]
    distances = [
        float(
            np.mean(
                figures.fidelity.two_way(
                    coded[0],
                    figures.fidelity.binned(train, train.sample(50, seed=seed), columns)[1],
                )
            )
        )
        for seed in range(10)
    ]
    values = [
        figures.equivalent_subsample(coded[0], coded[1], [one, 0.0, 1.0]) for one in distances
    ]
    assert 3.5 < np.median([value.synthetic for value in values]) < 7
    assert values[0].best == pytest.approx(100) and values[0].worst == pytest.approx(0.5)


def test_shuffled_columns_keep_columns_and_lengths() -> None:
    before = log(100, 1)
    after = shuffled_columns(before)
    for name in TABLE.patients:
        assert after.patients[name].sort().equals(before.patients[name].sort())
    assert after.pathways["patient_id"].equals(before.pathways["patient_id"])
    assert not after.patients["age"].equals(before.patients["age"])


def test_triples_are_distances_of_joint_values() -> None:
    """Each pair is as in the other table, and no triple is: the last is the sum of two, or not."""
    random = np.random.default_rng(1)
    a, b = random.integers(0, 2, 4_000), random.integers(0, 2, 4_000)
    first, second = {"a": a, "b": b, "c": a ^ b}, {"a": a, "b": b, "c": 1 - (a ^ b)}
    assert figures._tvd_of(first, second, ("a", "b")) == 0
    assert figures._tvd_of(first, second, ("a", "b", "c")) == 1


def test_odd_columns_and_small_tables_stop_nothing() -> None:
    columns = {
        "empty": Column(name="empty", kind="continuous", lower=0, upper=1, nullable=True),
        "same": Column(name="same", kind="categorical", categories=("x",)),
        "age": TABLE.patients["age"],
    }
    logs = [
        PatientLog(
            table(n, seed).patients.select(
                "patient_id",
                "age",
                pl.lit(None, dtype=pl.Float64).alias("empty"),
                pl.lit("x").alias("same"),
            )
        )
        for seed, n in enumerate((60, 15, 60))
    ]
    result = run(Toy(patients=columns), *logs)
    assert 0 <= result.of(PAIRS).synthetic <= 1
    assert run(TABLE, table(20, 1), table(0, 2), table(20, 3)).figures == ()
    tiny = run(TABLE, table(20, 1), table(5, 2), table(20, 3))
    assert math.isnan(tiny.of(TELL).synthetic)  # too few to train a discriminator
