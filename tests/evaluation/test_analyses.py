"""Numbers of the analyses that were worked out by hand, and data that are odd."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from analysis_cases import declaration, random_log, registry, simulated

from pipeline.evaluation.analyses import (
    ANALYSES,
    a03_pairs,
    a10_net_survival,
    a17_regimens,
    a18_cycles,
    a20_radiotherapy_schedules,
    a21_sequences,
    a22_process_mining,
    a25_gradients,
    available,
    excess,
    run_analyses,
    worst_groups,
)
from pipeline.evaluation.analyses.comparison import Question, difference, share_distance
from pipeline.evaluation.analyses.estimates import (
    interval_overlap,
    ks,
    proportion,
    quantile,
    tvd,
    tvd_of_chance,
)
from pipeline.evaluation.analyses.regressions import logit
from pipeline.evaluation.analyses.survival import curve
from pipeline.evaluation.findings import Analysis, Estimate, Finding, Verdict
from pipeline.schema.patient_log import ID, PatientLog

QUESTION = Question(analysis="A0", what="", measure="")


def quiet(text: str) -> None:
    """No progress."""


def log_of(*patients: list[tuple[str, int, str | None]]) -> PatientLog:
    rows = [
        (i, seq, day, kind, code)
        for i, one in enumerate(patients)
        for seq, (kind, day, code) in enumerate(one)
    ]
    columns = {
        ID: pl.Int64,
        "seq": pl.Int32,
        "day": pl.Int32,
        "type": pl.String,
        "code": pl.String,
    }
    return PatientLog(
        pl.DataFrame({ID: range(len(patients))}), pl.DataFrame(rows, schema=columns, orient="row")
    )


def outcomes(*pairs: tuple[int, bool]) -> pl.DataFrame:
    return pl.DataFrame(pairs, schema={"days": pl.Int32, "died": pl.Boolean}, orient="row")


def test_survival_by_hand():
    """Of five, one dies on day 100, one leaves on day 150, one dies on day 200: S = .8, then
    .8 times 2/3.
    """
    one = curve(outcomes((100, True), (150, False), (200, True), (800, False), (900, False)))
    assert one.at(99).value == 100 and one.at(100).value == pytest.approx(80)
    assert one.at(365).value == pytest.approx(100 * 0.8 * 2 / 3)
    greenwood = 1 / (5 * 4) + 1 / (3 * 2)
    assert one.errors(np.array([365.0]))[0] == pytest.approx(0.8 * 2 / 3 * math.sqrt(greenwood))
    years = (100 + 0.8 * 100 + 0.8 * 2 / 3 * 165.25) / 365.25
    assert one.restricted_mean(365.25).value == pytest.approx(years)
    assert one.watched(201) == 2 and one.deaths == 2 and one.median() is None


def test_survival_of_nobody_and_of_the_dead():
    assert curve(outcomes()).n == 0
    all_dead = curve(outcomes((1, True), (2, True)))
    assert all_dead.at(365).value == 0 and all_dead.at(1).value == 50


def test_net_survival_without_deaths_is_above_100():
    """Nobody dies, though by the population's hazard some would: net survival is 1 / expected."""
    rows = pl.DataFrame(
        {
            "days": [3000] * 10,
            "died": [False] * 10,
            "age10": [0.0] * 10,
            "male": [1.0] * 10,
            "deprivation": [3.0] * 10,
        }
    )
    hazards = [0.97 * math.exp(-11.12 + 0.103 * (70 + q / 4 + 0.125)) / 4 for q in range(4)]
    assert a10_net_survival.ederer(rows)[1].value == pytest.approx(100 * math.exp(sum(hazards)))


def test_distances_by_hand():
    assert tvd(np.array([50.0, 50.0]), np.array([120.0, 80.0])) == pytest.approx(0.1)
    assert ks(np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0])) == pytest.approx(1 / 3)
    assert a21_sequences.jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1
    assert a21_sequences.jensen_shannon(np.array([3.0, 1.0]), np.array([6.0, 2.0])) == 0
    assert a03_pairs.cramers_v(np.array([[50.0, 0.0], [0.0, 50.0]])) == pytest.approx(1, abs=0.02)
    assert a03_pairs.cramers_v(np.array([[25.0, 25.0], [25.0, 25.0]])) == 0
    assert a03_pairs.cramers_v(np.array([[25.0, 25.0], [0.0, 0.0]])) == 0


