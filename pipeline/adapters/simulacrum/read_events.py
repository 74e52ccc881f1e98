"""The registry's tables to events, each with the source rows it came from (`_source`, `_row`);
legality, caps and order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from pipeline.adapters.frames import (
    complete_events,
    ends_within_days,
    in_declared_order,
    within_caps,
)
from pipeline.adapters.simulacrum.code_tables import schedules
from pipeline.adapters.simulacrum.names import (
    EPISODE,
    GENE,
    ORIGIN,
    PATIENT,
    PRESCRIPTION,
    SITE,
    TUMOUR,
    TUMOURS_PER_PATIENT,
    WAITING,
    cause_group,
    decision_band,
)
from pipeline.adapters.simulacrum.place import keep, legal, placed
from pipeline.adapters.simulacrum.read_patients import ranked_tumours
from pipeline.adapters.simulacrum.read_sact import sact_events
from pipeline.schema.code_relations import stage_group
from pipeline.schema.patient_log import ID
from pipeline.schema.values import Schema

Tables = Mapping[str, pl.DataFrame]


@dataclass(frozen=True)
class Pathways:
    """The event log, in order and within its caps, with `_source` and `_row` beside it; which
    events were cut and which ends moved (`frames.losses`).
    """

    events: pl.DataFrame
    left_out: pl.DataFrame
    moved: pl.DataFrame


def pathway_rows(schema: Schema, tables: Tables, patients: pl.DataFrame) -> Pathways:
    """What the tables tell of these patients, by their own rows alone."""
    assert schema.events is not None
    ends, moved = ends_within_days(_ends(tables, patients), schema.events)
    bounds = patients.select(ID, ORIGIN, SITE).join(
        ends.select(ID, pl.col("day").alias("_last_day")), on=ID
    )
    parts = [
        _diagnoses(tables, bounds),
        _new_tumours(schema, tables, patients, bounds),
        _genes(schema, tables, patients, bounds),
        _surgery(tables, bounds),
        *sact_events(schema, tables, patients, bounds),
        _radiotherapy(schema, tables, bounds),
        *_referrals(schema, tables, patients, bounds),
    ]
    events = complete_events(pl.concat([*parts, ends], how="diagonal_relaxed"), schema.events)
    events, left_out = within_caps(in_declared_order(events, schema.events), schema.events)
    return Pathways(events, left_out, moved)


def _ends(tables: Tables, patients: pl.DataFrame) -> pl.DataFrame:
    rows = (
        tables[PATIENT]
        .with_row_index("_row")
        .with_columns(pl.col("PATIENTID").alias(ID))
        .join(patients.select(ID, ORIGIN, SITE), on=ID)
    )
    status = pl.col("VITALSTATUS").str.slice(0, 1)
    rows = rows.with_columns(
        (pl.col("VITALSTATUSDATE") - pl.col(ORIGIN)).dt.total_days().alias("day"),
        pl.when(status == "D").then(pl.lit("DEATH")).otherwise(pl.lit("CENSOR")).alias("type"),
        pl.when(status == "D")
        .then(cause_group(pl.col("DEATHCAUSECODE_UNDERLYING"), pl.col(SITE)))
        .when(status == "A")
        .then(pl.lit("A"))
        .otherwise(pl.lit("X"))
        .alias("code"),
        pl.when(status == "D").then("DEATHLOCATIONCODE").alias("death_location"),
        pl.lit(PATIENT).alias("_source"),
    )
    return keep(rows, "code", "death_location")


def _diagnoses(tables: Tables, bounds: pl.DataFrame) -> pl.DataFrame:
    first = (
        ranked_tumours(tables)
        .filter(pl.col("_rank") == 0)
        .select(ID, "_row")
        .join(bounds.select(ID, pl.col(ORIGIN).alias("_at")), on=ID)
    )
    return keep(placed(first, bounds, "_at", "DIAGNOSIS", TUMOUR))


def _new_tumours(
    schema: Schema, tables: Tables, patients: pl.DataFrame, bounds: pl.DataFrame
) -> pl.DataFrame:
    later = ranked_tumours(tables).filter(pl.col("_rank").is_between(1, TUMOURS_PER_PATIENT - 1))
    group = pl.col("STAGE_BEST").map_elements(stage_group, return_dtype=pl.String, skip_nulls=False)
    later = later.select(
        ID,
        "_row",
        pl.col(ORIGIN).alias("_at"),
        pl.col(SITE).alias("code"),
        group.alias("new_stage"),
    )
    return keep(
        legal(
            schema, placed(later, bounds, "_at", "NEW_TUMOUR", TUMOUR, 0), patients, "NEW_TUMOUR"
        ),
        "code",
        "new_stage",
    )


def _genes(
    schema: Schema, tables: Tables, patients: pl.DataFrame, bounds: pl.DataFrame
) -> pl.DataFrame:
    """One test per gene: of the first tumour, or of a later one where the gene is legal for the
    first.
    """
    rows = (
        tables[GENE]
        .with_row_index("_row")
        .select(
            "_row",
            pl.col("PATIENTID").alias(ID),
            pl.col("GENE_DESC").alias("code"),
            pl.col("OVERALL_TS").alias("gene_status"),
            "DATE_OVERALL_TS",
        )
    )
    tests = legal(
        schema, placed(rows, bounds, "DATE_OVERALL_TS", "GENE_TEST", GENE), patients, "GENE_TEST"
    )
    return keep(
        tests.sort(ID, "day", "_row").unique([ID, "code"], keep="first", maintain_order=True),
        "code",
        "gene_status",
    )


def _surgery(tables: Tables, bounds: pl.DataFrame) -> pl.DataFrame:
    """The first surgery of each tumour; the decision comes from the waiting-times row of the same
    tumour and day.
    """
    rows = (
        ranked_tumours(tables)
        .filter(pl.col("_rank") < TUMOURS_PER_PATIENT)
        .select(ID, "_row", "TUMOURID", "DATE_FIRST_SURGERY")
    )
    if WAITING in tables:
        decided = (
            tables[WAITING]
            .filter(pl.col("TREATMENT_MODALITY") == "01")
            .select(
                pl.col("PATIENTID").alias(ID),
                "TUMOURID",
                pl.col("TREATMENT_START_DATE").alias("DATE_FIRST_SURGERY"),
                pl.col("DECISION_TO_TREAT_DATE"),
            )
        )
        rows = rows.join(
            decided.unique(
                [ID, "TUMOURID", "DATE_FIRST_SURGERY"], keep="first", maintain_order=True
            ),
            on=[ID, "TUMOURID", "DATE_FIRST_SURGERY"],
            how="left",
            maintain_order="left",
        )
        decision = decision_band(
            (pl.col("DATE_FIRST_SURGERY") - pl.col("DECISION_TO_TREAT_DATE")).dt.total_days()
        )
    else:
        decision = pl.lit(None, pl.String)
    rows = rows.with_columns(decision.alias("decision_days"))
    return keep(placed(rows, bounds, "DATE_FIRST_SURGERY", "SURGERY", "surgery"), "decision_days")


def _radiotherapy(schema: Schema, tables: Tables, bounds: pl.DataFrame) -> pl.DataFrame:
    """One event per episode, on the day of its first attendance, with the legal schedule nearest to
    the prescribed dose and fractions.
    """
    by = [ID, "RADIOTHERAPYEPISODEID"]
    episodes = (
        tables[EPISODE]
        .with_row_index("_row")
        .with_columns(pl.col("PATIENTID").alias(ID))
        .sort(*by, "APPTDATE", "ATTENDID", "_row")
    )
    episodes = episodes.unique(by, keep="first", maintain_order=True)
    doses = (
        tables[PRESCRIPTION]
        .with_columns(pl.col("PATIENTID").alias(ID))
        .sort(*by, "APPTDATE", "ATTENDID", maintain_order=True)
        .unique(by, keep="first", maintain_order=True)
    )
    doses = doses.select(
        *by,
        "RTPRESCRIBEDDOSE",
        "RTPRESCRIBEDFRACTIONS",
        pl.col("RTTREATMENTREGION").alias("rt_region"),
    )
    rows = placed(
        episodes.join(doses, on=by, how="inner", maintain_order="left"),
        bounds,
        "APPTDATE",
        "RADIOTHERAPY",
        EPISODE,
    )
    near = rows.select("_row", SITE, "RTPRESCRIBEDDOSE", "RTPRESCRIBEDFRACTIONS").join(
        schedules(), on=SITE
    )
    near = near.with_columns(
        (pl.col("RTPRESCRIBEDDOSE") - pl.col("dose")).abs().alias("_gray"),
        (pl.col("RTPRESCRIBEDFRACTIONS") - pl.col("fractions")).abs().alias("_times"),
    )
    near = near.filter(pl.col("_gray").is_not_null() & pl.col("_times").is_not_null()).sort(
        "_row", pl.col("_gray") + 2 * pl.col("_times"), "code"
    )
    near = near.unique("_row", keep="first", maintain_order=True)
    rows = rows.join(near.select("_row", "code"), on="_row", how="inner", maintain_order="left")
    decision = decision_band((pl.col("APPTDATE") - pl.col("DECISIONTOTREATDATE")).dt.total_days())
    rows = rows.with_columns(
        decision.alias("decision_days"),
        pl.col("RADIOTHERAPYINTENT").alias("rt_intent"),
        pl.col("RADIOTHERAPYPRIORITY").alias("rt_priority"),
    )
    return keep(rows, "code", "rt_intent", "rt_region", "decision_days", "rt_priority")


def _referrals(
    schema: Schema, tables: Tables, patients: pl.DataFrame, bounds: pl.DataFrame
) -> list[pl.DataFrame]:
    """Referral and first appointment of the first tumour, from its first waiting-times row with a
    referral.
    """
    assert schema.events is not None
    if WAITING not in tables:
        return []
    first = ranked_tumours(tables).filter(pl.col("_rank") == 0).select(ID, "TUMOURID")
    rows = (
        tables[WAITING]
        .with_row_index("_row")
        .with_columns(pl.col("PATIENTID").alias(ID), pl.col("REFERRAL_TYPE").alias("code"))
    )
    rows = rows.join(first, on=[ID, "TUMOURID"], how="semi", maintain_order="left").filter(
        pl.col("CRTP_DATE").is_not_null()
    )
    rows = rows.sort(ID, "CRTP_DATE", "TREATMENT_START_DATE", "_row").unique(
        ID, keep="first", maintain_order=True
    )
    referred = legal(
        schema,
        placed(rows, bounds, "CRTP_DATE", "REFERRAL", WAITING, schema.events.lower_day),
        patients,
        "REFERRAL",
    )
    appointments = rows.join(referred.select(ID), on=ID, how="semi", maintain_order="left").filter(
        pl.col("DATE_FIRST_SEEN") >= pl.col("CRTP_DATE")
    )
    return [
        keep(referred, "code"),
        keep(
            placed(
                appointments,
                bounds,
                "DATE_FIRST_SEEN",
                "FIRST_SEEN",
                "first_seen",
                schema.events.lower_day,
            )
        ),
    ]
