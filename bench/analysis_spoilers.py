"""Spoiled copies of a log of simulated patients: each with one fault that some of the standard
analyses must see (analysis_calibration.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from bench.pathway_data import EXTRACT
from pipeline.schema.patient_log import ID, PatientLog

STRETCH = 1.2
SITE = "Colon"  # whose treatments are swapped
ASIAN = ("H", "J", "K", "L", "R")


@dataclass(frozen=True)
class Spoiler:
    """must_fail: analyses of which a finding has to fail; none: all of them should pass."""

    name: str
    make: Callable[[PatientLog], PatientLog]
    must_fail: tuple[str, ...]


def columns_shuffled(log: PatientLog) -> PatientLog:
    """Each static column in an order of its own: right one by one, wrong together."""
    rng = np.random.default_rng(1)
    columns = [
        log.patients[name].gather(rng.permutation(len(log.patients)))
        for name in log.patients.columns
        if name != ID
    ]
    return PatientLog(log.patients.select(ID).with_columns(columns), log.events)


def deaths_later(log: PatientLog) -> PatientLog:
    """Deaths after 1.2 times as many days; who would die after the extract date lives on it."""
    last = (pl.lit(EXTRACT) - pl.col("DIAGNOSISDATEBEST")).dt.total_days().cast(pl.Int32)
    day = (pl.col("day") * STRETCH).cast(pl.Int32)
    is_death = pl.col("type") == "DEATH"
    lives = is_death & (day > pl.col("last"))
    events = (
        log.pathways.join(
            log.patients.select(ID, last=last), on=ID, how="left", maintain_order="left"
        )
        .with_columns(
            day=pl.when(lives)
            .then(pl.max_horizontal("last", "day"))
            .when(is_death)
            .then(day)
            .otherwise("day"),
            type=pl.when(lives).then(pl.lit("CENSOR")).otherwise("type"),
            code=pl.when(lives).then(pl.lit("A")).otherwise("code"),
        )
        .drop("last")
    )
    return PatientLog(log.patients, events)


def treatments_swapped(log: PatientLog) -> PatientLog:
    """Surgery is drugs and drugs are surgery, for one site."""
    swap = {"SURGERY": "SACT_REGIMEN", "SACT_REGIMEN": "SURGERY"}
    of_site = log.patients.select(ID, inside=pl.col("SITE_GROUP").eq(SITE))
    kind = pl.when("inside").then(pl.col("type").replace(swap)).otherwise("type")
    events = (
        log.pathways.join(of_site, on=ID, how="left", maintain_order="left")
        .with_columns(code=pl.when(kind == pl.col("type")).then("code"), type=kind)
        .drop("inside")
    )
    return PatientLog(log.patients, events)


def minority_dropped(log: PatientLog) -> PatientLog:
    return log.of(log.patients.filter(~pl.col("ETHNICITY").is_in(ASIAN).fill_null(False)))


def oldest_dropped(log: PatientLog) -> PatientLog:
    return log.of(log.patients.filter(pl.col("AGE") < 80))


def copies(log: PatientLog) -> PatientLog:
    """Copies of real patients are for the attacks to see: every analysis comes out the same."""
    return log


SPOILERS: Mapping[str, Spoiler] = {
    spoiler.name: spoiler
    for spoiler in (
        Spoiler("columns shuffled", columns_shuffled, ("A3", "A4", "A11", "A13", "A14", "A26")),
        Spoiler("deaths 20% later", deaths_later, ("A9",)),
        Spoiler("treatments of one site swapped", treatments_swapped, ("A13",)),
        Spoiler("an ethnic group dropped", minority_dropped, ("A28",)),
        Spoiler("patients of 80 and over dropped", oldest_dropped, ("A2", "A7", "A28")),
        Spoiler("copies of real patients", copies, ()),
    )
}
