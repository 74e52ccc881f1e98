"""The public tables of the experiments: four from files, three that Python packages ship."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import pandas as pd
import polars as pl

from pipeline import params
from pipeline.catalog import project_root
from pipeline.refusal import Refusal
from pipeline.schema.patient_log import ID
from pipeline.schema.values import Schema


@dataclass(frozen=True)
class PublicTable:
    """`rows`: as ingest types them, sorted, so that splits are the same everywhere."""

    schema: Schema
    rows: pl.DataFrame

    @property
    def target(self) -> str:
        return self.schema.targets[0]


def _fair() -> pd.DataFrame:
    """Fair's survey of 1974 (6,366 women), whether there was an affair."""
    from statsmodels.datasets import fair

    frame = fair.load_pandas().data
    return frame.assign(affair=(frame.pop("affairs") > 0).map({True: "yes", False: "no"}))


def _randhie() -> pd.DataFrame:
    """The RAND health insurance experiment (20,190 person-years), whether there were more than two
    visits to a doctor.
    """
    from statsmodels.datasets import randhie

    frame = randhie.load_pandas().data
    return frame.assign(often=(frame.pop("mdvis") > 2).map({True: "yes", False: "no"}))


def _breast_cancer() -> pd.DataFrame:
    """Wisconsin diagnostic breast cancer (569 tumours), whether malignant."""
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer(as_frame=True)
    frame = bunch.data.rename(columns=lambda name: name.replace(" ", "_"))
    return frame.assign(malignant=bunch.target.map({0: "yes", 1: "no"}))


# name -> what makes its table from an installed package
PACKAGES: Mapping[str, Callable[[], pd.DataFrame]] = MappingProxyType(
    {"fair": _fair, "randhie": _randhie, "breast_cancer": _breast_cancer}
)
DECLARATIONS = Path(__file__).parent / "declarations"  # of the tables of packages
FILES = ("adult", "credit_default", "hr_attrition", "uci_heart")


def public_table(name: str, data: Path | None) -> PublicTable:
    """The table `name`. data: a folder that holds each file of the four public tables, at any
    depth. Raises Refusal where it is not there.
    """
    if name not in (*FILES, *PACKAGES):
        raise Refusal(f"no table {name}; there are {', '.join((*FILES, *PACKAGES))}")
    return _table(name, data)


@cache
def _table(name: str, data: Path | None) -> PublicTable:
    from pipeline.restricted.public_source import ingested
    from pipeline.schema.reader import read_schema

    ours = project_root() / "datasets" / f"{name}.yaml"
    schema = read_schema(ours if ours.is_file() else DECLARATIONS / ours.name)
    settings = params.load(project_root() / "params.yaml")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        source = _source(name, schema, data, scratch)
        patients, _ = ingested(schema, source, settings, scratch / "run")
    rows = (
        patients.drop(ID)
        .sort(*schema.patients)
        .select(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(ID), pl.all())
    )
    return PublicTable(schema, rows)


def _source(name: str, schema: Schema, data: Path | None, scratch: Path) -> Path:
    file = next(iter(schema.tables.values())).file
    if name in PACKAGES:
        (scratch / "source").mkdir()
        PACKAGES[name]().to_csv(scratch / "source" / f"{file}.csv", index=False)
        return scratch / "source"
    paths = sorted(data.rglob(f"{file}.csv*")) if data is not None else []
    if not paths:
        raise Refusal(
            f"{name} needs the file {file}.csv, which is not below {data or '--data FOLDER'}:"
            f" docs/experiments.md says where it is published; or leave it out by --sets"
        )
    return paths[0]
