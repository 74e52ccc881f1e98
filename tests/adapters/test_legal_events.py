"""What a registry tells against the declared rules of events costs an event or a value, never the
patient; and the tables come back all the same.
"""

from datetime import date

import polars as pl
import pytest
from extracts import pathways
from test_reading import read
from test_rebuilt_tables import tables

from pipeline.adapters import canonical, to_log
from pipeline.adapters.legal_events import EXCLUDED, MOVED, TOO_LATE, mended
from pipeline.schema.patient_log import PatientLog

DEAD = (900, "DEATH", "tumour")
EARLY = date(2016, 2, 1)


def told(log: PatientLog, kind: str) -> list[int]:
    return log.pathways.filter(pl.col("type") == kind)["day"].to_list()


def losses(frame: pl.DataFrame) -> dict[str, int]:
    return dict(frame.select("reason", "n").iter_rows())


def cycles(first: int, *days: int) -> list[tuple]:
    return [(first, "SACT_REGIMEN", "FEC-T"), *((day, "SACT_CYCLE", None) for day in days)]


def test_cycles_after_a_long_gap_are_left_out_until_the_next_regimen():
    source = tables(*cycles(10, 10, 100, 191, 200), *cycles(500, 500, 590), end=DEAD)
    log = read(source)
    assert told(log, "SACT_CYCLE") == [10, 100, 500, 590]
    assert losses(to_log(pathways(), source).left_out) == {TOO_LATE: 2}


@pytest.mark.parametrize(("final", "stands"), [(190, 190), (191, 100), (400, 100)])
def test_the_end_of_a_regimen_stands_no_longer_after_its_last_cycle(final, stands):
    source = tables(*cycles(10, 10, 100), (final, "SACT_END", "0"), end=DEAD)
    assert told(read(source), "SACT_END") == [stands]
    moved = losses(to_log(pathways(), source).moved)
    assert moved == ({} if final == stands else {MOVED: 1})


@pytest.mark.parametrize(
    ("day", "tumours", "kept"),
    [(365, (), True), (366, (), False), (700, (400,), True), (366, (900,), False)],
)
def test_an_operation_long_after_every_tumour_is_left_out(day, tumours, kept):
    others = [(at, "NEW_TUMOUR", "C44") for at in tumours if at < day]
    log = read(tables((day, "SURGERY", None), *others, end=DEAD, DIAGNOSISDATEBEST=EARLY))
    assert told(log, "SURGERY") == ([day] if kept else [])


@pytest.mark.parametrize(("wait", "kept"), [(126, True), (127, False)])
def test_a_first_appointment_long_after_the_referral_is_left_out(wait, kept):
    events = [(-20, "REFERRAL", "screening"), (wait - 20, "FIRST_SEEN", None)]
    log = read(tables(*events, (150, "SURGERY", None), end=DEAD))
    assert told(log, "REFERRAL") == [-20]
    assert told(log, "FIRST_SEEN") == ([wait - 20] if kept else [])


@pytest.mark.parametrize(
    ("status", "kept"), [("P", True), ("N", False), ("B", False), ("X", False), (None, False)]
)
def test_a_regimen_that_the_group_never_has_goes_with_all_of_it(status, kept):
    drugs = [(30, "SACT_REGIMEN", "TRASTUZUMAB"), (30, "SACT_CYCLE", None), (51, "SACT_END", "0")]
    source = tables(*drugs, *cycles(200, 200, 221), end=DEAD, HER2_STATUS=status)
    log = read(source)
    assert log.patients["HER2_STATUS"].to_list() == [status]
    assert told(log, "SACT_REGIMEN") == ([30, 200] if kept else [200])
    assert told(log, "SACT_CYCLE") == ([30, 200, 221] if kept else [200, 221])
    left_out = losses(to_log(pathways(), source).left_out)
    assert left_out == ({} if kept else {EXCLUDED: 3})


def test_drugs_against_her2_are_legal_where_the_site_has_no_status():
    stomach = {"SITE_GROUP": "Stomach", "SITE_ICD10_O2_3CHAR": "C16", "MORPH_ICD10_O2": "8140"}
    statics = stomach | {"LATERALITY": "9", "ER_STATUS": None, "HER2_STATUS": None}
    log = read(tables((30, "SACT_REGIMEN", "TRASTUZUMAB"), end=DEAD, **statics))
    assert told(log, "SACT_REGIMEN") == [30]


