"""Cohorts compose in parallel only because nobody ever moves between them (privacy_rules.md 16):
two extracts that try to move people.
"""

from __future__ import annotations

import csv
import random
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from audit.findings import Check, Finding
from pipeline import params
from pipeline.catalog import Workspace, project_root
from pipeline.environment import at_home
from pipeline.restricted.ingest import stage
from pipeline.schema.patient_log import ID
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

EARLY, LATE = "early", "late"
DECLARATION = """\
dataset: audit_cohorts
title: Invented people, in two cohorts by the day on which they joined
source: made up by audit/cohorts.py
public: true
population:
  name: audit_cohorts
  universe: nobody
  kind: public
  nominal_size: 200
  epsilon: 3.0
  delta: 1.0e-6
  ceiling_epsilon: 3.0
  cohorts: {column: joined, starts: {early: 2012-01-01, late: 2014-01-01}}
tables:
  people:
    file: people
    key: [id]
    patient: id
    columns:
      id: {kind: id, role: key}
      joined: {kind: date, lower: 2012-01-01, upper: 2015-12-31, nullable: true, source: made up}
"""
N_PEOPLE, N_NEW = 120, 40


def _check(folder: Path) -> Finding:
    """Everybody's day changes between two extracts, and some are new. One release opens the early
    cohort of both, one the late: nobody is in both.
    """
    with at_home(folder / "home"):
        (folder / "home").mkdir(parents=True)
        declared_at = folder / "audit_cohorts.yaml"
        declared_at.write_text(DECLARATION, encoding="utf-8")
        schema, chance = read_schema(declared_at), random.Random(5)
        opened: dict[str, list[set[int]]] = {EARLY: [], LATE: []}
        for number, n_people in enumerate((N_PEOPLE, N_PEOPLE + N_NEW)):
            source = _write(folder / f"source-{number}" / "people.csv", n_people, chance)
            for cohort, releases in opened.items():
                releases.append(_ids(folder / f"run-{number}-{cohort}", source, schema, cohort))
    return _judge(opened)


def _judge(opened: dict[str, list[set[int]]]) -> Finding:
    everybody = {cohort: set().union(*releases) for cohort, releases in opened.items()}
    moved = everybody[EARLY] & everybody[LATE]
    forgotten = sum(len(first - second) for first, second in opened.values())
    missing = N_PEOPLE + N_NEW - len(everybody[EARLY] | everybody[LATE])
    sizes = [len(second) for _, second in opened.values()]
    holds = not moved and not forgotten and not missing and min(sizes) > 0
    return Finding(
        holds=holds,
        message=(
            f"of {N_PEOPLE + N_NEW} people in cohorts of {sizes[0]} and {sizes[1]} whose column"
            f" changed, {len(moved)} were opened in both cohorts, {forgotten} left theirs,"
            f" {missing} were in none"
        ),
        figures={
            "people": N_PEOPLE + N_NEW,
            "moved": len(moved),
            "left": forgotten,
            "missing": missing,
        },
    )


def _write(path: Path, n_people: int, chance: random.Random) -> Path:
    """People 0 to n - 1, each with a random day or none: a registry that corrects itself."""
    path.parent.mkdir(parents=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "joined"])
        for number in range(n_people):
            writer.writerow(
                [
                    number,
                    (
                        ""
                        if chance.random() < 0.1
                        else date(2012, 1, 1) + timedelta(days=chance.randrange(1400))
                    ),
                ]
            )
    return path.parent


def _ids(folder: Path, source: Path, schema: Schema, cohort: str) -> set[int]:
    """Whom a release of one cohort opens, held out or not."""
    settings = params.load(project_root() / "params.yaml")
    release = replace(
        settings.release, dataset=schema.dataset, source=str(source), cohorts=(cohort,)
    )
    workspace = Workspace(folder)
    stage.run(workspace, replace(settings, release=release), schema)
    parts = (workspace.restricted.patients, workspace.restricted.holdout_patients)
    return set(pl.concat([pl.read_parquet(part) for part in parts])[ID].to_list())


CHECKS = (
    Check(
        name="nobody moves between cohorts",
        family="stability",
        run=_check,
        asks="a patient's cohort is fixed at first sight, whatever later extracts say",
    ),
)
