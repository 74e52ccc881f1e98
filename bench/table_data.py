"""The public tables of the benchmark and their splits."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from pipeline import params
from pipeline.cli.tools import ingested
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

ROOT = Path(__file__).resolve().parent.parent
DATASETS = ("adult", "credit_default", "hr_attrition", "uci_heart")
HOLDOUT = 0.2
FRESH = (11, 12, 13, 14, 15)  # splits of the committed figures; settings were chosen on split 1
PEERS = 11  # the split on which peers run


def load(name: str, source: Path) -> tuple[Schema, pl.DataFrame]:
    """(declaration, every row as ingest types it, the declared columns). `source`: the folder with
    the dataset's file.

    Ingest names people without a key of their own anew each time and orders rows by name: such rows
    are sorted, so that splits are the same.
    """
    schema = read_schema(ROOT / "datasets" / f"{name}.yaml")
    with tempfile.TemporaryDirectory() as scratch:
        patients, _ = ingested(schema, source, params.load(ROOT / "params.yaml"), Path(scratch))
    rows = patients.select("patient_id", *schema.patients)
    has_key = any(table.key for table in schema.tables.values())
    return schema, rows if has_key else rows.sort(*schema.patients)


def split(rows: pl.DataFrame, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(training rows, holdout), 80 to 20."""
    order = np.random.default_rng(seed).permutation(len(rows))
    n_holdout = int(len(rows) * HOLDOUT)
    return rows[order[n_holdout:]], rows[order[:n_holdout]]