def test_intervals_by_hand():
    one, other = (Estimate(value=v, low=v - 1, high=v + 1, n=9) for v in (1.0, 2.0))
    assert interval_overlap(one, one) == 1 and interval_overlap(one, other) == 0.5
    assert proportion(25, 100).value == 25 and math.isnan(proportion(0, 0).value)
    assert quantile(np.arange(101.0), 0.5).value == 50
    assert math.isnan(quantile(np.zeros(0), 0.5).value)


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.9, 0.1], [0.4, 0.3, 0.2, 0.1], [0.05] * 20])
def test_what_chance_makes_of_the_tvd(shares):
    rng = np.random.default_rng(1)
    n, m = 1000, 500
    pairs = [
        (rng.multinomial(n, shares).astype(float), rng.multinomial(m, shares).astype(float))
        for _ in range(2000)
    ]
    distances = np.array([tvd(*pair) for pair in pairs])
    mean, deviation = tvd_of_chance(np.array(shares) * n, np.array(shares) * m)
    assert mean == pytest.approx(distances.mean(), rel=0.05)
    assert deviation == pytest.approx(distances.std(), rel=0.12)
    beyond = [share_distance(QUESTION, *pair, 0.0).verdict is not Verdict.PASS for pair in pairs]
    assert 0.0005 < np.mean(beyond) < 0.02


def test_a_difference_passes_up_to_its_limit_and_fails_beyond_twice_that():
    real = Estimate(value=50, low=49, high=51, n=1000)
    for value, verdict in ((51.9, Verdict.PASS), (53.9, Verdict.WARN), (54.1, Verdict.FAIL)):
        other = Estimate(value=value, low=value - 0.1, high=value + 0.1, n=1000)
        assert difference(QUESTION, real, other, 2.0).verdict is verdict
    nobody = Estimate(value=math.nan)
    assert difference(QUESTION, real, nobody, 2.0).verdict is Verdict.FAIL
    few = Question(analysis="A0", what="", measure="", scale=0.01)
    assert difference(few, real, nobody, 2.0).verdict is Verdict.UNTESTED


def test_runs_of_events_by_hand():
    log = log_of(
        [("A", 0, None), ("B", 1, None), ("B", 2, None), ("C", 3, None)],
        [("A", 0, None), ("B", 9, None)],
    )
    runs = a21_sequences.grams(log, 2)["gram"].to_list()
    assert sorted(runs) == ["A > B", "A > B", "B > B", "B > C"]
    steps = a21_sequences.transitions(log)
    assert steps.filter(pl.col("type") == "B")["next"].to_list() == ["B", "C", "end"]
    assert sorted(a22_process_mining.variants(log)["variant"]) == ["A > B", "A > B > C"]


def test_ranks_by_hand():
    assert a17_regimens.rank_biased_overlap([1, 2, 3], [1, 2, 3]) == pytest.approx(1)
    assert a17_regimens.rank_biased_overlap([1, 2], [3, 4]) == 0
    # agreements 0 and 1 with weights 1 and .9
    assert a17_regimens.rank_biased_overlap([1, 2], [2, 1]) == pytest.approx(0.9 / 1.9)


def test_cycles_of_a_patient_are_a_mean_of_regimens():
    regimen, cycle = ("SACT_REGIMEN", 1, "CAPOX"), ("SACT_CYCLE", 1, None)
    log = log_of([regimen, cycle, cycle, regimen, cycle], [("SURGERY", 0, None)], [regimen])
    assert sorted(a18_cycles.cycles_per_regimen(log)) == [0, 1.5]


def test_slopes_and_odds_by_hand():
    rows = pl.DataFrame({"age10": [0.0, 0.0, 1.0, 1.0], "drugs": [True, True, True, False]})
    assert a25_gradients.slope(rows, "drugs", "age10").value == pytest.approx(-50)
    assert math.isnan(a25_gradients.slope(rows.head(2), "drugs", "age10").value)
    cells = {(1.0, True): 60, (1.0, False): 40, (0.0, True): 50, (0.0, False): 100}
    table = pl.DataFrame(
        [key for key, n in cells.items() for _ in range(n)], schema=["x", "y"], orient="row"
    )
    model = logit(table, "y", ["x"])
    assert model is not None
    assert model.coefficients["x"].value == pytest.approx(math.log(60 * 100 / (40 * 50)))
    error = math.sqrt(1 / 60 + 1 / 40 + 1 / 50 + 1 / 100)
    assert model.coefficients["x"].error == pytest.approx(error, rel=1e-4)


def test_a_model_leaves_out_terms_that_do_not_vary():
    rng = np.random.default_rng(1)
    x = rng.integers(0, 2, 500).astype(float)
    rows = pl.DataFrame({"x": x, "same": x, "constant": 1.0, "y": rng.integers(0, 2, 500) > 0})
    model = logit(rows, "y", ["x", "same", "constant"])
    assert model is not None and list(model.coefficients) == ["x"]
    assert logit(rows.head(20), "y", ["x"]) is None


