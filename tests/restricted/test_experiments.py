"""The experiments on small made-up tables: what is drawn, what is kept, and what the tables say."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from ingest_cases import HEART, heart_row, write_csv

from pipeline.experiments import arms, command, heart_balance, sets, substitution
from pipeline.experiments.results import Results, mean_with_interval, points
from pipeline.experiments.scores import measures, predictions, truth_of
from pipeline.refusal import Refusal


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 90 made-up patients as the heart table has them, the old ones ill."""
    folder = tmp_path_factory.mktemp("data") / "anywhere"
    folder.mkdir()
    rng = np.random.default_rng(1)
    rows = [
        heart_row(
            age=str(30 + n % 45),
            chol=str(180 + n),
            sex=str(int(rng.random() < 0.7)),
            output=str(int(n % 45 > 20)),
        )
        for n in range(90)
    ]
    write_csv(folder / "heart_kaggle_303.csv", HEART, *rows)
    return folder.parent


@pytest.fixture(scope="module")
def page(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    return command.run(
        "heart-balance", out, data=data, sets=(), splits=1, epsilons=(arms.NO_PRIVACY,)
    )


def test_a_run_is_kept_and_not_done_again(page: Path, data: Path) -> None:
    """Three arms of six classifiers and their mean; the page says what was asked."""
    lines = page.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 3 * 7
    assert {row["arm"] for row in rows} == {"real rows", heart_balance.WOMEN, heart_balance.ANYBODY}
    assert all(0 <= row["accuracy"] <= 1 for row in rows)
    text = page.read_text(encoding="utf-8")
    assert "**no privacy**" in text and "found women" in text
    assert page.with_suffix(".png").stat().st_size > 5_000
    before = page.with_suffix(".jsonl").read_bytes()
    command.run(
        "heart-balance", page.parent, data=data, sets=(), splits=1, epsilons=(arms.NO_PRIVACY,)
    )
    assert page.with_suffix(".jsonl").read_bytes() == before


def test_what_is_not_there_is_refused(data: Path, tmp_path: Path) -> None:
    def run(name: str, **more: object) -> None:
        options = {"data": data, "sets": (), "splits": 1, "epsilons": (1.0,)} | more
        command.run(name, tmp_path / "out", **options)  # type: ignore[arg-type]

    with pytest.raises(Refusal, match=r"adult needs the file .*docs/experiments.md"):
        run("census-balance")
    with pytest.raises(Refusal, match="no table nothing; there are adult"):
        run("substitution", sets=("nothing",))
    with pytest.raises(Refusal, match="is about uci_heart alone"):
        run("heart-balance", sets=("adult",))
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "out" / "heart-balance.jsonl").write_text("no results\n")
    with pytest.raises(Refusal, match="holds no results"):
        run("heart-balance")


def test_splits_keep_the_shares_of_groups_and_share_no_row(data: Path) -> None:
    heart = sets.public_table("uci_heart", data)
    train, test = arms.split(heart.rows, ["sex", heart.target], 0.3, seed=4)
    assert len(train) + len(test) == 90 and not set(train["patient_id"]) & set(test["patient_id"])
    for rows in (train, test):
        assert abs((rows["sex"] == "F").mean() - (heart.rows["sex"] == "F").mean()) < 0.06
    assert train.equals(arms.split(heart.rows, ["sex", heart.target], 0.3, seed=4)[0])


def test_scores_are_those_of_a_rule_that_can_be_learned(data: Path) -> None:
    """Whoever is old is ill here: every classifier finds nearly all; noise labels are not found.
    The bound for noise is five standard deviations of an AUC from 45 and 45.
    """
    heart = sets.public_table("uci_heart", data)
    train, test = heart.rows.gather_every(2), heart.rows.gather_every(2, 1)
    truth = truth_of(heart.schema, heart.target, test)
    groups = {"women": np.ones(len(test), bool), "nobody": np.zeros(len(test), bool)}
    scores = measures(truth, predictions(heart.schema, heart.target, train, test), groups)
    assert min(one["AUC"] for one in scores.values()) > 0.9
    assert all(math.isnan(one["accuracy nobody"]) for one in scores.values())
    noise = pl.Series(np.random.default_rng(3).permutation(train[heart.target].to_list()))
    shuffled = train.with_columns(noise.alias(heart.target))
    answers = predictions(heart.schema, heart.target, shuffled, test)
    aucs = [one["AUC"] for one in measures(truth, answers, {}).values()]
    assert abs(np.mean(aucs) - 0.5) < 5 * 0.061
    one_class = train.filter(pl.col(heart.target) == train[heart.target][0])
    same = predictions(heart.schema, heart.target, one_class, test)
    assert all(len(set(one.positive)) == 1 for one in same.values())


def test_intervals_count_that_splits_share_rows() -> None:
    """By hand: values 1, 2, 3, variance 1, t(2) = 4.3027, half = 4.3027 * sqrt(1/3 + 1/2)."""
    mean, low, high = mean_with_interval([1.0, 2.0, 3.0, math.nan], 0.5)
    assert mean == 2.0 and high - mean == pytest.approx(4.3027 * math.sqrt(5 / 6), rel=1e-4)
    assert low == pytest.approx(2 * mean - high)
    assert points((0.01, -0.005, 0.025)) == "+1.0 (-0.5 to +2.5)"
    assert points((0.01, math.nan, math.nan)) == "+1.0" and points((math.nan,) * 3) == "-"


def test_the_cost_of_substitution_is_the_loss_of_all_rows(tmp_path: Path) -> None:
    results = Results(tmp_path / "substitution.jsonl")
    for name, size, loss in (("large", 20_000, 0.02), ("small", 300, 0.10)):
        for split in (1, 2):
            for part in substitution.PARTS:
                level = 0.8 + 0.01 * split
                facts = {"experiment": "substitution", "set": name, "rows": size, "split": split}
                figures = {"accuracy": level - loss * part, "AUC": level - loss * part / 2}
                row = facts | figures | {"epsilon": 3.0, "part": part, "classifier": "mean"}
                results.add([row])
    text = "\n".join(substitution.summary(results))
    assert "| large (20,000) | 81.5 | -2.0 (-2.0 to -2.0) |" in text
    assert "| **mean of sets with 10,000 rows or more** |  | **-2.0** |" in text
    assert "| epsilon 3 | -1.5 | -3.0 | -4.5 | -6.0 |" in text
    assert Results(tmp_path / "substitution.jsonl").rows == results.rows


@pytest.mark.parametrize("name", sorted(sets.PACKAGES))
def test_tables_of_packages_are_those_declared(name: str) -> None:
    """Every row is kept: no value is out of the declared ones."""
    own = sets.public_table(name, None)
    assert len(own.rows) == {"fair": 6366, "randhie": 20190, "breast_cancer": 569}[name]
    assert own.target in own.schema.patients
