"""Figures of event logs whose answer is known."""

import numpy as np
import polars as pl
import pytest

from pipeline.evaluation import pathways
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import EventLog, EventType


def log() -> EventLog:
    types = {
        name: EventType(name=name, terminal=name in ("DEATH", "CENSOR"))
        for name in ("DIAGNOSIS", "SURGERY", "DEATH", "CENSOR")
    }
    return EventLog(
        origin="d",
        anchor="DIAGNOSIS",
        max_events=10,
        first=("DIAGNOSIS",),
        types=types,
        attributes={},
        gap_edges=(0, 1),
    )


def events(*patients: list[tuple[str, int]]) -> pl.DataFrame:
    rows = [
        (i, seq, day, kind, None)
        for i, one in enumerate(patients)
        for seq, (kind, day) in enumerate(one)
    ]
    return pl.DataFrame(
        rows,
        schema={
            "patient_id": pl.Int64,
            "seq": pl.Int32,
            "day": pl.Int32,
            "type": pl.String,
            "code": pl.String,
        },
        orient="row",
    )


SURGICAL = [("DIAGNOSIS", 0), ("SURGERY", 30), ("CENSOR", 1000)]
FATAL = [("DIAGNOSIS", 0), ("DEATH", 100)]


def test_ngram_shares_stay_within_a_patient():
    shares = dict(pathways.ngram_shares(events(SURGICAL, FATAL), 2).iter_rows())
    assert shares == pytest.approx(
        {"DIAGNOSIS > SURGERY": 1 / 3, "SURGERY > CENSOR": 1 / 3, "DIAGNOSIS > DEATH": 1 / 3}
    )


def test_ngram_tvd_is_0_for_the_same_log_and_1_for_disjoint_ones():
    both = events(SURGICAL, FATAL)
    assert pathways.ngram_tvd(both, both, 3) == 0
    assert pathways.ngram_tvd(events(SURGICAL), events(FATAL), 2) == pytest.approx(1.0)
    assert pathways.ngram_tvd(both, events(SURGICAL, SURGICAL), 1) > 0.1


def test_waiting_days_are_to_the_first_event_of_a_type():
    twice = [("DIAGNOSIS", 0), ("SURGERY", 20), ("SURGERY", 90), ("CENSOR", 1000)]
    assert sorted(pathways.waiting_days(events(twice, SURGICAL, FATAL), log(), "SURGERY")) == [
        20,
        30,
    ]


def test_kaplan_meier_counts_the_first_terminal_type_as_the_event():
    patients = pl.DataFrame({"patient_id": list(range(80)), "stage": ["1"] * 40 + ["4"] * 40})
    outcomes = pathways.survival(
        PatientLog(patients, events(*([SURGICAL] * 40 + [FATAL] * 40))), log(), "stage"
    )
    curves = pathways.kaplan_meier(outcomes, np.array([50.0, 365.0]))
    assert curves["1"].tolist() == [1.0, 1.0]
    assert curves["4"].tolist() == [1.0, 0.0]
    assert curves["all"].tolist() == pytest.approx([1.0, 0.5])


def gaps(real, other):
    """TVD of runs of two events; mean gap of survival over stages after 1 and 5 years."""
    grid = np.array([1.0, 5.0]) * pathways.DAYS_PER_YEAR
    first, second = (
        pathways.kaplan_meier(pathways.survival(one, log(), "stage"), grid) for one in (real, other)
    )
    stages = set(first) & set(second) - {"all"}
    after = np.mean([np.abs(first[name] - second[name]) for name in stages], axis=0)
    return {
        "bigram_tvd": pathways.ngram_tvd(real.pathways, other.pathways, 2),
        "survival_gap_1y": after[0],
        "survival_gap_5y": after[1],
    }


def test_a_log_compared_with_itself_has_no_gap():
    patients = pl.DataFrame({"patient_id": list(range(80)), "stage": ["1"] * 40 + ["4"] * 40})
    both = PatientLog(patients, events(*([SURGICAL] * 40 + [FATAL] * 40)))
    numbers = gaps(both, both)
    assert (numbers["bigram_tvd"], numbers["survival_gap_1y"], numbers["survival_gap_5y"]) == (
        0,
        0,
        0,
    )
    worse = PatientLog(patients, events(*([SURGICAL] * 20 + [FATAL] * 60)))
    assert gaps(both, worse)["survival_gap_1y"] == pytest.approx(0.25)
