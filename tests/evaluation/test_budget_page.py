"""The report's files: whole, in a folder of their own, with every figure; what is low is said."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from budget_cases import charge, opened

from pipeline.catalog import BudgetReport
from pipeline.evaluation import budget_page, budget_plot
from pipeline.ledger import Ledger, low_budget_warning, standings
from pipeline.params import PrivacyParams

DECLARED = PrivacyParams(epsilon=1.0, delta=1e-6)
AT = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = opened(tmp_path / "ledger.db", much=10.0, little=3.0, unused=3.0)
    charge(made, "much", 1)
    charge(made, "little", *range(10))
    made.commit("little-3")
    return made


def written(ledger: Ledger, folder: Path) -> dict:
    budget_page.write(folder, standings(ledger), ledger.chain_head(), AT, DECLARED)
    return json.loads(BudgetReport(folder).figures.read_text())


def test_the_figures_are_the_ledgers(ledger: Ledger, tmp_path: Path) -> None:
    told = written(ledger, tmp_path / "report")
    assert told["chain_head"] == ledger.chain_head() and list(told["populations"]) == [
        "much",
        "little",
        "unused",
    ]
    for name, figures in told["populations"].items():
        balance = ledger.balance(name)
        assert (
            figures["share_spent"],
            figures["epsilon_spent"],
            figures["spent_rdp"],
            figures["more_like_last"],
        ) == (balance.share_spent, balance.epsilon_spent, balance.spent_rdp, balance.more_like_last)
        assert len(figures["charges"]) == balance.n_releases == len(figures["balance"]) - 1
    assert told["populations"]["little"]["releases"] == {
        "reserved": 9,
        "released": 1,
        "abandoned": 0,
    }
    assert told["populations"]["little"]["pld_epsilon_for_reports_only"] == pytest.approx(
        ledger.pld_epsilon("little")
    )


def test_the_page_is_self_contained_and_says_everything(ledger: Ledger, tmp_path: Path) -> None:
    written(ledger, tmp_path / "report")
    text = BudgetReport(tmp_path / "report").page.read_text()
    assert "<svg" in text and "<script" not in text and "src=" not in text
    assert "for reports only, admits nothing" in text and ledger.chain_head() in text
    assert "Restricted" in text and "real patients" not in text
    assert all(f"little-{number}" in text for number in range(10))
    assert BudgetReport(tmp_path / "report").picture.read_bytes().startswith(b"\x89PNG")


def test_what_a_person_typed_is_escaped(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "ledger.db", one=3.0)
    ledger.open_population(
        "two",
        universe="<b>people</b>",
        nominal_size=10,
        epsilon=3.0,
        delta=1e-6,
        ceiling_epsilon=3.0,
        kind="simulated",
        reason="tests",
        by="tests",
    )
    written(ledger, tmp_path / "report")
    assert "<b>people</b>" not in BudgetReport(tmp_path / "report").page.read_text()


def test_a_report_takes_the_place_of_the_last_and_of_nothing_else(
    ledger: Ledger, tmp_path: Path
) -> None:
    folder = tmp_path / "report"
    written(ledger, folder)
    before = BudgetReport(folder).figures.read_text()
    charge(ledger, "much", 2)
    assert (
        written(ledger, folder)["populations"]["much"]["releases"]["reserved"] == 2
        and before != BudgetReport(folder).figures.read_text()
    )
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"holds thesis\.txt"):
        written(ledger, folder)
    assert (folder / "thesis.txt").read_text() == "years of work" and not list(
        tmp_path.glob(".report*")
    )


def test_a_ledger_without_populations_has_no_report(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no population is open"):
        written(opened(tmp_path / "ledger.db"), tmp_path / "report")


def test_the_series_have_a_step_per_charge(ledger: Ledger) -> None:
    series = budget_page.series(standings(ledger))
    assert [step for step, _, _ in series["little/share_spent"]] == list(range(11))
    assert [value for _, _, value in series["little/releases"]] == list(range(11))
    shares = [value for _, _, value in series["little/share_spent"]]
    assert shares == sorted(shares) and shares[-1] == pytest.approx(
        ledger.balance("little").share_spent
    )
    assert len(series["unused/share_spent"]) == 1


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_picture_has_a_panel_per_population(tmp_path: Path, count: int) -> None:
    ledger = opened(tmp_path / "ledger.db", **{f"people_{number}": 3.0 for number in range(count)})
    figure = budget_plot.balances(standings(ledger), AT, 0.2)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left").split(":")[0] for axes in shown] == [
        f"people_{number}" for number in range(count)
    ]


@pytest.mark.parametrize(
    ("name", "share", "releases", "is_low"),
    [
        ("much", 0.2, 3, False),
        ("much", 0.999, 3, True),
        ("much", 0.2, 10_000, True),
        ("little", 0.3, 3, True),
        ("little", 0.0, 0, False),
        ("unused", 0.2, 3, False),
    ],
)
def test_low_is_what_the_settings_say(
    ledger: Ledger, name: str, share: float, releases: int, is_low: bool
) -> None:
    population, balance = ledger.population(name), ledger.balance(name)
    declared = PrivacyParams(
        epsilon=1.0, delta=1e-6, warn_below_share=share, warn_below_releases=releases
    )
    said = low_budget_warning(population, 1 - balance.share_spent, balance.more_like_last, declared)
    assert (said is not None) == is_low
    if said:
        assert (
            f"population {name}" in said
            and "What to do" in said
            and f"{1 - balance.share_spent:.1%}" in said
        )
        assert f"ceiling of {population.ceiling_epsilon:g}" in said


@pytest.mark.parametrize(
    "wrong", [{"warn_below_share": 1.0}, {"warn_below_share": -0.1}, {"warn_below_releases": -1}]
)
def test_settings_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PrivacyParams(epsilon=1.0, delta=1e-6, **wrong)
