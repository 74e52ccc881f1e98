"""Rows for the arms of an experiment: fits of one training table, and what is drawn from them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from pipeline import params
from pipeline.catalog import project_root
from pipeline.draw_plan import DrawPlan
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Schema

DELTA = 1e-6
TEST = 0.3  # of the rows of a split
# noise of a hundredth of epsilon 10: what the model itself costs, without privacy to speak of
NO_PRIVACY = 1000.0
EPSILONS = (1.0, 3.0, 10.0, NO_PRIVACY)


def epsilon_words(epsilon: float) -> str:
    return "no privacy" if epsilon == NO_PRIVACY else f"epsilon {epsilon:g}"


def runs_of(
    name: str, sets: Sequence[str], splits: int, epsilons: Sequence[float]
) -> list[dict[str, Any]]:
    """What is to be done: one fit each."""
    return [
        {"experiment": name, "set": one, "split": seed, "epsilon": epsilon}
        for seed in range(1, splits + 1)
        for one in sets
        for epsilon in epsilons
    ]


class Model(Protocol):
    """What a `Synthesizer` does here."""

    def sample(
        self, n: int, seed: int, partition_rows: int, plan: DrawPlan | None = None
    ) -> Iterator[PatientLog]: ...


def model_of(schema: Schema, rows: pl.DataFrame, epsilon: float) -> Model:
    """The default model of these rows, as for a population of their order of magnitude."""
    from pipeline.restricted.train import fit_public

    population = replace(schema.population, nominal_size=max(len(rows), 1), kind="public")
    settings = params.load(project_root() / "params.yaml").train
    with tempfile.TemporaryDirectory() as folder:
        return fit_public(
            replace(schema, population=population),
            rows,
            None,
            epsilon,
            min(DELTA, 0.1 / max(len(rows), 1)),
            settings,
            Path(folder) / "model",
        )


def synthetic(model: Model, n: int, seed: int, plan: DrawPlan | None = None) -> pl.DataFrame:
    """n static rows without ids."""
    [log] = model.sample(n, seed, max(n, 1), plan=plan)
    return log.patients.drop(ID)


def with_synthetic(
    real: pl.DataFrame, model: Model, n: int, seed: int, plan: DrawPlan | None = None
) -> pl.DataFrame:
    """The real rows, which have no ids, and n synthetic ones below them."""
    rows = synthetic(model, n, seed, plan).select(real.columns)
    return pl.concat([real, rows.cast(dict(zip(real.columns, real.dtypes, strict=True)))])


def split(rows: pl.DataFrame, by: list[str], share: float, seed: int) -> tuple[pl.DataFrame, ...]:
    """(training rows, test rows), a share of each combination of `by` in the test."""
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=seed)
    place = pl.int_range(pl.len()).over(by)
    is_test = place < (pl.len().over(by) * share).round()
    return shuffled.filter(~is_test), shuffled.filter(is_test)
