"""Invented patients for audits: a small declaration with everything that the models can be asked
for, and extracts that fit it or do not.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from audit.people_declaration import DATASET, DECLARATION
from pipeline import files
from pipeline.runs.source_claims import TRUTH
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

EXTRACT = date(2022, 12, 31)
PEOPLE = ("id", "sex", "site", "stage", "cost", "relapse", "joined", "left", "reason")
VISITS = ("id", "date", "kind", "code", "intent", "dose")
Row = tuple[str, ...]


@dataclass(frozen=True)
class Extract:
    """Rows as text, as a source's files hold them."""

    people: list[Row] = field(default_factory=list)
    visits: list[Row] = field(default_factory=list)

    def __add__(self, other: Extract) -> Extract:
        return Extract(self.people + other.people, self.visits + other.visits)

    def write(self, folder: Path) -> Path:
        """people.csv, visits.csv, and the mark of invented patients."""
        folder.mkdir(parents=True)
        for name, header, rows in (
            ("people", PEOPLE, self.people),
            ("visits", VISITS, self.visits),
        ):
            with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows([header, *rows])
        files.write_json(folder / TRUTH, {"invented": True})
        return folder


def schema_in(folder: Path) -> Schema:
    """The declaration, read from a file in `folder`, which is made."""
    path = folder / f"{DATASET}.yaml"
    files.write_text(path, DECLARATION)
    return read_schema(path)


def person(patient: int | str, **changes: str) -> Row:
    """A row of people.csv: an ordinary one, but for `changes`."""
    row = dict(
        zip(
            PEOPLE,
            (str(patient), "F", "breast", "2", "12.5", "no", "2014-01-10", "2016-01-10", "closed"),
            strict=True,
        )
    )
    return tuple({**row, **changes}.values())


def visit(patient: int | str, day: str, kind: str, **changes: str) -> Row:
    return tuple(
        {
            **dict(zip(VISITS, (str(patient), day, kind, "", "", ""), strict=True)),
            **changes,
        }.values()
    )


def patient_of(
    patient: int | str,
    days: Sequence[tuple[int, str, Mapping[str, str]]],
    joined: date = date(2014, 1, 10),
    **changes: str,
) -> Extract:
    """A patient with visits, each (days after joining, kind, other cells)."""
    visits = [
        visit(patient, str(joined + timedelta(days=at)), kind, **cells) for at, kind, cells in days
    ]
    return Extract(
        [
            person(
                patient,
                **{"joined": str(joined), "left": str(joined + timedelta(days=900)), **changes},
            )
        ],
        visits,
    )


def extract(n_patients: int, seed: int, first: int = 1) -> Extract:
    """Legal patients with dependence: surgery by site, regimens by stage, cycles in the rhythm of
    the regimen. Ids count from `first`.
    """
    rng, patients = np.random.default_rng(seed), Extract()
    for patient in range(first, first + n_patients):
        patients += _ordinary(patient, rng)
    return patients


def _ordinary(patient: int, rng: np.random.Generator) -> Extract:
    site, stage = (
        str(rng.choice(["breast", "colon", "lung"], p=[0.5, 0.3, 0.2])),
        str(rng.choice(["1", "2", "3", ""], p=[0.4, 0.3, 0.2, 0.1])),
    )
    days: list[tuple[int, str, Mapping[str, str]]] = [(0, "DIAGNOSIS", {})]
    if site != "lung":
        days.append(
            (
                int(rng.integers(20, 40)),
                "SURGERY",
                {"code": {"breast": "mastectomy", "colon": "colectomy"}[site]},
            )
        )
    for number in range(int(rng.integers(0, 3)) if stage != "1" else 0):
        days += _regimen(
            60 + 250 * number,
            "A" if (site == "breast") ^ (number > 0) else "B",
            int(rng.integers(1, 6)),
            rng,
        )
    return patient_of(
        patient,
        days,
        date(2012, 1, 1) + timedelta(days=int(rng.integers(0, 1400))),
        site=site,
        stage=stage,
        sex=str(rng.choice(["F", "M"])),
        relapse=str(rng.choice(["no", "yes", ""], p=[0.6, 0.3, 0.1])),
        cost=str(rng.choice([0.0, round(float(rng.lognormal(4, 1)), 1)])),
        reason=str(rng.choice(["closed", "moved"])),
    )


def _regimen(
    start: int, code: str, cycles: int, rng: np.random.Generator
) -> list[tuple[int, str, Mapping[str, str]]]:
    step = {"A": 14, "B": 21}[code]
    cycle_days: list[tuple[int, str, Mapping[str, str]]] = [
        (start + step * cycle, "CYCLE", {}) for cycle in range(cycles)
    ]
    intent = str(rng.choice(["curative", "palliative", ""]))
    return [
        (start, "REGIMEN", {"code": code, "intent": intent}),
        *cycle_days,
        (start + step * cycles, "REGIMEN_END", {"dose": str(rng.choice(["0", "5.5", ""]))}),
    ]


def odd_patients(first: int) -> dict[str, Extract]:
    """One patient of each kind that an extract should not have, under ids from `first` on. None of
    them may stop a run or move anybody else.
    """
    regimen: list[tuple[int, str, Mapping[str, str]]] = [
        (0, "DIAGNOSIS", {}),
        (30, "REGIMEN", {"code": "A"}),
    ]
    kinds = {
        "ordinary": lambda n: patient_of(n, regimen),
        "not a number": lambda n: patient_of(n, regimen, cost="nan"),
        "infinite": lambda n: patient_of(n, regimen, cost="1e400"),
        "minus infinite": lambda n: patient_of(n, regimen, cost="-inf"),
        "unknown category": lambda n: patient_of(n, regimen, site="toe"),
        "all missing": lambda n: Extract([person(n, **dict.fromkeys(PEOPLE[1:], ""))], []),
        "an invalid date": lambda n: patient_of(n, regimen, left="2016-13-45"),
        "an invalid row": lambda n: Extract([(str(n), "F")], []),
        "a duplicate id": lambda n: Extract(
            [person(n), person(n, site="colon", cost="1")], [visit(n, "2014-01-10", "DIAGNOSIS")]
        ),
        "the same row twice": lambda n: Extract(
            [person(n), person(n)], [visit(n, "2014-01-10", "DIAGNOSIS")] * 2
        ),
        "no visit": lambda n: patient_of(n, []),
        "ties": lambda n: patient_of(
            n,
            [
                (30, "SURGERY", {"code": "biopsy"}),
                (0, "DIAGNOSIS", {}),
                (30, "SURGERY", {"code": "mastectomy"}),
            ],
        ),
        "three tumours": lambda n: patient_of(
            n, [(0, "DIAGNOSIS", {}), (100, "DIAGNOSIS", {}), (200, "DIAGNOSIS", {})]
        ),
        "visits only": lambda n: Extract([], [visit(n, "2014-01-10", "DIAGNOSIS")]),
        "10,000 events": lambda n: patient_of(
            n, [*regimen, *((30 + at // 8, "CYCLE", {}) for at in range(10_000))]
        ),
    }
    return {name: make(first + number) for number, (name, make) in enumerate(kinds.items())}
