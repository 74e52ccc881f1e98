"""The verdict in three sentences, for several contents; numbers in words."""

import math

import pytest
from report_cases import content, estimate, finding, risk

from pipeline.evaluation.findings import Estimate, Verdict
from pipeline.evaluation.page import estimate_words as words
from pipeline.evaluation.page import numbers, verdicts
from pipeline.evaluation.page.verdicts import sentences


def test_there_are_three_sentences() -> None:
    for one in (content(), content(findings=()), content(risks=()), content(warnings=())):
        assert len(sentences(one)) == 3
        assert all(text.endswith(".") and ". " not in text for text in sentences(one))


def test_analyses_that_fail_are_named() -> None:
    findings = [
        *(finding("A1", 0.1) for _ in range(4)),
        *(finding("A7", distance) for distance in (0.1, 0.1, 9.0, 9.0)),
    ]
    first = sentences(content(findings=findings))[0]
    assert first == (
        "1 of 2 analyses come out the same as on real patients (6 of 8 comparisons pass); “Survival"
        " curves” fails worst, in 2 of 4 comparisons."
    )
    same = sentences(content(findings=findings[:4]))[0]
    assert same == (
        "1 of 1 analysis comes out the same as on real patients, and no comparison fails."
    )
    untested = sentences(content(findings=[finding("A1", math.nan)]))[0]
    assert "not known" in untested


def test_the_weakest_subgroup_is_named_and_the_gate() -> None:
    findings = [
        *(finding("A1", 9.0, group="Age: 80 and over") for _ in range(2)),
        *(finding("A1", distance, group="Ethnicity: Black") for distance in (9.0, 9.0, 0.1)),
        *(finding("A1", distance, group="Ethnicity: Asian") for distance in (9.0, 0.1, 0.1)),
    ]
    second = sentences(content(findings=findings))[1]
    # two comparisons are too few to judge a subgroup by
    assert second == (
        "Trust it least for “Ethnicity: Black”, where 2 of 3 comparisons fail, and the gate warns"
        " of 2 things, listed below."
    )
    nothing = sentences(content(findings=(), warnings=()))[1]
    assert "No subgroup" in nothing and nothing.endswith("the gate warns of nothing.")


def test_attacks_above_their_control_are_named() -> None:
    none = sentences(content())[2]
    assert none.startswith("None of 2 attacks finds more") and "does not prove" in none
    one = sentences(content(risks=[risk("linkage", 0.12, 0.08, is_found=True), risk("b", 0, 0)]))[2]
    assert "1 of 2 attacks finds" in one and "“linkage” (12% against 8%)" in one
    assert "not tried" in sentences(content(risks=()))[2]


def test_an_analysis_passes_by_nine_in_ten() -> None:
    def of(*distances: float) -> Verdict:
        return verdicts.tally("x", [finding("A1", one) for one in distances]).verdict

    assert of(*[0.1] * 9, 5.0) is Verdict.PASS
    assert of(*[0.1] * 8, 1.5, 5.0) is Verdict.WARN
    assert of(*[0.1] * 8, 5.0, 5.0) is Verdict.FAIL
    assert of(math.nan) is Verdict.UNTESTED


def test_analyses_are_in_the_order_of_their_numbers() -> None:
    findings = [finding(number, 0.1) for number in ("A11", "A2", "A1b", "A1")]
    assert list(verdicts.by_analysis(content(findings=findings))) == ["A1", "A1b", "A2", "A11"]


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (1.0, "100%"),
        (0.99996, "over 99.9%"),
        (0.8712, "87%"),
        (0.034, "3.4%"),
        (0.0001, "under 0.1%"),
        (0.0, "0%"),
        (math.nan, "–"),
        (0.996, "99.6%"),
        (-0.05, "−5%"),
    ],
)
def test_shares_in_words(share: float, words: str) -> None:
    assert numbers.percent(share) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (12345.6, "12,346"),
        (0.0312, "0.0312"),
        (0.00001, "under 0.001"),
        (-0.00001, "over −0.001"),
        (0.0, "0"),
        (2.0, "2"),
        (99.96, "100"),
        (-1.5, "−1.5"),
        (1e16, "over a thousand trillion"),
        (math.nan, "–"),
        (math.inf, "infinite"),
    ],
)
def test_numbers_in_words(value: float, words: str) -> None:
    assert numbers.number(value) == words


def test_an_estimate_has_as_many_places_as_its_interval() -> None:
    assert words.estimate(estimate(71.0), "%") == "71% (69 to 73)"
    assert words.estimate(Estimate(value=1.5, low=1.32, high=1.71)) == "1.50 (1.32 to 1.71)"
    assert words.estimate(Estimate(value=20.0, low=7.0, high=42.0), "days") == "20 days (7 to 42)"
    assert words.estimate(Estimate(value=3.0), "%") == "3%"
    assert words.estimate(Estimate(value=0.0, low=-0.02, high=0.02)) == "0.00 (−0.02 to 0.02)"
    assert words.estimate(None) == words.estimate(Estimate(value=math.nan)) == "–"
    assert words.shares(Estimate(value=0.12, low=0.09, high=0.15)) == "12% (9 to 15)"
