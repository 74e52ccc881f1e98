"""The parts that attacks are made of, against figures that are known; and the faults of Anonymeter
because of which they are ours.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
from anonymeter.evaluators import SinglingOutEvaluator
from anonymeter.evaluators.inference_evaluator import evaluate_inference_guesses
from anonymeter.evaluators.singling_out_evaluator import (
    _evaluate_queries,
    multivariate_singling_out_queries,
)
from anonymeter.neighbors.mixed_types_kneighbors import gower_distance
from attack_cases import LOG, TABLE, Toy, log, patients, table
from scipy.stats import fisher_exact
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from bench.shadow_membership import attack, epsilon_proved
from pipeline.evaluation.attacks import copies, neighbours, rows, singling_out, trials
from pipeline.evaluation.attacks.coincidence import coincidence
from pipeline.evaluation.findings import Estimate
from pipeline.schema.patient_log import PatientLog


def test_intervals_and_tests_are_those_of_statistics_packages() -> None:
    rate, control = trials.wilson(30, 200), trials.wilson(12, 150)
    assert (rate.low, rate.high) == pytest.approx(proportion_confint(30, 200, method="wilson"))
    low, high = confint_proportions_2indep(30, 200, 12, 150, method="newcomb", compare="diff")
    room = 1 - 12 / 150
    gain = trials.beyond(rate, control)
    assert (gain.low * room, gain.high * room) == pytest.approx((low, high))
    assert trials.fisher(30, 200, 12, 150) == pytest.approx(
        fisher_exact([[30, 170], [12, 138]], alternative="greater").pvalue
    )
    assert trials.fisher(0, 0, 1, 2) == 1 and math.isnan(trials.wilson(0, 0).value)


def test_many_trials_make_each_harder_to_find() -> None:
    def trial(p: float) -> trials.Trial:
        some = Estimate(value=0.1, low=0.05, high=0.2)
        return trials.Trial(
            attack="", rate=some, control=some, advantage=some, p=p, shows="", cannot_show="",
            attempts=1,
        )  # fmt: skip

    assert [risk.is_found for risk in trials.risks([trial(0.004)])] == [True]
    many = [trial(0.004), *[trial(0.5)] * 9]
    assert not any(risk.is_found for risk in trials.risks(many))
    assert [risk.is_found for risk in trials.risks([trial(0.0001), trial(0.006), trial(0.5)])] == [
        True,
        False,
        False,
    ]


def test_distance_counts_gaps_as_a_value() -> None:
    one = rows.Rows(("sex", "age"), (True, False), (np.array([0.0, 1.0]), np.array([10.0, np.nan])))
    other = rows.Rows(
        ("sex", "age"), (True, False), (np.array([0.0, 1.0, 1.0]), np.array([20.0, np.nan, 110.0]))
    )
    yardstick = rows.Rows(("sex", "age"), (True, False), (np.zeros(2), np.array([0.0, 100.0])))
    first, second = rows.scaled((one, other), yardstick)
    ((_, total),) = neighbours.distances(first, second, (True, False))
    assert total[1].tolist() == [2, 0, 1]  # two gaps are alike, one gap is a whole column apart
    assert total[0] == pytest.approx([10 / 98, 2, 2], abs=1e-4)
    nearest = neighbours.nearest_rows(first, second, (True, False), 1, np.arange(3))
    assert nearest.tolist() == [[0], [1]]
    own = neighbours.nearest_distance(second, second, (True, False), np.arange(3))
    assert own.min() > 0


def test_a_predicate_holds_for_the_rows_that_it_describes() -> None:
    material = rows.tables(TABLE, *(table(200, seed) for seed in (1, 2, 3)))
    random = np.random.default_rng(0)
    for predicates in (
        singling_out._univariate(material.synthetic, random),
        singling_out._multivariate(material.synthetic, 3, 50, random),
        singling_out._multivariate(material.synthetic, 8, 300, random),
    ):
        assert len(predicates) > 20
        assert all(len(singling_out.matches(one, material.synthetic)) == 1 for one in predicates)


def test_singling_out_agrees_with_anonymeter_where_that_holds_up() -> None:
    """Numbers and categories without gaps, tables of one size, distinct rows: the same rates."""
    names = ["site", "age", "region", "stage", "ill"]
    frames = [
        patients(500, seed).select(names).unique(maintain_order=True)[:450] for seed in (1, 2, 3)
    ]
    queries = multivariate_singling_out_queries(
        frames[2], n_queries=600, n_cols=3, max_attempts=5_000, rng=np.random.default_rng(0)
    )
    theirs = [np.mean(np.array(_evaluate_queries(one, queries)) == 1) for one in frames[:2]]
    schema = Toy(patients={name: TABLE.patients[name] for name in names})
    logs = [PatientLog(frame.with_row_index("patient_id")) for frame in frames]
    ours = singling_out.trials(rows.tables(schema, *logs), np.random.default_rng(0))[1]
    assert len(queries) > 300 and ours.attempts > 300
    assert (ours.rate.value, ours.control.value) == pytest.approx(theirs, abs=0.08)


def test_anonymeter_calls_negative_guesses_right() -> None:
    guesses, truth = pd.Series([-5.0, -7.0]), pd.Series([100.0, 3.0])
    assert evaluate_inference_guesses(guesses, truth, regression=True).all()


def test_anonymeter_loses_its_neighbours_where_a_number_is_missing() -> None:
    gap, number = np.array([np.nan, 1.0]), np.array([50.0, 1.0])
    distance = gower_distance.py_func
    assert distance(gap, gap, 2) == 1  # rows that are the same in all columns
    assert math.isnan(distance(gap, number, 2))  # and what is then nearest depends on the order


def test_anonymeter_fails_on_dates() -> None:
    frames = [patients(100, seed).select("diagnosis", "age", "site").to_pandas() for seed in (1, 2)]
    evaluator = SinglingOutEvaluator(*frames, n_attacks=10, n_cols=3, max_attempts=100, seed=0)
    with pytest.raises(Exception, match=r"(?i)date|compar|dtype|type|str"):
        evaluator.evaluate("multivariate")


def test_coincidence_is_told_from_copies() -> None:
    random = np.random.default_rng(3)
    names = [pl.Series(random.zipf(1.3, 5_000)).cast(pl.String) for _ in range(2)]
    # common values agree by the thousand, and prove nothing
    assert coincidence(*names)[0] > 0.05 and coincidence(*names)[1] < 0
    distinct = pl.Series(range(5_000)).cast(pl.String)
    copied = pl.concat([distinct[:50], pl.Series(range(10**6, 10**6 + 4_950)).cast(pl.String)])
    p, share = coincidence(distinct, copied)
    assert p < 1e-6 and 0.004 < share < 0.01
    assert coincidence(distinct, copied[45:])[0] > 0.1  # five may be chance, for all one can say
    assert coincidence(distinct[:0], copied) == (1.0, pytest.approx(0, abs=20))


def test_near_sequences_are_within_days_and_in_the_same_order() -> None:
    base = ("A\x1eB", (0, 30))
    others = [("A\x1eB", (0, 33))], [("A\x1eB", (0, 34))], [("B\x1eA", (0, 30))]
    assert [copies._near([base], other).tolist() for other in others] == [[True], [False], [False]]


def test_trivial_sequences_are_left_out() -> None:
    train, holdout, synthetic = (log(150, seed) for seed in (1, 2, 1))
    exact, near = copies.sequence_trials(
        rows.tables(LOG, train, holdout, synthetic), np.random.default_rng(0)
    )
    assert exact.rate.value == near.rate.value == 1 and exact.rate.n < 150
    assert exact.control.value < 0.05


def test_shadow_models_find_no_more_than_epsilon_allows() -> None:
    assert epsilon_proved(50, 100, 0, 100) > 2 and epsilon_proved(10, 100, 10, 100) == 0
    private, open_book = (attack(300, epsilon, seed=5) for epsilon in (1.0, math.inf))
    assert private.epsilon_proved <= 1 and private.auc < 0.75
    assert open_book.epsilon_proved > 1.5 and open_book.auc > 0.9


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 6))
def test_shadow_models_in_full(seed: int) -> None:
    assert attack(2_000, 1.0, seed).epsilon_proved <= 1
    assert attack(2_000, math.inf, seed).epsilon_proved > 3