def test_bands_of_schedules():
    rows = pl.DataFrame({"dose": [40.0, 40.0, 26.0, None], "fractions": [15, 5, 5, None]})
    inside = a20_radiotherapy_schedules.with_bands(rows, a20_radiotherapy_schedules.BANDS["Breast"])
    assert inside["is_inside"].to_list() == [True, False, True, False]


def test_the_analyses_are_those_of_the_list():
    assert [one.number for one in ANALYSES] == [f"A{i}" for i in range(1, 30)]
    assert all(set(one.needs) <= available(registry()) for one in ANALYSES)


def test_one_that_dies_is_untested_and_the_next_one_runs():
    def dies(*_: object) -> list[Finding]:
        raise ZeroDivisionError("a value of a row")

    analyses = [
        Analysis(number="A98", name="Dies", needs=(), run=dies),
        Analysis(number="A99", name="Needs", needs=("NOWHERE",), run=dies),
        ANALYSES[0],
    ]
    said: list[str] = []
    log = simulated(3000, 1)
    findings = run_analyses(registry(), log, log, said.append, analyses)
    assert findings[0].verdict is Verdict.UNTESTED
    assert "ZeroDivisionError" in findings[0].what and "value of a row" not in findings[0].what
    assert {one.analysis for one in findings[1:]} == {"A1"} and len(said) == 2


def test_the_worst_group_of_each_kind():
    def one(group: str, distance: float) -> Finding:
        verdict = Verdict.UNTESTED if math.isnan(distance) else Verdict.PASS
        return Finding(
            analysis="A28",
            what=group,
            measure="",
            real=None,
            synthetic=None,
            distance=distance,
            limit=2.0,
            verdict=verdict,
            group=group,
        )

    findings = [one("Age: old", 1), one("Age: young", 3), one("Sex: men", math.nan), one("", 9)]
    assert [worst.group for worst in worst_groups(findings)] == ["Age: young", "Sex: men"]
    assert excess(findings[0]) == 0.5


def faults(findings: list[Finding]) -> list[str]:
    return [one.what for one in findings if "could not be computed" in one.what]


ODD = {
    "no synthetic patients": lambda log: log.of(log.patients.head(0)),
    "five synthetic patients": lambda log: log.of(log.patients.head(5)),
    "a site without patients": lambda log: log.of(
        log.patients.filter(pl.col("SITE_GROUP") != "Breast")
    ),
    "no radiotherapy": lambda log: PatientLog(
        log.patients, log.pathways.filter(pl.col("type") != "RADIOTHERAPY")
    ),
    "no deaths": lambda log: PatientLog(
        log.patients,
        log.pathways.with_columns(type=pl.col("type").replace({"DEATH": "CENSOR"})),
    ),
    "a constant column": lambda log: PatientLog(
        log.patients.with_columns(GENDER=pl.lit("1"), AGE=pl.lit(70)), log.events
    ),
    "columns all missing": lambda log: PatientLog(
        log.patients.with_columns(
            pl.lit(None, pl.String).alias("STAGE_GROUP"),
            pl.lit(None, pl.String).alias("FINAL_ROUTE"),
            pl.lit(None, pl.Float64).alias("HEIGHT"),
            pl.lit(None, pl.String).alias("QUINTILE_2019"),
        ),
        log.events,
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_synthetic_data_are_answered(name):
    real = simulated(3000, 1)
    findings = run_analyses(registry(), real, ODD[name](simulated(3000, 2)), quiet)
    assert not faults(findings)
    too_few_to_tell = name in ("no synthetic patients", "five synthetic patients")
    assert any(one.verdict is Verdict.FAIL for one in findings) is not too_few_to_tell
    assert all(one.distance >= 0 for one in findings if one.verdict is not Verdict.UNTESTED)


@pytest.mark.parametrize("n", [0, 5, 250])
def test_tiny_tables_are_answered(n):
    log = simulated(3000, 1)
    tiny = log.of(log.patients.head(n))
    assert not faults(run_analyses(registry(), tiny, tiny, quiet))


@pytest.mark.parametrize("name", ["adult", "uci_heart", "uganda_malaria"])
def test_other_datasets_get_the_analyses_that_they_have_the_columns_for(name):
    schema = declaration(name)
    real, synthetic = (random_log(schema, 1000, seed) for seed in (1, 2))
    findings = run_analyses(schema, real, synthetic, quiet)
    assert not faults(findings)
    expectation = {"A1", "A2", "A3", "A26", "A27", "A28"}
    if schema.events is not None:
        expectation |= {"A21", "A22"}
    assert expectation <= {one.analysis for one in findings}
    shares = [one.verdict is Verdict.PASS for one in findings if one.verdict != Verdict.UNTESTED]
    assert np.mean(shares) > 0.9
