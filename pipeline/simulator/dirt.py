"""The default dirt: small rates of the defects that real and v1 extracts show (registry_tables.md
1.5).

Which cell is hit depends on ids and seed only, so that a later extract repeats it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from pipeline.simulator import draw

Tables = dict[str, pl.DataFrame]

# table, key, column, share of the filled cells hit, new text as a function of the old one
CELLS: tuple[tuple[str, str, str, float, Callable[[pl.Expr], pl.Expr]], ...] = (
    ("sim_av_tumour", "TUMOURID", "PERFORMANCESTATUS", 0.06, lambda old: old + "m"),
    ("sim_av_tumour", "TUMOURID", "CANCERCAREPLANINTENT", 0.02, lambda old: old + "m"),
    ("sim_av_tumour", "TUMOURID", "ER_STATUS", 0.01, lambda old: old + "m"),
    ("sim_av_tumour", "TUMOURID", "HER2_STATUS", 0.01, lambda old: old + "m"),
    ("sim_av_tumour", "TUMOURID", "SITE_ICD10_O2", 0.002, lambda old: pl.lit("C809")),
    ("sim_av_tumour", "TUMOURID", "GRADE", 0.0005, lambda old: pl.lit("G8")),
    ("sim_av_tumour", "TUMOURID", "QUINTILE_2019", 0.0005, lambda old: pl.lit("6")),
    ("sim_av_tumour", "TUMOURID", "AGE", 0.0003, lambda old: pl.lit("unknown")),
    ("sim_av_tumour", "TUMOURID", "DATE_FIRST_SURGERY", 0.0005, lambda old: pl.lit("1899-12-30")),
    (
        "sim_av_tumour",
        "TUMOURID",
        "DIAGNOSISDATEBEST",
        0.0002,
        lambda old: old.str.slice(0, 4) + "-13-45",
    ),
    ("sim_av_tumour", "TUMOURID", "DIAGNOSISDATEBEST", 0.002, lambda old: old + " 00:00:00"),
    ("sim_av_patient", "PATIENTID", "ETHNICITY", 0.0005, lambda old: pl.lit("Q9")),
    (
        "sim_sact_regimen",
        "MERGED_REGIMEN_ID",
        "HEIGHT_AT_START_OF_REGIMEN",
        0.005,
        lambda old: pl.lit("-1"),
    ),
    (
        "sim_sact_regimen",
        "MERGED_REGIMEN_ID",
        "HEIGHT_AT_START_OF_REGIMEN",
        0.005,
        lambda old: pl.lit("0"),
    ),
    (
        "sim_sact_regimen",
        "MERGED_REGIMEN_ID",
        "HEIGHT_AT_START_OF_REGIMEN",
        0.003,
        lambda old: (old.cast(pl.Float64) * 100).round(0).cast(pl.String),
    ),
    (
        "sim_sact_regimen",
        "MERGED_REGIMEN_ID",
        "CLINICAL_TRIAL",
        0.10,
        lambda old: old.replace_strict({"Y": "01", "N": "02"}, default=old),
    ),
    (
        "sim_sact_regimen",
        "MERGED_REGIMEN_ID",
        "CLINICAL_TRIAL",
        0.05,
        lambda old: old.str.to_lowercase(),
    ),
    (
        "sim_sact_regimen",
        "MERGED_REGIMEN_ID",
        "MAPPED_REGIMEN",
        0.005,
        lambda old: old.str.replace_all(" ", "\u00a0"),
    ),
    (
        "sim_av_gene",
        "GENEID",
        "LAB_NAME",
        0.002,
        lambda old: pl.lit("LABORATOIRE CURIE, SECTION GÉNÉTIQUE"),
    ),
    (
        "sim_rtds_episode",
        "RADIOTHERAPYEPISODEID",
        "DECISIONTOTREATDATE",
        0.004,
        lambda old: pl.lit("1899-12-30"),
    ),
    (
        "sim_rtds_exposure",
        "ATTENDID",
        "TIMEOFEXPOSURE",
        0.003,
        lambda old: pl.lit("1899-12-30 00:00:00"),
    ),
    ("sim_rtds_exposure", "ATTENDID", "TIMEOFEXPOSURE", 0.01, lambda old: pl.lit("NA")),
)
# table, its key, the foreign key that loses its parent, share of rows
ORPHANS = (
    ("sim_sact_cycle", "MERGED_CYCLE_ID", "MERGED_REGIMEN_ID", 0.0002),
    ("sim_sact_drug_detail", "MERGED_DRUG_DETAIL_ID", "MERGED_CYCLE_ID", 0.0002),
    ("sim_av_gene", "GENEID", "TUMOURID", 0.0005),
)
DUPLICATES = (("sim_av_tumour", "TUMOURID", 0.0003), ("sim_sact_cycle", "MERGED_CYCLE_ID", 0.0002))
NOBODY = 2_000_000_000  # a key that no row has
DEAD_CAUSE = 0.001  # patients alive with a cause of death


def add_dirt(tables: Tables, seed: int) -> tuple[Tables, dict[str, int]]:
    """New tables with the defects, and how many cells or rows each kind hit."""
    dirty, hits = dict(tables), {}
    for number, (name, key, column, share, change) in enumerate(CELLS):
        hit = (
            pl.Series(_coins(dirty[name][key], seed, f"dirt {number}") < share)
            & dirty[name][column].is_not_null()
        )
        old = pl.col(column).cast(pl.String)
        dirty[name] = dirty[name].with_columns(
            pl.when(hit).then(change(old)).otherwise(old).alias(column)
        )
        hits[f"{name}.{column} #{number}"] = int(hit.sum())
    for column in ("DECISIONTOTREATDATE", "TIMEOFEXPOSURE"):
        dirty["sim_rtds_combined"] = _copy_to_combined(dirty, column)
    patients = dirty["sim_av_patient"]
    hit = pl.Series(_coins(patients["PATIENTID"], seed, "cause alive") < DEAD_CAUSE) & (
        patients["VITALSTATUS"] == "A"
    )
    dirty["sim_av_patient"] = patients.with_columns(
        pl.when(hit)
        .then(pl.lit("C809"))
        .otherwise(pl.col("DEATHCAUSECODE_UNDERLYING"))
        .alias("DEATHCAUSECODE_UNDERLYING")
    )
    hits["alive with a cause of death"] = int(hit.sum())
    for name, key, parent, share in ORPHANS:
        hit = pl.Series(_coins(dirty[name][key], seed, f"orphan {name}") < share)
        dirty[name] = dirty[name].with_columns(
            pl.when(hit).then(pl.lit(NOBODY)).otherwise(pl.col(parent)).alias(parent)
        )
        hits[f"{name} orphans"] = int(hit.sum())
    for name, key, share in DUPLICATES:
        again = dirty[name].filter(
            pl.Series(_coins(dirty[name][key], seed, f"again {name}") < share)
        )
        dirty[name] = pl.concat([dirty[name], again])
        hits[f"{name} duplicates"] = again.height
    return dirty, hits


def _copy_to_combined(tables: Tables, column: str) -> pl.DataFrame:
    """COMBINED repeats what its source table says, defects included; its rows are those of the
    exposures, in the same order.
    """
    combined = tables["sim_rtds_combined"]
    if column in tables["sim_rtds_exposure"].columns:
        return combined.with_columns(tables["sim_rtds_exposure"][column])
    key = ["RADIOTHERAPYEPISODEID", "ATTENDID"]
    source = tables["sim_rtds_episode"].select(*key, column)
    return (
        combined.drop(column)
        .join(source, on=key, how="left", maintain_order="left")
        .select(combined.columns)
    )


def _coins(keys: pl.Series, seed: int, what: str) -> Any:
    if keys.dtype == pl.String:
        keys = keys.str.replace_all("[G.]", "").cast(pl.Int64)
    return draw.coins(keys.to_numpy().astype(np.int64), seed, what)
