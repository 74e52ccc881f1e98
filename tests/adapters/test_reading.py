"""What a log makes coarser, cuts or leaves out, by declared rules; and what comes back all the
same.
"""

from datetime import timedelta

import polars as pl
import pytest
from extracts import pathways
from polars.testing import assert_frame_equal
from test_rebuilt_tables import DIAGNOSED, tables

from pipeline.adapters import to_log, to_tables
from pipeline.adapters.simulacrum.names import cause_group, decision_band
from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.violations import violations


def read(found):
    source = to_log(pathways(), found)
    log = source.log
    assert violations(Grammar(pathways()), log.patients, log.events).is_empty()
    back = to_tables(pathways(), log, extract_date=None, carried=source.carried)
    for name, rows in found.items():
        assert_frame_equal(back[name], rows)
    return log


def changed(found, table, **values):
    return found | {
        table: (
            found[table].with_columns(
                pl.lit(value, found[table].schema[name]).alias(name)
                for name, value in values.items()
            )
        )
    }


@pytest.mark.parametrize(
    ("column", "source", "seen"),
    [
        ("T_BEST", "1mi", "1"),
        ("T_BEST", "a", None),  # Ta is a tumour of the bladder
        ("T_BEST", "4b", "4"),
        ("T_BEST", "is", "is"),
        ("N_BEST", "2a", "2"),
        ("CHRL_TOT_27_03", 15, "8"),
        ("STAGE_BEST", "4C", None),
        ("GLEASON_PRIMARY", "3", None),
        ("LATERALITY", "R", "R"),
    ],
)
def test_a_finer_value_is_seen_as_the_declared_coarser_one(column, source, seen):
    assert read(changed(tables(), "sim_av_tumour", **{column: source})).patients[
        column
    ].to_list() == [seen]


def test_metastases_that_do_not_fit_the_stage_are_missing():
    assert read(changed(tables(), "sim_av_tumour", STAGE_BEST="4", M_BEST="0")).patients.select(
        "STAGE_GROUP", "M_BEST"
    ).row(0) == ("4", None)
    assert read(changed(tables(), "sim_av_tumour", STAGE_BEST="4", M_BEST="1b")).patients[
        "M_BEST"
    ].to_list() == ["1"]


def test_overlapping_regimens_are_told_one_after_the_other():
    found = tables(
        (20, "SACT_REGIMEN", "CAPECITABINE"),
        (20, "SACT_CYCLE", None),
        (41, "SACT_CYCLE", None),
        (62, "SACT_CYCLE", None),
        (80, "SACT_END", "0"),
        (90, "SACT_REGIMEN", "ERIBULIN"),
        (90, "SACT_CYCLE", None),
    )
    moved = (
        pl.when(pl.col("MAPPED_REGIMEN") == "ERIBULIN")
        .then(pl.lit(DIAGNOSED + timedelta(days=50)))
        .otherwise("START_DATE_OF_REGIMEN")
    )
    found["sim_sact_regimen"] = found["sim_sact_regimen"].with_columns(
        moved.alias("START_DATE_OF_REGIMEN")
    )
    log = read(found)
    told = (
        log.events.filter(pl.col("type").str.starts_with("SACT"))
        .select("day", "type", "code")
        .rows()
    )
    assert told == [
        (20, "SACT_REGIMEN", "CAPECITABINE"),
        (20, "SACT_CYCLE", None),
        (41, "SACT_CYCLE", None),
        (49, "SACT_END", "0"),
        (50, "SACT_REGIMEN", "ERIBULIN"),
        (90, "SACT_CYCLE", None),
        (90, "SACT_END", "missing"),
    ]


def test_a_regimen_that_the_site_does_not_have_is_not_told_with_all_that_is_in_it():
    found = tables(
        (20, "SACT_REGIMEN", "CAPECITABINE"), (20, "SACT_CYCLE", None), (30, "SACT_END", "0")
    )
    log = read(changed(found, "sim_sact_regimen", MAPPED_REGIMEN="ENZALUTAMIDE"))
    assert not log.events["type"].str.starts_with("SACT").any()


