"""The figures of the coverage benchmark: as an analysis of rows prints them, and as the noisy
counts of a release tell them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from lifelines import CoxPHFitter, KaplanMeierFitter

from pipeline.dp.noise import NoiseStream
from pipeline.estimates import shares, survival
from pipeline.estimates.extract import cells_of
from pipeline.estimates.values import NoisyEstimate, Z
from pipeline.evaluation import pathways
from pipeline.models.noisy_tables import NoisyTable
from pipeline.models.pathway.domain.tables import table_cells
from pipeline.models.pathway.draw.model import PathwayModel
from pipeline.models.pathway.fit.encoded_log import encode_log
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import EventLog

YEAR, FIVE_YEARS = 366, 1827  # edges of the counted spans: days
# name -> (kind, group, other group or day)
FIGURES: Mapping[str, tuple[str, dict[str, list[str]], object]] = {
    "share of women": ("share", {"GENDER": ["2"]}, None),
    "share at stage 4": ("share", {"STAGE_GROUP": ["4"]}, None),
    "share of breast cancer": ("share", {"SITE_GROUP": ["Breast"]}, None),
    "alive after 1 year": ("survival", {}, YEAR),
    "alive after 5 years": ("survival", {}, FIVE_YEARS),
    "alive after 1 year, stage 4": ("survival", {"STAGE_GROUP": ["4"]}, YEAR),
    "hazard ratio, men": ("ratio", {"GENDER": ["1"]}, {"GENDER": ["2"]}),
    "hazard ratio, stage 4 against 1": (
        "ratio",
        {"STAGE_GROUP": ["4"]},
        {"STAGE_GROUP": ["1"]},
    ),
}


@dataclass(frozen=True)
class Answer:
    """A figure as an analysis prints it, on a scale on which it is nearly normal, and the variance
    that it claims.
    """

    value: float
    variance: float


def outcomes_of(log: EventLog, sample: PatientLog) -> pl.DataFrame:
    """Static columns with `days` and `died`."""
    ends = pathways.survival(sample, log, None).drop("stratum")
    return sample.patients.join(ends, on=ID)


def analysis_of(rows: pl.DataFrame, figure: str) -> Answer:
    """The analysis of patients who are taken for real; of ratios the logarithm."""
    kind, group, other = FIGURES[figure]
    meets = pl.lit(True)
    for name, values in group.items():
        meets &= pl.col(name).is_in(values).fill_null(False)
    if kind == "share":
        share = rows.select(meets.mean()).item()
        return Answer(share, share * (1 - share) / len(rows))
    if kind == "survival":
        part = rows.filter(meets)
        fitter = KaplanMeierFitter().fit(part["days"].to_numpy(), part["died"].to_numpy())
        assert isinstance(other, int)
        at = other - 0.5
        alive = float(fitter.survival_function_at_times(at).iloc[0])
        ends = fitter.confidence_interval_survival_function_
        low, high = ends[ends.index <= at].iloc[-1]
        return Answer(alive, ((high - low) / (2 * Z)) ** 2)
    assert isinstance(other, dict)
    (name, values), (others,) = next(iter(group.items())), list(other.values())
    both = rows.filter(pl.col(name).is_in(values + others)).select(
        x=pl.col(name).is_in(values).cast(pl.Float64), days=pl.col("days") + 0.5, died="died"
    )
    cox = CoxPHFitter().fit(both.to_pandas(), "days", "died")
    return Answer(float(cox.params_["x"]), float(cox.standard_errors_["x"]) ** 2)


def estimate_of(tables: Sequence[NoisyTable], log: EventLog, figure: str) -> NoisyEstimate:
    """What `python -m pipeline estimate` says."""
    kind, group, other = FIGURES[figure]
    if kind == "share":
        return shares.share(tables, group)
    table = survival.life_table(tables, log, group)
    if kind == "survival":
        assert isinstance(other, int)
        return survival.survival(table, other)
    assert isinstance(other, dict)
    return survival.hazard_ratio(table, survival.life_table(tables, log, other))


class Counter:
    """Fresh noisy tables of any sample of a population, as a release would measure them; the cells
    of each patient are found once.
    """

    def __init__(
        self, everybody: PatientLog, tables: Sequence[NoisyTable], pathway: PathwayModel
    ) -> None:
        places = {table.name: place for place, table in enumerate(pathway.tables)}
        self._tables = [t for t in tables if t.name in places or t.name.startswith("one/")]
        encoded = encode_log(pathway.coding, everybody.patients, everybody.pathways)
        cells = table_cells(pathway.coding, pathway.tables, everybody.patients, encoded.pathways)
        self._cells = [
            cells[places[table.name]]
            if table.name in places
            else cells_of(table.axes[0], everybody.patients[table.axes[0].name])
            for table in self._tables
        ]

    def measure(self, n: int, seed: int) -> list[NoisyTable]:
        """Of n patients who are drawn with this seed; the noise is fresh."""
        noise = NoiseStream()
        rows = np.random.default_rng(seed).choice(len(self._cells[0]), n, replace=False)
        tables = []
        for table, cells in zip(self._tables, self._cells, strict=True):
            counts = np.bincount(cells[rows], minlength=table.counts.size)
            noisy = counts + noise.discrete_gaussian(table.sigma, counts.shape)
            tables.append(replace(table, counts=noisy.reshape(table.counts.shape).astype(float)))
        return tables
