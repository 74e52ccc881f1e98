"""Stability of a registry extract (privacy_rules.md 7): a newcomer who shares keys with another
patient, or whose rows are invalid, changes only that newcomer's rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import polars as pl

from audit import people
from audit.findings import Check, Finding
from audit.stability import FIRST, OWNING, ingest_extract, judge, moved_files
from pipeline.catalog import project_root
from pipeline.runs.source_claims import TRUTH
from pipeline.schema.patient_log import ID
from pipeline.schema.reader import read_schema
from pipeline.simulator.simulate import simulate

KEYS = ("MERGED_REGIMEN_ID", "MERGED_CYCLE_ID", "TUMOURID")


def _registry(folder: Path) -> Finding:
    """A registry extract with a newcomer who copies a treated patient: with keys of her own; with
    all keys shared; with a cell that is invalid.
    """
    simulate(120, 3, folder / "base", people.EXTRACT, clean=True, progress=lambda _: None)
    schema = read_schema(project_root() / "datasets" / "simulated_pathways.yaml")
    tables = read_tables(folder / "base")
    twin = str(tables["sim_sact_regimen"]["ENCORE_PATIENT_ID"][0])
    before = ingest_extract(schema, folder / "base", folder)
    faults = {}
    for name, own_keys, broken in (
        ("keys of her own", KEYS, None),
        ("an invalid row", KEYS, "DIAGNOSISDATEBEST"),
        ("all keys shared", (), None),
    ):
        source = with_copy(tables, twin, folder / name, own_keys, broken)
        faults[name] = moved_files(
            before,
            ingest_extract(schema, source, folder),
            own=partial(_of_newcomer, tables, twin, own_keys),
        )
    return judge(
        faults, f"{len(faults)} newcomers to a registry extract", tables["sim_av_patient"].height
    )


def read_tables(source: Path) -> dict[str, pl.DataFrame]:
    """A registry extract as text."""
    return {
        path.stem: pl.read_csv(path, infer_schema=False) for path in sorted(source.glob("*.csv"))
    }


def with_copy(
    tables: Mapping[str, pl.DataFrame],
    twin: str,
    out: Path,
    own_keys: Sequence[str] = KEYS,
    broken: str | None = None,
) -> Path:
    """Writes the extract with the twin's rows again, under the id FIRST, before and behind all
    others in turned order.

    Keys in own_keys are new, all others are shared with the twin. broken: a column that gets a date
    that there is not.
    """
    out.mkdir()
    (out / TRUTH).write_text("{}", encoding="utf-8")
    for name, rows in tables.items():
        copies = rows.filter(owned(tables, twin, rows))
        ids = [pl.lit(str(FIRST)).alias(column) for column in OWNING if column in rows.columns]
        keys = [
            (pl.lit("8") + pl.col(column).str.slice(-9)).alias(column)
            for column in own_keys
            if column in rows.columns
        ]
        invalid = [pl.lit("2016-13-45").alias(broken)] if broken in rows.columns else []
        copies = copies.with_columns(*ids, *keys, *invalid)
        pl.concat([copies.tail(1), rows.reverse(), copies.head(-1)]).write_csv(out / f"{name}.csv")
    return out


def _keys_of(tables: Mapping[str, pl.DataFrame], patient: str) -> dict[str, list[str]]:
    regimens = (
        tables["sim_sact_regimen"]
        .filter(pl.col("ENCORE_PATIENT_ID") == patient)["MERGED_REGIMEN_ID"]
        .to_list()
    )
    cycles = (
        tables["sim_sact_cycle"]
        .filter(pl.col("MERGED_REGIMEN_ID").is_in(regimens))["MERGED_CYCLE_ID"]
        .to_list()
    )
    tumours = tables["sim_av_tumour"].filter(pl.col("PATIENTID") == patient)["TUMOURID"].to_list()
    return {"MERGED_REGIMEN_ID": regimens, "MERGED_CYCLE_ID": cycles, "TUMOURID": tumours}


def owned(tables: Mapping[str, pl.DataFrame], patient: str, rows: pl.DataFrame) -> pl.Expr:
    """Rows that are the patient's by id, or by key where a table has no id."""
    keys = {**{column: [patient] for column in OWNING}, **_keys_of(tables, patient)}
    column = next(name for name in (*OWNING, *KEYS) if name in rows.columns)
    return pl.col(column).cast(pl.String).is_in(keys[column])


def _of_newcomer(
    tables: Mapping[str, pl.DataFrame],
    twin: str,
    own_keys: Sequence[str],
    name: str,
    rows: pl.DataFrame,
) -> pl.Expr:
    """The newcomer's rows in what ingest wrote. Where keys are shared, rows found through them are
    rows of both: then the twin's, too.
    """
    patients = [str(FIRST)] if own_keys else [str(FIRST), twin]
    if ID in rows.columns:
        return pl.col(ID).cast(pl.String).is_in(patients)
    keys = _keys_of(tables, twin)
    column = next(name for name in (*OWNING, *KEYS) if name in rows.columns)
    identities = (
        patients
        if column in OWNING
        else [f"8{key[-9:]}" for key in keys[column]]
        if own_keys
        else keys[column]
    )
    return pl.col(column).cast(pl.String).is_in(identities)


CHECKS: tuple[Check, ...] = (
    Check(
        name="one more in a registry",
        family="stability",
        run=_registry,
        asks=(
            "the same for a patient of a registry who shares keys with another one, or whose rows"
            " are invalid"
        ),
    ),
)