@pytest.mark.parametrize(
    ("events", "end", "route"),
    [
        ([], (0, "DEATH", "tumour"), "DCO"),
        ([(0, "SURGERY", None)], (0, "DEATH", "tumour"), "DCO"),
        ([], (3, "DEATH", "tumour"), None),
        ([(12, "SURGERY", None)], (4000, "CENSOR", "A"), None),
        ([], (0, "CENSOR", "X"), None),
    ],
)
def test_a_route_that_the_pathway_contradicts_is_missing(events, end, route):
    log = read(tables(*events, end=end, FINAL_ROUTE="DCO"))
    assert log.patients["FINAL_ROUTE"].to_list() == [route]
    assert told(log, "SURGERY") == [day for day, *_ in events if route is None]


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (["0", "2", "4"], ["0", "2", "4"]),
        (["0", "4", "4", "1"], ["0", None, None, "1"]),
        (["0", None, "3", "2"], ["0", None, None, "2"]),
        (["4", "0", "4"], ["4", None, "4"]),
    ],
)
def test_a_performance_status_that_leaps_is_missing(values, kept):
    events = [(10, "SACT_REGIMEN", "FEC-T")] + [
        (10 + 21 * n, "SACT_CYCLE", None, {"cycle_performance": value})
        for n, value in enumerate(values)
    ]
    again = [
        (300, "SACT_REGIMEN", "FEC-T"),
        (300, "SACT_CYCLE", None, {"cycle_performance": "0"}),
    ]
    log = read(tables(*events, *again, end=DEAD))
    seen = log.pathways.filter(pl.col("type") == "SACT_CYCLE")["cycle_performance"].to_list()
    assert seen == [*kept, "0"]  # another regimen begins anew


def test_whom_no_rule_touches_is_not_touched():
    log = read(tables(*cycles(10, 10, 31), (31, "SACT_END", "0"), (40, "SURGERY", None), end=DEAD))
    legal = mended(pathways(), log.patients, log.pathways)
    assert legal.patients.equals(log.patients) and legal.events.equals(log.pathways)
    assert not legal.left_out.height and not legal.moved.height


def test_each_patient_is_mended_alone():
    source = tables(*cycles(10, 10, 191), end=DEAD)
    one = to_log(pathways(), source).log
    other = to_log(pathways(), tables((2, "SURGERY", None), end=DEAD)).log
    beside = PatientLog(
        pl.concat([other.patients.with_columns(patient_id=pl.lit(0, pl.Int64)), one.patients]),
        pl.concat([other.pathways.with_columns(patient_id=pl.lit(0, pl.Int64)), one.pathways]),
    )
    legal = mended(pathways(), beside.patients, beside.pathways)
    assert legal.events.filter(pl.col("patient_id") != 0).equals(one.pathways)


def test_a_canonical_log_is_the_log_of_its_tables_whatever_was_moved():
    """Thirty-one cycles of a regimen are more than the log tells: its end comes too late then."""
    days = [10 + 40 * n for n in range(36)]
    end = [(days[-1] + 3, "SACT_END", "3"), (days[-1] + 5, "DEATH", "tumour")]
    source = to_log(pathways(), tables(*cycles(10, *days[:30]), end=(2000, "DEATH", "tumour")))
    log = source.log
    events = pl.DataFrame(
        [(n, day, kind, code) for n, (day, kind, code) in enumerate(
            [(0, "DIAGNOSIS", None), *cycles(10, *days), *end]
        )],
        schema=["seq", "day", "type", "code"],
        orient="row",
    )  # fmt: skip
    wild = log.pathways.clear()
    wild = pl.concat(
        [wild, events.with_columns(patient_id=log.patients["patient_id"][0])],
        how="diagonal_relaxed",
    )
    first = canonical(pathways(), PatientLog(log.patients, wild), extract_date=None)
    again = canonical(pathways(), first, extract_date=None)
    assert told(first, "SACT_END") == [days[29]]
    assert again.pathways.equals(first.pathways)
