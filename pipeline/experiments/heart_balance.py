"""heart-balance: does doubling the women of UCI heart disease by synthetic ones make classifiers
better for women? The workshop that this follows found about +6 points of accuracy for women and +2
overall.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from pipeline.draw_plan import DrawPlan, plan_of
from pipeline.experiments.arms import (
    EPSILONS,
    TEST,
    epsilon_words,
    model_of,
    runs_of,
    split,
    with_synthetic,
)
from pipeline.experiments.results import Results, Row, averages, mean_with_interval, points, table
from pipeline.experiments.scores import measures, predictions, truth_of
from pipeline.experiments.sets import PublicTable
from pipeline.schema.patient_log import ID

NAME, SET = "heart-balance", "uci_heart"
SPLITS = 100
SEX, WOMAN = "sex", "F"
REAL = "real rows"
WOMEN, ANYBODY = "with as many synthetic women again", "with as many synthetic people"

ARMS = (REAL, WOMEN, ANYBODY)
PLOTTED = ("accuracy women", "accuracy men", "accuracy")


def runs(tables: Sequence[PublicTable], splits: int, epsilons: Sequence[float]) -> list[Row]:
    return runs_of(NAME, [SET], splits, epsilons)


def run(tables: Sequence[PublicTable], facts: Row) -> Iterator[Row]:
    """One split at one epsilon: the real rows alone, with synthetic women, and, so that more rows
    are told from more women, with as many synthetic people as the model draws them.
    """
    [heart] = [one for one in tables if one.schema.dataset == SET]
    train, test = split(heart.rows, [SEX, heart.target], TEST, facts["split"])
    model = model_of(heart.schema, train, facts["epsilon"])
    n = int((train[SEX].cast(pl.String) == WOMAN).sum())
    women = plan_of({"where": {SEX: WOMAN}})
    real = train.drop(ID)
    arms = {
        REAL: real,
        WOMEN: with_synthetic(real, model, n, facts["split"], women),
        ANYBODY: with_synthetic(real, model, n, facts["split"], DrawPlan()),
    }
    is_woman = (test[SEX].cast(pl.String) == WOMAN).to_numpy()
    groups = {"women": is_woman, "men": ~is_woman}
    truth = truth_of(heart.schema, heart.target, test)
    for arm, rows in arms.items():
        answers = predictions(heart.schema, heart.target, rows, test)
        scores = measures(truth, answers, groups)
        for classifier, values in (*scores.items(), ("mean", averages(scores))):
            yield {**facts, "arm": arm, "classifier": classifier, **values}


def summary(results: Results) -> list[str]:
    """Markdown: gains over the real rows, in points, with 95% intervals over paired splits."""
    lines = [
        f"### {NAME}",
        "",
        "Gain in points over training on the real rows alone; the mean of six classifiers, then"
        " each of them. In brackets 95% over paired stratified splits. *Found*: the share of the"
        " positive class (output 1) that is found (equal opportunity).",
        "",
    ]
    for epsilon in EPSILONS:
        rows = results.select(experiment=NAME, epsilon=epsilon)
        if rows:
            lines += [f"**{epsilon_words(epsilon)}**", "", *_gains(rows), ""]
    return lines


def _by_split(rows: Sequence[Row], arm: str, classifier: str) -> dict[int, Row]:
    return {r["split"]: r for r in rows if (r["arm"], r["classifier"]) == (arm, classifier)}


_MEASURES = ("accuracy women", "accuracy men", "accuracy", "found women", "found men", "AUC")


def _gains(rows: Sequence[Row]) -> list[str]:
    n = len({row["split"] for row in rows})
    lines = []
    for arm in (WOMEN, ANYBODY):
        for classifier in dict.fromkeys(row["classifier"] for row in reversed(rows)):
            own, base = (_by_split(rows, one, classifier) for one in (arm, REAL))
            gains = [
                points(
                    mean_with_interval(
                        [own[s][measure] - base[s][measure] for s in own], TEST / (1 - TEST)
                    )
                )
                for measure in _MEASURES
            ]
            lines.append([arm if classifier == "mean" else "", classifier, *gains])
    base_rows = [r for r in rows if (r["arm"], r["classifier"]) == (REAL, "mean")]
    level = [f"{100 * np.mean([r[m] for r in base_rows]):.1f}" for m in _MEASURES]
    head = [f"{n} splits: arm", "classifier", *_MEASURES]
    return table(head, [[REAL + " (level)", "mean", *level], *lines])
