"""Radiotherapy as the clinical rules 46 to 51 read it: columns, and one row per prescription."""

from __future__ import annotations

import polars as pl

from pipeline.checks.rules.registry import EPISODE, PRESCRIPTION, Registry, number, text
from pipeline.schema.codes import lists
from pipeline.schema.patient_log import ID

# The official codes are adjuvant, neoadjuvant and radical: palliative radiotherapy has none.
IS_CURATIVE = pl.col("intent").is_in(list(lists.lookup("rt_intent"))).fill_null(False)
EPISODE_ID = "RADIOTHERAPYEPISODEID"
PRESCRIBED = ("RTPRESCRIBEDDOSE", "RTPRESCRIBEDFRACTIONS", "RTACTUALDOSE", "RTACTUALFRACTIONS")
EPISODES = {EPISODE: [EPISODE_ID, "ATTENDID", "APPTDATE", "RADIOTHERAPYINTENT"]}
DOSES = {
    **EPISODES,
    PRESCRIPTION: [
        EPISODE_ID,
        "PRESCRIPTIONID",
        "RTTREATMENTREGION",
        "RTTREATMENTMODALITY",
        *PRESCRIBED,
    ],
}


def prescriptions(registry: Registry) -> pl.DataFrame:
    """One row per episode and prescription: intent, region, modality, dose, fractions."""
    intents = (
        registry[EPISODE]
        .select(ID, EPISODE_ID, text("RADIOTHERAPYINTENT").alias("intent"))
        .unique([ID, EPISODE_ID])
    )
    rows = (
        registry[PRESCRIPTION]
        .unique([ID, EPISODE_ID, "PRESCRIPTIONID"])
        .join(intents, on=[ID, EPISODE_ID], how="left")
    )
    return rows.select(
        ID,
        EPISODE_ID,
        "intent",
        text("RTTREATMENTREGION").alias("region"),
        text("RTTREATMENTMODALITY").alias("modality"),
        number("RTPRESCRIBEDDOSE").alias("dose"),
        number("RTPRESCRIBEDFRACTIONS").cast(pl.Int64).alias("fractions"),
    )
