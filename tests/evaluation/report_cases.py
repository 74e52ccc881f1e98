"""Contents of a report for tests: made-up figures, and patients of the source simulator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import polars as pl

from bench.pathway_data import simulate_log
from pipeline.evaluation.findings import Estimate, Finding, Risk, Verdict, verdict
from pipeline.evaluation.gate_words import GateWarning
from pipeline.evaluation.page import ReportContent
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

DATASETS = Path(__file__).parents[2] / "datasets"
NAN = math.nan


@dataclass(frozen=True)
class Figure:
    name: str
    synthetic: float
    best: float
    worst: float
    is_higher_better: bool = False
    note: str = ""


@dataclass(frozen=True)
class Model:
    target: str
    model: str
    on_real: Estimate
    on_synthetic: Estimate


@cache
def schema(name: str = "simulated_pathways") -> Schema:
    return read_schema(DATASETS / f"{name}.yaml")


@cache
def patients(seed: int, n: int = 400) -> PatientLog:
    return simulate_log(schema(), n, seed)


def estimate(value: float, width: float = 2.0) -> Estimate:
    return Estimate(value=value, low=value - width, high=value + width, n=100)


def finding(analysis: str, distance: float, *, what: str = "Breast", group: str = "") -> Finding:
    return Finding(
        analysis=analysis,
        what=what,
        measure="difference, in points",
        real=estimate(40.0),
        synthetic=estimate(42.0),
        distance=distance,
        limit=1.0,
        verdict=verdict(distance, 1.0),
        group=group,
        unit="%",
    )


def hazard(what: str, real: float, synthetic: float) -> Finding:
    return Finding(
        analysis="A11",
        what=what,
        measure="difference of logarithms",
        real=estimate(real, 0.1),
        synthetic=estimate(synthetic, 0.1),
        distance=abs(math.log(real / synthetic)),
        limit=0.5,
        verdict=Verdict.PASS,
        unit="hazard ratio",
    )


def risk(attack: str, rate: float, control: float, *, is_found: bool = False) -> Risk:
    return Risk(
        attack=attack,
        rate=estimate(rate, 0.01),
        control=estimate(control, 0.01),
        advantage=estimate(rate - control, 0.02),
        is_found=is_found,
        shows="A high figure means that people stand out.",
        cannot_show="A low figure does not prove that a better attack fails.",
        attempts=1000,
    )


def content(**changes: object) -> ReportContent:
    """A whole report on few simulated patients."""
    fields: dict = {
        "title": "Pathways <b>&",
        "release": "r1",
        "schema": schema(),
        "real": patients(1),
        "synthetic": patients(2),
        "real_name": "real (holdout)",
        "account": "<p>98% are kept.</p><table><tr><td>1</td></tr></table>",
        "warnings": (
            GateWarning(rule="clinical rule 31", words="Every row has a status.", rate=1.0),
            GateWarning(
                rule="clinical rule 29",
                words="Breast cancer of the young is frequent",
                rate=0.0123,
                allowed=(0.0, 0.005),
                rests_on_synthetic=False,
            ),
        ),
        "fidelity": (
            Figure("two-way TVD", 0.09, 0.06, 0.42),
            Figure("quality", 0.96, 0.98, 0.7, is_higher_better=True),
            Figure("odd", NAN, NAN, 0.4),
        ),
        "analyses": {"A7": "Survival curves", "A11": "Cox model"},
        "findings": (
            *(finding("A7", 0.5) for _ in range(9)),
            finding("A7", 5.0, what="Lung", group="Ethnicity: Black"),
            finding("A2", NAN),
            hazard("Stage 4", 9.0, 8.0),
        ),
        "risks": (risk("singling out", 0.12, 0.118), risk("linkage", 0.03, 0.031)),
        "utilities": (Model("STAGE_GROUP", "trees", estimate(0.7, 0.02), estimate(0.68, 0.02)),),
        "independent_pairs": (("ETHNICITY", "LATERALITY"),),
        "same_code": "<p>13 of 13 run.</p>",
        "further": {"Clinical rules 55 and 56": "<p>No copies.</p>"},
        "links": {"The gate": "gate/docs/index.html"},
    }
    return ReportContent(**(fields | changes))


def empty(log: PatientLog) -> PatientLog:
    return log.of(log.patients.head(0))


def without_values(log: PatientLog) -> PatientLog:
    """All values of the static columns missing."""
    every = pl.exclude("patient_id")
    return PatientLog(
        log.patients.with_columns(pl.when(pl.lit(value=False)).then(every)), log.events
    )
