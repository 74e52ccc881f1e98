"""Prompts on how pathways begin: they hold, they stay legal, and they give what an unprompted
extract would keep.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
from pathway_cases import toy_patients, toy_schema

from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.violations import violations
from pipeline.models.pathway.draw.model import PathwayModel, new_model
from pipeline.models.pathway.draw.start import pathway_start
from pipeline.models.pathway.plan.plan import plan_pathways
from pipeline.models.pathway.plan.settings import PathwaySettings

SETTINGS = PathwaySettings(width=8, candidates=4)


def model_of(is_calibrated: bool) -> PathwayModel:
    schema = toy_schema(treatments=("SURGERY", "REGIMEN"))
    model = new_model(schema, plan_pathways(schema, SETTINGS, 200))
    rng = np.random.default_rng(7)
    log_weights = tuple(rng.normal(size=cells) for cells in model.calibration_sizes)
    return dataclasses.replace(model, log_weights=log_weights) if is_calibrated else model


def starts(events: pl.DataFrame) -> pl.DataFrame:
    """The first two treatments of each patient."""
    treated = events.filter(pl.col("type").is_in(["SURGERY", "REGIMEN"]))
    token = pl.concat_str("type", pl.col("code").fill_null(""), separator="=")
    return treated.group_by("patient_id", maintain_order=True).agg(token.head(2).alias("first"))


@pytest.mark.parametrize("is_calibrated", [False, True])
def test_prompted_patients_are_those_that_an_unprompted_extract_would_keep(
    is_calibrated: bool,
) -> None:
    model, rng = model_of(is_calibrated), np.random.default_rng(1)
    patients = toy_patients(20_000, 3)
    free = model.sample(patients, rng)
    first, second = pl.col("first").list.get(0), pl.col("first").list.get(1, null_on_oob=True)
    matches = starts(free).filter(first.str.starts_with("REGIMEN") & (second == "SURGERY=biopsy"))
    events, chance = model.sample_with_start(
        patients, pathway_start(model.coding, ["REGIMEN", "SURGERY=biopsy"]), rng
    )
    assert violations(Grammar(model.schema), patients, events).is_empty()
    assert chance.mean() == pytest.approx(len(matches) / 20_000, rel=0.12)
    prompted = patients.filter(pl.Series(chance > 0))
    assert set(prompted["site"]) == {"breast", "colon"}  # no surgery for the lung in this grammar
    prompted_starts = starts(
        events.join(
            prompted.select("patient_id"), on="patient_id", how="semi", maintain_order="left"
        )
    )
    assert len(prompted_starts) == len(prompted)
    assert prompted_starts.select(
        first.str.starts_with("REGIMEN").all() & (second == "SURGERY=biopsy").all()
    ).item()
    share = (
        patients.with_columns(chance=chance)
        .group_by("site")
        .agg(pl.col("chance").sum() / chance.sum())
    )
    real = patients.join(matches, on="patient_id", how="semi")["site"].value_counts(normalize=True)
    both = share.join(real, on="site")
    assert (both["chance"] - both["proportion"]).abs().max() < 0.06


@pytest.mark.parametrize(
    ("begins", "message"),
    [
        (["SURGEON"], "no event type"),
        (["SURGERY=haircut"], "no code 'haircut'; it has mastectomy"),
        (["DEATH", "SURGERY"], "ends a pathway"),
    ],
)
def test_a_prompt_that_cannot_be_met_says_why(begins: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model_of(False).sample_with_start(
            toy_patients(5), pathway_start(model_of(False).coding, begins), np.random.default_rng(1)
        )
