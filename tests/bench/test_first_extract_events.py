"""The list of a small extract's absurdities: what a rule makes impossible is never there, whatever
a model draws, and each figure sees what it counts.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from bench import first_extract_events as events
from bench.pathway_data import EXTRACT, read_declaration, simulate_log
from pipeline.adapters import canonical, to_tables
from pipeline.models.pathway.draw.model import new_model
from pipeline.models.pathway.plan.plan import plan_pathways
from pipeline.models.pathway.plan.settings import PathwaySettings
from pipeline.schema.patient_log import PatientLog

GAPS, LEAPS, HER2, RAYS, SURGERY, BLOOD, DCO, WAITS, SPREAD, GENES, *LAST = range(14)
FAR = pl.col("START_DATE_OF_CYCLE") + pl.duration(days=100 * pl.col("CYCLE_NUMBER"))
RULES = (GAPS, LEAPS, HER2, SURGERY, DCO, WAITS, SPREAD, GENES)


@pytest.fixture(scope="module")
def source() -> PatientLog:
    return simulate_log(read_declaration(), 2500, 4)


@pytest.fixture(scope="module")
def tables(source: PatientLog) -> dict[str, pl.DataFrame]:
    schema = read_declaration()
    log = canonical(schema, source, extract_date=EXTRACT)
    return to_tables(schema, log, extract_date=EXTRACT)


def test_the_source_has_next_to_none(tables: dict[str, pl.DataFrame]) -> None:
    figures = events.figures(tables)
    assert [figures[place].count for place in RULES] == [0] * len(RULES)
    assert figures[GAPS].of > 300 and figures[SURGERY].of > 300 and figures[SPREAD].of > 30
    assert figures[HER2].of > 0 and figures[RAYS].of > 0


def test_whatever_a_network_draws_has_none(source: PatientLog) -> None:
    """An untrained one knows nothing but the rules."""
    schema = read_declaration()
    wild = source.patients.with_columns(
        FINAL_ROUTE=pl.when(pl.int_range(pl.len()) % 9 == 0)
        .then(pl.lit("DCO"))
        .otherwise("FINAL_ROUTE")
    )
    settings = PathwaySettings(width=8, steps=2)
    model = new_model(schema, plan_pathways(schema, settings, schema.population.nominal_size))
    drawn = PatientLog(wild, model.sample(wild, np.random.default_rng(1)))
    log = canonical(schema, drawn, extract_date=EXTRACT)
    figures = events.figures(to_tables(schema, log, extract_date=EXTRACT))
    assert [figures[place].count for place in RULES] == [0] * len(RULES)
    assert figures[GAPS].of > 300 and figures[DCO].of > 50 and figures[GENES].of > 5
    assert figures[WAITS].of > 100 and figures[LEAPS].of > 50


@pytest.mark.parametrize(
    ("place", "table", "changes"),
    [
        (GAPS, "sim_sact_cycle", {"START_DATE_OF_CYCLE": FAR}),
        (SURGERY, "sim_av_tumour", {"DATE_FIRST_SURGERY": pl.lit(date(2022, 1, 1))}),
        (HER2, "sim_av_tumour", {"HER2_STATUS": pl.lit("N")}),
        (DCO, "ext_route", {"FINAL_ROUTE": pl.lit("DCO")}),
        (WAITS, "ext_cwt_pathway", {"DATE_FIRST_SEEN": pl.lit(date(2022, 1, 1))}),
        (SPREAD, "sim_av_tumour", {"STAGE_BEST": pl.lit("2")}),
        (GENES, "sim_av_gene", {"OVERALL_TS": pl.lit("c:borderline")}),
        (RAYS, "sim_rtds_episode", {"APPTDATE": pl.lit(date(2012, 1, 1))}),
    ],
)
def test_a_figure_counts_what_is_absurd(
    tables: dict[str, pl.DataFrame], place: int, table: str, changes: dict[str, pl.Expr]
) -> None:
    before = events.figures(tables)[place].count
    absurd = tables | {table: tables[table].with_columns(**changes)}
    assert events.figures(absurd)[place].count > before
    assert events.report({"a": events.figures(absurd)}).count("\n") == 16
