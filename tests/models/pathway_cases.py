"""Small declarations and logs for the tests of the pathway model."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta

import numpy as np
import polars as pl

from pipeline.schema.values import (
    Column,
    CountedTable,
    Deadline,
    EventLog,
    EventType,
    LegalCodes,
    Population,
    Schema,
    freeze,
)


def column(name: str, categories: tuple[str, ...] = (), **fields) -> Column:
    return Column(
        name=name, kind=fields.pop("kind", "categorical"), categories=categories, **fields
    )


def schema_of(
    log: EventLog | None, patients: tuple[Column, ...] = (), nominal_size: int = 2000, **fields
) -> Schema:
    patients = patients or (
        column("site", ("breast", "colon", "lung")),
        column("stage", ("1", "2", "3"), nullable=True),
        column("age", kind="continuous", lower=0, upper=110),
        column("diagnosed", kind="date", lower=15000, upper=18000),
    )
    population = Population(
        name="toy",
        universe="toy",
        kind="simulated",
        nominal_size=nominal_size,
        epsilon=10,
        delta=1e-6,
        ceiling_epsilon=20,
    )
    return Schema(
        dataset="toy",
        title="Toy",
        source="tests",
        public=True,
        layout="log",
        population=population,
        tables=freeze({}),
        patients=freeze({c.name: c for c in patients}),
        events=log,
        implications=(),
        targets=(),
        quasi_identifiers=(),
        strata=fields.pop("strata", ("site", "stage")),
        **fields,
    )


def toy_log(**changes) -> EventLog:
    """Referral, diagnosis at day 0, surgery by site, regimens with cycles, death or the end of
    observation.
    """
    kinds = (
        EventType(name="REFERRAL", at_most=1),
        EventType(name="DIAGNOSIS"),
        EventType(name="SURGERY", codes=("mastectomy", "colectomy", "biopsy"), at_most=3),
        EventType(name="REGIMEN", codes=("A", "B"), attributes=("intent",)),
        EventType(name="CYCLE", inside="REGIMEN"),
        EventType(name="REGIMEN_END", closes="REGIMEN", attributes=("dose",)),
        EventType(name="DEATH", terminal=True),
        EventType(name="CENSOR", codes=("A", "X"), terminal=True),
    )
    fields = {
        "origin": "diagnosed",
        "anchor": "DIAGNOSIS",
        "max_events": 14,
        "first": ("REFERRAL", "DIAGNOSIS"),
        "types": freeze({kind.name: kind for kind in kinds}),
        "attributes": freeze(
            {
                "intent": column("intent", ("curative", "palliative"), nullable=True),
                "dose": column("dose", kind="continuous", lower=0, upper=10, decimals=1),
            }
        ),
        "legal_codes": (
            LegalCodes(
                type="SURGERY",
                given="site",
                allowed={"breast": ("mastectomy", "biopsy"), "colon": ("colectomy", "biopsy")},
            ),
        ),
        "deadlines": (Deadline(event="DIAGNOSIS", after=("REFERRAL",), days=100),),
        "gap_edges": (0, 1, 2, 4, 7, 8, 14, 15, 21, 22, 28, 29, 60, 120, 365, 1000),
        "lower_day": -200,
        "upper_day": 2000,
    }
    return EventLog(**(fields | changes))


def toy_schema(nominal_size: int = 2000, **changes) -> Schema:
    return schema_of(toy_log(**changes), nominal_size=nominal_size)


def counting_little(schema: Schema) -> Schema:
    """The same with one declared table: the model then chooses none of its own, and the network
    learns everything from gradients.
    """
    assert schema.events is not None
    little = (CountedTable(parts=("survival",)),)
    return dataclasses.replace(schema, events=dataclasses.replace(schema.events, counted=little))


def toy_patients(n: int, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    stage = rng.choice(np.array(["1", "2", "3", None], dtype=object), n, p=[0.4, 0.3, 0.2, 0.1])
    return pl.DataFrame(
        {
            "patient_id": np.arange(1, n + 1),
            "site": rng.choice(["breast", "colon", "lung"], n, p=[0.5, 0.3, 0.2]),
            "stage": pl.Series(stage.tolist(), dtype=pl.String),
            "age": rng.integers(30, 95, n),
            "diagnosed": [
                date(2012, 1, 1) + timedelta(days=int(d)) for d in rng.integers(0, 1500, n)
            ],
        }
    )


def toy_events(patients: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    """A legal log with structure to learn: surgery for stage 1 and 2, regimens with three-weekly
    cycles for the others, early death late.
    """
    rng = np.random.default_rng(seed)
    rows: list[tuple] = []
    for patient, site, stage in patients.select("patient_id", "site", "stage").iter_rows():
        log: list[tuple] = []
        if rng.random() < 0.7:
            log.append((-int(rng.integers(5, 60)), "REFERRAL", None, None, None))
        log.append((0, "DIAGNOSIS", None, None, None))
        day = 0
        if stage in ("1", "2") and site != "lung":
            day = int(rng.integers(20, 40))
            log.append(
                (day, "SURGERY", {"breast": "mastectomy", "colon": "colectomy"}[site], None, None)
            )
        if stage != "1":
            day += int(rng.integers(14, 30))
            log.append(
                (
                    day,
                    "REGIMEN",
                    "A" if site == "breast" else "B",
                    "palliative" if stage == "3" else "curative",
                    None,
                )
            )
            for _ in range(int(rng.integers(2, 5))):
                log.append((day, "CYCLE", None, None, None))
                day += 21
            log.append((day, "REGIMEN_END", None, None, float(rng.choice([0.0, 5.0]))))
        if stage == "3":
            log.append((min(day + int(rng.integers(30, 300)), 2000), "DEATH", None, None, None))
        else:
            log.append((min(day + int(rng.integers(400, 1500)), 2000), "CENSOR", "A", None, None))
        rows += [(patient, seq, *event) for seq, event in enumerate(log)]
    return pl.DataFrame(
        rows,
        orient="row",
        schema={
            "patient_id": pl.Int64,
            "seq": pl.Int32,
            "day": pl.Int32,
            "type": pl.String,
            "code": pl.String,
            "intent": pl.String,
            "dose": pl.Float64,
        },
    )
