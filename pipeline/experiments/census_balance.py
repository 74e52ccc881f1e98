"""census-balance: Adult with race, income and sex balanced together by synthetic rows: accuracy and
equal opportunity by group, beside as many synthetic rows that are not balanced.
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
from pipeline.plan_slices import breaches
from pipeline.schema.patient_log import ID

NAME, SET = "census-balance", "adult"
SPLITS = 3
TRAIN = 10_000  # real rows that are trained on
BALANCE = ("race", "income", "sex")
REAL, EVEN, OWN = "real rows", "with as many balanced synthetic rows", "with as many synthetic rows"

ARMS = (REAL, EVEN, OWN)
PLOTTED = ("accuracy", "gap in accuracy", "gap in found")


def runs(tables: Sequence[PublicTable], splits: int, epsilons: Sequence[float]) -> list[Row]:
    return runs_of(NAME, [SET], splits, epsilons)


def run(tables: Sequence[PublicTable], facts: Row) -> Iterator[Row]:
    """One split at one epsilon: the real rows alone, with balanced ones, with unbalanced ones."""
    [adult] = [one for one in tables if one.schema.dataset == SET]
    train, test = split(adult.rows, ["sex", adult.target], TEST, facts["split"])
    train = train.head(TRAIN)
    model = model_of(adult.schema, train, facts["epsilon"])
    plan = plan_of({"shares": [{"columns": list(BALANCE), "even": True}]})
    real = train.drop(ID)
    arms = {
        REAL: real,
        EVEN: with_synthetic(real, model, len(real), facts["split"], plan),
        OWN: with_synthetic(real, model, len(real), facts["split"], DrawPlan()),
    }
    off = breaches(adult.schema, plan, arms[EVEN].tail(len(real)))
    assert not off, off
    groups = _groups(test)
    truth = truth_of(adult.schema, adult.target, test)
    for arm, rows in arms.items():
        scores = measures(truth, predictions(adult.schema, adult.target, rows, test), groups)
        for classifier, values in (*scores.items(), ("mean", averages(scores))):
            yield {**facts, "arm": arm, "classifier": classifier, **values, **_gaps(values)}


def _groups(test: pl.DataFrame) -> dict[str, np.ndarray]:
    groups = {}
    for race in ("White", "Black", "other races"):
        for sex in ("Male", "Female"):
            own = pl.col("race").cast(pl.String)
            is_race = ~own.is_in(["White", "Black"]) if race == "other races" else own == race
            is_in = is_race & (pl.col("sex").cast(pl.String) == sex)
            groups[f"{race}, {sex}"] = test.select(is_in.fill_null(False)).to_series().to_numpy()
    return groups


def _gaps(values: dict[str, float]) -> dict[str, float]:
    """Between the best and the worst group."""
    recalls = [value for name, value in values.items() if name.startswith("found ")]
    right = [value for name, value in values.items() if name.startswith("accuracy ")]
    return {
        "gap in found": float(np.nanmax(recalls) - np.nanmin(recalls)),
        "gap in accuracy": float(np.nanmax(right) - np.nanmin(right)),
    }


def summary(results: Results) -> list[str]:
    """Markdown: levels and gains of the mean of six classifiers."""
    lines = [
        f"### {NAME}",
        "",
        f"{TRAIN:,} real rows and as many synthetic ones, {' x '.join(BALANCE)} balanced together;"
        " the mean of six classifiers. *Found*: the share of those with a high income who are found"
        " (equal opportunity); *gap*: between the best and the worst of six groups. Real rows: the"
        " level; the others: gain in points over them, 95% over splits in brackets.",
        "",
    ]
    rows = [row for row in results.select(experiment=NAME) if row["classifier"] == "mean"]
    if not rows:
        return []
    names = ["accuracy", "AUC", "gap in accuracy", "gap in found"]
    names += sorted(name for name in rows[0] if name.startswith("found "))
    body = []
    for epsilon in EPSILONS:
        here = [row for row in rows if row["epsilon"] == epsilon]
        base = {row["split"]: row for row in here if row["arm"] == REAL}
        for arm in ARMS if here else ():
            own = {row["split"]: row for row in here if row["arm"] == arm}
            body.append([epsilon_words(epsilon), arm, *(_cell(own, base, n, arm) for n in names)])
    n = len({row["split"] for row in rows})
    return [*lines, *table([f"splits: {n}", "arm", *names], body), ""]


def _cell(own: dict[int, Row], base: dict[int, Row], name: str, arm: str) -> str:
    if arm == REAL:
        return f"{100 * np.nanmean([row[name] for row in own.values()]):.1f}"
    gains = [own[split][name] - base[split][name] for split in own]
    return points(mean_with_interval(gains, TEST / (1 - TEST)))
