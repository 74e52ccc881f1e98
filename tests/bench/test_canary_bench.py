"""The canary benchmark: batches of runs are pooled, the table has a line for each kind of outputs,
and the most that any audit from outputs alone could show.
"""

from __future__ import annotations

import pytest

from bench import canaries
from bench.canaries import OFTEN, ONCE

SHOWN = {
    "dataset": "tables",
    "epsilon": 1.0,
    "coins": 100,
    "runs": 50,
    "path": "counts",
    "claimed": 0.8,
    "lower": [0.1],
    "lower_gaussian": [0.2],
}


def test_the_table_has_a_line_for_each_kind_of_runs_and_outputs() -> None:
    often = SHOWN | {"kind": OFTEN, "shown": 0.7, "approximately": 0.75}
    once = SHOWN | {
        "kind": ONCE,
        "runs": 2,
        "shown": None,
        "approximately": None,
        "lower_gaussian": [0.2, 0.4],
    }
    lines = canaries.table([once, often]).splitlines()
    assert lines[2:4] == [
        f"| tables, {OFTEN} | 1 | counts | 0.80 | 50 | 100 | 0.70 | 0.75 | 0.20 | 0.10 |",
        f"| tables, {ONCE} | 1 | counts | 0.80 | 2 | 100 | - | - | 0.30 (0.14) | 0.10 |",
    ]


def test_one_run_of_a_perfect_gaussian_shows_a_part_of_its_epsilon_more_with_more_coins() -> None:
    bounds = [canaries.ideal(1.0, coins)[1] for coins in (1000, 10_000, 50_000)]
    assert 0.1 < bounds[0] < bounds[1] < bounds[2] < 1.0


def test_batches_of_many_runs_are_pooled_and_single_runs_are_averaged() -> None:
    row = {
        "dataset": "tables",
        "epsilon": 10.0,
        "coins": 100,
        "path": "critic",
        "advantages": [0.4] * 150,
        "guesses": [[750, 700], [1500, 1300], [3750, 2900], [7500, 5000]],
        "least_noise": 0.99,
        "most_noise": 1.01,
        "cpu_seconds": 50.0,
        "runs": 150,
    }
    one = row | {"kind": ONCE, "runs": 1, "advantages": [0.4]}
    one["guesses"] = [[5, 5], [10, 9], [25, 20], [50, 35]]
    both = [row | {"kind": OFTEN, "batch": batch} for batch in (0, 1)]
    often, once = canaries.summary([*both, one | {"batch": 0}, one | {"batch": 1}])
    assert (often["runs"], once["runs"]) == (300, 2)
    assert often["cpu_seconds_of_a_run"] == pytest.approx(1 / 3)
    (fewer,) = canaries.summary(both[:1])
    assert 0 < fewer["shown"] < often["shown"] and once["shown"] is None
    assert fewer["lower_gaussian"][0] < often["lower_gaussian"][0]
    assert len(often["lower_gaussian"]) == 1 and len(once["lower_gaussian"]) == 2


def test_more_coins_can_show_more_and_a_whole_curve_more_than_one_pair() -> None:
    few, many = canaries.most(200), canaries.most(1000)
    assert few[0] < many[0] and few[1] < many[1] and few[0] < few[1]
    # log(1000 / log(80)): all right with chance 0.05 / 4
    assert many[0] == pytest.approx(5.43, abs=0.02)
