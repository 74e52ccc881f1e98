"""Invented extracts with canaries: some patients that surely are in, and some of whom each is in by
a coin. No real person is anywhere in them.

The canaries are drawn evenly over the public domains, and their pathways from an untrained network,
so that they stand in cells and use codes where few others are. Those surely in are of few kinds,
several alike: then the auditor can tell what their Poisson samples do. Clip norms are small, so
that every gradient is clipped and a forgotten clip shows; eight steps at chance one half leave
hardly a canary unsampled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

import numpy as np
import polars as pl

from pipeline.adapters import to_log
from pipeline.catalog import project_root
from pipeline.models.pathway.draw.model import new_model
from pipeline.models.synthesizer.plan import joint_plan
from pipeline.models.table.domain.encode import Domain, column_domain
from pipeline.params import PrivacyParams, TrainParams
from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Column, CountedTable, Schema, freeze
from pipeline.simulator.latent import draw_lifetimes
from pipeline.simulator.simulate import registry_tables
from pipeline.simulator.view import view

EXTRACT = date(2022, 12, 31)
LEAVES = 64  # cells of a numeric column that a canary may lie in
APART = 10**12  # between the ids of two copies of a patient
FEW_COLUMNS = (
    "SITE_GROUP",
    "SITE_ICD10_O2_3CHAR",
    "GENDER",
    "AGE",
    "QUINTILE_2019",
    "FINAL_ROUTE",
    "STAGE_GROUP",
    "DIAGNOSISDATEBEST",
)
FEW_TABLES = (
    ("SITE_GROUP", "combination"),
    ("STAGE_GROUP", "survival", "end"),
    ("SITE_GROUP", "wait"),
    ("AGE", "survival", "end"),
    ("QUINTILE_2019", "length"),
    ("SITE_GROUP", "STAGE_GROUP", "combination"),
    ("SITE_GROUP", "first SACT_REGIMEN"),
)


@dataclass(frozen=True, eq=False)
class Invented:
    """`copies` patients of each row of `kinds` are in; canary i is in by coin i. Events are None
    for a dataset without.
    """

    schema: Schema
    train: TrainParams
    kinds: pl.DataFrame
    kind_events: pl.DataFrame | None
    copies: int
    canaries: pl.DataFrame
    canary_events: pl.DataFrame | None

    def extract(self, included: np.ndarray) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """(patients, events) as ingest would hand them to training. included: bool [canaries]."""
        inside = self.canaries.filter(pl.Series(included))
        patients = pl.concat([_copies(self.kinds, self.copies), inside])
        if self.kind_events is None or self.canary_events is None:
            return patients, None
        return patients, pl.concat(
            [
                _copies(self.kind_events, self.copies),
                self.canary_events.join(inside.select(ID), on=ID, how="semi"),
            ]
        )

    def everybody(self) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """(patients, events) of every canary, then one of each kind: what the auditor knows."""
        patients = pl.concat([self.canaries, self.kinds])
        if self.kind_events is None or self.canary_events is None:
            return patients, None
        return patients, pl.concat([self.canary_events, self.kind_events])


def tables(
    n_canaries: int, rng: np.random.Generator, *, kinds: int = 100, copies: int = 100
) -> Invented:
    """Invented people in the columns of UCI Adult, with a critic; the population is declared as
    large as the extract.
    """
    schema = read_schema(project_root() / "datasets" / "adult.yaml")
    size = kinds * copies
    schema = replace(
        schema, population=replace(schema.population, kind="simulated", nominal_size=size)
    )
    train = TrainParams(
        shares={"table": 1.0, "pathway": 1.0},
        pathway={},
        device="cpu",
        checkpoint_steps=50,
        table={
            "codes": 60,
            "steps": 20,
            "first_steps": 20,
            "max_bins": 32,
            "engine": "dp-ctgan",
            "network_steps": 5,
            "critic_share": 0.3,
            "critic_steps": 8,
            "critic_batch": size // 2,
            "critic_width": 32,
            "critic_clip_norm": 0.01,
            "critic_weight_limit": 0.5,
            "critic_learning_rate": 1e-4,
        },
    )
    rows = _numbered(_draw_rows(schema, n_canaries + kinds, rng))
    return Invented(schema, train, rows.tail(kinds), None, copies, rows.head(n_canaries), None)


def sequences(
    n_canaries: int,
    rng: np.random.Generator,
    *,
    kinds: int = 150,
    copies: int = 15,
    whole: bool = False,
) -> Invented:
    """Patients of the source simulator; canaries whose rows and pathways follow no pattern.

    whole: every column and every counted table of the declaration; else few of them, for a quick
        audit.
    """
    schema = read_schema(project_root() / "datasets" / "simulated_pathways.yaml")
    size = kinds * copies
    schema = replace(
        schema if whole else _few(schema),
        population=replace(schema.population, nominal_size=size),
    )
    train = _train_params(size)
    log = _simulate(schema, kinds, int(rng.integers(2**31)))
    canaries = _draw_canaries(schema, train, n_canaries, rng, like=log)
    return Invented(
        schema,
        train,
        log.patients.select(canaries.patients.columns),
        log.pathways,
        copies,
        canaries.patients,
        canaries.pathways,
    )


# the worst case of who else is there costs least: nearly nobody
FEW_OTHERS: dict[str, Callable[[int, np.random.Generator], Invented]] = {
    "tables": partial(tables, kinds=20, copies=10),
    "sequences": partial(sequences, kinds=20, copies=10),
}


def _train_params(size: int) -> TrainParams:
    """A short training on pathways, in batches of half the extract."""
    return TrainParams(
        shares={"table": 0.2, "pathway": 0.8},
        table={"codes": 60, "steps": 20, "first_steps": 20, "max_bins": 8},
        device="cpu",
        checkpoint_steps=50,
        pathway={
            "steps": 8,
            "expected_batch_size": size // 2,
            "l2_clip_norm": 0.1,
            "width": 8,
            "calibration_share": 0.5,
            "passes": 0,
            "calibration_patients": 200,
        },
    )


def _simulate(schema: Schema, n: int, seed: int) -> PatientLog:
    lifetimes = draw_lifetimes(n, seed, lambda text: None)
    return to_log(schema, registry_tables(view(lifetimes, EXTRACT), 1)).log


def _draw_canaries(
    schema: Schema, train: TrainParams, n: int, rng: np.random.Generator, *, like: PatientLog
) -> PatientLog:
    """Canaries with pathways of an untrained network. like: a log whose column types they get."""
    plan = joint_plan(schema, PrivacyParams(epsilon=1.0, delta=1e-6), train, EXTRACT)
    assert plan.pathway is not None
    names = (ID, *(column.name for column in schema.patients.values() if column.is_modelled))
    rows = _numbered(_draw_rows(schema, n, rng))
    patients = rows.select(pl.col(name).cast(like.patients.schema[name]) for name in names)
    events = new_model(schema, plan.pathway).sample(patients, rng)
    return PatientLog(
        patients, events.select(pl.col(name).cast(t) for name, t in like.pathways.schema.items())
    )


def _few(schema: Schema) -> Schema:
    """Few columns, few counted tables, and the rules of events that need no other column."""
    log, few = schema.events, set(FEW_COLUMNS)
    assert log is not None
    columns = {
        name: column if name in few else replace(column, role="carried")
        for name, column in schema.patients.items()
    }
    return replace(
        schema,
        patients=freeze(columns),
        events=replace(
            log,
            counted=tuple(CountedTable(parts=parts) for parts in FEW_TABLES),
            legal_codes=tuple(rule for rule in log.legal_codes if rule.given in few),
            exclusions=tuple(rule for rule in log.exclusions if set(rule.group) <= few),
            deadlines=tuple(rule for rule in log.deadlines if set(rule.group or ()) <= few),
        ),
    )


def _copies(frame: pl.DataFrame, copies: int) -> pl.DataFrame:
    return pl.concat([frame.with_columns(pl.col(ID) + number * APART) for number in range(copies)])


def _numbered(rows: pl.DataFrame) -> pl.DataFrame:
    """Ids that no simulated patient has."""
    return rows.select(
        pl.int_range(APART // 2, APART // 2 + pl.len(), dtype=pl.Int64).alias(ID), pl.all()
    )


def _draw_rows(schema: Schema, n: int, rng: np.random.Generator) -> pl.DataFrame:
    """n rows of the modelled columns, every column evenly over its public cells, and each by
    itself.
    """
    return pl.DataFrame(
        [
            _column(column, column_domain(column, LEAVES), n, rng)
            for column in schema.patients.values()
            if column.is_modelled
        ]
    )


def _column(column: Column, cells: Domain, n: int, rng: np.random.Generator) -> pl.Series:
    cell = rng.integers(cells.size, size=n)
    if not cells.is_numeric:
        return pl.Series(
            column.name, np.array(cells.labels(), dtype=object)[cell].tolist(), dtype=pl.String
        )
    leaf = cell.clip(0, cells.leaves - 1)
    values = cells.values(
        cells.starts[leaf] + np.floor(rng.random(n) * (cells.stops - cells.starts)[leaf])
    )
    for place, atom in enumerate(cells.atoms):
        values[cell == cells.leaves + place] = atom
    series = pl.Series(column.name, values)
    if cells.missing is not None:
        series = series.set(pl.Series(cell == cells.missing), None)
    return series.cast(pl.Int32).cast(pl.Date) if column.kind == "date" else series
