"""The canary benchmark's table: means over runs, and the most that any audit with so many coins
could show.
"""

from __future__ import annotations

import pytest

from bench import canaries


def test_the_table_has_a_line_for_each_kind_of_outputs_and_the_most_that_can_be_seen() -> None:
    row = {
        "dataset": "tables",
        "epsilon": 1.0,
        "coins": 100,
        "path": "counts",
        "claimed": 0.8,
        "lower": 0.1,
        "lower_gaussian": 0.2,
        "accuracy_25": 0.6,
    }
    lines = canaries.table(
        [row | {"run": 0}, row | {"run": 1, "lower_gaussian": 0.4}, row | {"run": 0, "path": "all"}]
    ).splitlines()
    assert lines[2].startswith(
        "| tables | 1 | 100 | 2 | counts | 0.80 (0.00) | 0.30 (0.14) | 0.10 (0.00) |"
    )
    assert lines[3].startswith("| tables | 1 | 100 | 1 | all |") and lines[4].startswith(
        "| every guess right |"
    )


def test_more_coins_can_show_more_and_a_whole_curve_more_than_one_pair() -> None:
    few, many = canaries.most(200), canaries.most(1000)
    assert few[0] < many[0] and few[1] < many[1] and few[0] < few[1]
    # log(1000 / log(60)): all right with chance 0.05 / 3
    assert many[0] == pytest.approx(5.50, abs=0.02)
