"""A small correlated table with everything a declaration can hold: implications, atoms, dates,
decimals, missing values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipeline.dp.marginals import MeasurementStore
from pipeline.dp.noise import NoiseStream
from pipeline.dp.tape import Tape
from pipeline.draw_plan import Condition, plan_of
from pipeline.models.table.draw.model import TableModel
from pipeline.models.table.fit.fit import fit
from pipeline.models.table.plan.plan import TablePlan, plan
from pipeline.models.table.plan.settings import TableSettings
from pipeline.schema.values import Column, Implication

DAYS = (date(2015, 1, 1) - date(1970, 1, 1)).days


def simulated_columns() -> dict[str, Column]:
    return {
        column.name: column
        for column in (
            Column(name="sex", kind="categorical", categories=("F", "M")),
            Column(
                name="site",
                kind="categorical",
                categories=("breast", "prostate", "lung", "colon", "brain"),
            ),
            Column(name="stage", kind="ordinal", categories=("1", "2", "3", "4"), nullable=True),
            Column(name="spread", kind="categorical", categories=("M0", "M1"), nullable=True),
            Column(name="age", kind="continuous", lower=18, upper=100, decimals=0),
            Column(
                name="cost",
                kind="continuous",
                lower=0,
                upper=100_000,
                decimals=2,
                atoms=(0.0,),
                transform="asinh",
                scale=100.0,
            ),
            Column(name="gleason", kind="continuous", lower=2, upper=10, decimals=0, nullable=True),
            Column(name="diagnosed", kind="date", lower=DAYS, upper=DAYS + 2000),
            Column(name="relapse", kind="categorical", categories=("no", "yes"), nullable=True),
        )
    }


def simulated_implications() -> tuple[Implication, ...]:
    return (
        Implication(
            given="sex",
            then="site",
            allowed={
                "F": ("breast", "lung", "colon", "brain"),
                "M": ("prostate", "lung", "colon", "brain"),
            },
        ),
        Implication(given="site", then="stage", allowed={"brain": (None,)}),
        Implication(
            given="stage", then="spread", allowed={"4": ("M1",), "1": ("M0",), "2": ("M0",)}
        ),
        Implication(given="site", then="spread", allowed={"brain": (None,)}),
        Implication(
            given="site",
            then="gleason",
            allowed={"breast": (None,), "lung": (None,), "colon": (None,), "brain": (None,)},
        ),
    )


def simulated_rows(n: int, seed: int) -> pl.DataFrame:
    """Legal rows with dependence: site by sex, stage by site, age by site, cost by stage."""
    rng = np.random.default_rng(seed)
    female = rng.random(n) < 0.55
    site = np.where(
        female,
        rng.choice(["breast", "lung", "colon", "brain"], n, p=[0.6, 0.2, 0.15, 0.05]),
        rng.choice(["prostate", "lung", "colon", "brain"], n, p=[0.5, 0.3, 0.15, 0.05]),
    )
    stage = np.where(
        site == "lung",
        rng.choice([1, 2, 3, 4], n, p=[0.1, 0.1, 0.2, 0.6]),
        rng.choice([1, 2, 3, 4], n, p=[0.5, 0.25, 0.15, 0.1]),
    )
    brain = site == "brain"
    spread = np.where(stage == 4, "M1", np.where((stage == 3) & (rng.random(n) < 0.2), "M1", "M0"))
    age = np.clip(np.rint(rng.normal(np.where(site == "breast", 58, 71), 10)), 18, 100)
    cost = np.where(
        rng.random(n) < 0.24,
        0.0,
        np.clip(np.round(rng.lognormal(5 + 0.8 * stage, 0.7), 2), 0.01, 100_000),
    )
    gleason = np.where(site == "prostate", rng.integers(6, 11, n), -1)
    return pl.DataFrame(
        {
            "sex": np.where(female, "F", "M"),
            "site": site,
            "stage": [None if b else str(s) for b, s in zip(brain, stage, strict=True)],
            "spread": [None if b else m for b, m in zip(brain, spread, strict=True)],
            "age": age.astype(np.int64),
            "cost": cost,
            "gleason": [None if g < 0 else int(g) for g in gleason],
            "diagnosed": pl.Series(DAYS + rng.integers(0, 2001, n)).cast(pl.Int32).cast(pl.Date),
            "relapse": np.where(
                rng.random(n) < 0.1 + 0.15 * stage + 0.2 * (site == "lung"), "yes", "no"
            ),
        }
    )


@dataclass(frozen=True)
class Fitted:
    model: TableModel
    plan: TablePlan
    scale: float
    tape: Tape
    folder: Path


def run_fit(
    rows: pl.DataFrame,
    folder: Path,
    table_plan: TablePlan,
    scale: float,
    progress: Callable[[str], None] = lambda line: None,
) -> Fitted:
    tape = Tape()
    model = fit(
        rows,
        table_plan,
        scale,
        store=MeasurementStore(folder / "counts"),
        tape=tape,
        noise=NoiseStream(),
        checkpoint=folder / "critic",
        progress=progress,
        checkpoint_steps=4,
    )
    return Fitted(model, table_plan, scale, tape, folder)


def simulated_plan(nominal_size: int = 12_000, **settings: object) -> TablePlan:
    values = {"epsilon": 3.0, "codes": 400, "steps": 200, **settings}
    return plan(
        simulated_columns(),
        simulated_implications(),
        ("relapse", "sex"),
        TableSettings(**values),
        nominal_size,
    )  # type: ignore[arg-type]


def conditions(where: Mapping[str, Any]) -> Mapping[str, Condition]:
    """As a plan has them: a tuple of two is a range, a list holds values."""
    return plan_of({"where": where}).where