def test_treatment_long_before_the_diagnosis_belongs_to_no_tumour_here():
    found = tables((-31, "SURGERY", None))
    assert "SURGERY" in read(found).events["type"].to_list()
    early = changed(found, "sim_av_tumour", DATE_FIRST_SURGERY=DIAGNOSED - timedelta(days=32))
    assert "SURGERY" not in read(early).events["type"].to_list()


def test_an_unlisted_dose_is_seen_as_the_nearest_schedule_of_the_site():
    found = changed(
        tables((60, "RADIOTHERAPY", "40/15")), "sim_rtds_prescription", RTPRESCRIBEDDOSE=40.05
    )
    found["sim_rtds_combined"] = found["sim_rtds_combined"].with_columns(
        pl.lit(40.05).alias("RTPRESCRIBEDDOSE")
    )
    assert read(found).events.filter(pl.col("type") == "RADIOTHERAPY")["code"].to_list() == [
        "40/15"
    ]


def test_contribution_caps_cut_by_date_and_keep_the_end():
    lines = [
        event
        for n in range(6)
        for event in (
            (20 + 400 * n, "SACT_REGIMEN", "FEC-T"),
            *((20 + 400 * n + 3 * c, "SACT_CYCLE", None) for c in range(30)),
            (108 + 400 * n, "SACT_END", "0"),
        )
    ]
    lines += [(5, "GENE_TEST", gene) for gene in ("ERBB2", "BRCA1", "BRCA2")] + [
        (2500 + 20 * n, "RADIOTHERAPY", "8/1") for n in range(5)
    ]
    log = read(tables(*lines, end=(2600, "DEATH", "tumour"), extract_date=None))
    assert log.events.height == pathways().events.max_events
    assert log.events["type"][-1] == "DEATH"
    assert log.events["day"].is_sorted()
    told = log.events.filter(pl.col("type") == "SACT_CYCLE")
    assert told.height == pathways().events.types["SACT_CYCLE"].at_most  # of 180, the first
    assert told["day"].max() == 20 + 400 * 2 + 3 * 19


def test_a_table_that_is_not_there_is_read_as_empty():
    found = tables((20, "SURGERY", None))
    source = to_log(pathways(), {name: found[name] for name in ("sim_av_patient", "sim_av_tumour")})
    log = source.log
    assert log.events["type"].to_list() == ["DIAGNOSIS", "SURGERY", "CENSOR"]
    assert set(source.carried) == {"sim_av_patient", "sim_av_tumour"}


@pytest.mark.parametrize(
    ("days", "band"),
    [
        (0, "0"),
        (1, "1-7"),
        (7, "1-7"),
        (62, "46-62"),
        (180, "91-180"),
        (181, None),
        (-1, None),
        (None, None),
    ],
)
def test_decision_bands(days, band):
    assert (
        pl.DataFrame({"d": [days]}, schema={"d": pl.Int64})
        .select(decision_band(pl.col("d")))
        .item()
        == band
    )


@pytest.mark.parametrize(
    ("cause", "group"),
    [
        ("C509", "tumour"),
        ("C50", "tumour"),
        ("C349,C509", "other cancer"),
        ("D059", "other cancer"),
        ("I219", "circulatory"),
        ("J449", "respiratory"),
        ("F03", "dementia"),
        ("G309", "dementia"),
        ("R54", "other"),
        (None, "unknown"),
        ("", "unknown"),
    ],
)
def test_cause_groups(cause, group):
    frame = pl.DataFrame(
        {"cause": [cause], "site": ["C50"]}, schema={"cause": pl.String, "site": pl.String}
    )
    assert frame.select(cause_group(pl.col("cause"), pl.col("site"))).item() == group
