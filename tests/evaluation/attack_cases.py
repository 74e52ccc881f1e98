"""Tables and logs whose answer is known, for the tests of attacks, utility and fidelity."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import polars as pl

from pipeline.schema.patient_log import ID, PatientLog
from pipeline.schema.values import Column, EventLog, EventType

SITES = tuple(f"C{n:02}" for n in range(40))
COLUMNS = {
    "site": Column(name="site", kind="categorical", categories=SITES),
    "sex": Column(name="sex", kind="categorical", categories=("F", "M"), nullable=True),
    "age": Column(name="age", kind="continuous", lower=0, upper=110),
    "diagnosis": Column(name="diagnosis", kind="date", lower=0, upper=20_000),
    "weight": Column(name="weight", kind="continuous", lower=0, upper=300, nullable=True),
    "region": Column(name="region", kind="categorical", categories=tuple("ABCDEFGH")),
    "stage": Column(name="stage", kind="ordinal", categories=("1", "2", "3", "4")),
    "ill": Column(name="ill", kind="categorical", categories=("no", "yes")),
}
KINDS = ("DIAGNOSIS", "SURGERY", "CHEMO", "DEATH", "CENSOR")
EVENTS = EventLog(
    origin="diagnosis",
    anchor="DIAGNOSIS",
    max_events=20,
    first=("DIAGNOSIS",),
    types={name: EventType(name=name, terminal=name in KINDS[3:]) for name in KINDS},
    attributes={},
    gap_edges=(0, 1),
)


@dataclass(frozen=True)
class Toy:
    """As much of a declaration as an evaluation reads."""

    patients: dict[str, Column] = field(default_factory=lambda: dict(COLUMNS))
    events: EventLog | None = None
    targets: tuple[str, ...] = ("stage", "ill")
    quasi_identifiers: tuple[str, ...] = ("site", "sex", "age", "region")
    strata: tuple[str, ...] = ()
    equal: tuple[tuple[str, ...], ...] = ()
    implications: tuple[object, ...] = ()


TABLE, LOG = Toy(), Toy(events=EVENTS)


def patients(n: int, seed: int) -> pl.DataFrame:
    """A fresh sample of one population: stage follows age, illness follows stage."""
    random = np.random.default_rng(seed)
    age = random.normal(65, 12, n).clip(0, 110).round()
    stage = (1 + (age > 55) + (age > 75) + (random.random(n) < 0.3)).clip(1, 4)
    weight = random.normal(75, 12, n).round(1)
    return pl.DataFrame(
        {
            ID: np.arange(n) + seed * 10_000_000,
            "site": [SITES[k] for k in random.geometric(0.15, n).clip(max=40) - 1],
            "sex": np.where(random.random(n) < 0.5, "F", "M"),
            "age": age,
            "diagnosis": [
                date(2016, 1, 1) + timedelta(days=int(k)) for k in random.integers(0, 1400, n)
            ],
            "weight": weight,
            "region": random.choice(list("ABCDEFGH"), n),
            "stage": stage.astype(str),
            "ill": np.where(random.random(n) < 0.15 * stage, "yes", "no"),
        }
    ).with_columns(
        sex=pl.when(pl.lit(random.random(n)) < 0.02).then(None).otherwise("sex"),
        weight=pl.when(pl.lit(random.random(n)) < 0.2).then(None).otherwise("weight"),
    )


def log(n: int, seed: int) -> PatientLog:
    """Patients with pathways: surgery, chemotherapy in courses, and an end that follows stage."""
    people, random = patients(n, seed), np.random.default_rng(seed + 1_000_000)
    rows = []
    for key, stage in people.select(ID, "stage").iter_rows():
        day, pathway = 0, [("DIAGNOSIS", 0)]
        if stage != "4":
            day += int(random.integers(5, 90))
            pathway.append(("SURGERY", day))
        for _ in range(int(random.integers(0, 5))):
            day += int(random.integers(14, 60))
            pathway.append(("CHEMO", day))
        watch = int(random.integers(max(1500, day), 2500))
        wait = int(random.exponential(3000 / int(stage)))
        pathway.append(("DEATH", day + wait) if day + wait < watch else ("CENSOR", watch))
        rows += [(key, place, on, kind, None) for place, (kind, on) in enumerate(pathway)]
    schema = {ID: pl.Int64, "seq": pl.Int32, "day": pl.Int32, "type": pl.String, "code": pl.String}
    return PatientLog(people, pl.DataFrame(rows, schema=schema, orient="row"))


def table(n: int, seed: int) -> PatientLog:
    return PatientLog(patients(n, seed))
