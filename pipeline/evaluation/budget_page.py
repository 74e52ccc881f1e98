"""The budget report as files: a page, a picture and the figures behind both."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.catalog import BudgetReport
from pipeline.evaluation import budget_plot, plots, report
from pipeline.ledger import Charge, Standing, low_budget_warning
from pipeline.params import PrivacyParams
from pipeline.refusal import Refusal

BANNER = (
    "Restricted: what was spent, by whom it was asked for, and when. No patient's row was read"
    " for it."
)
MEANING = """\
<p>A population has one budget for its whole life. Each release is charged by its Renyi divergence
at the population's one order; the sum may never pass the limit, whatever becomes of the releases.
<b>Share spent</b> is that sum over the limit: it grows evenly with releases and is the figure to
go by. <b>Epsilon spent</b> is what the sum converts to: a true bound on everything so far, but
loose while little is spent. <b>PLD epsilon</b> is for reports only and admits nothing: it would
be true had all releases been fixed beforehand. <b>Runs out</b> goes by the pace of the last five
releases, and counts a release that is overdue by that pace.</p>"""


def write(
    folder: Path, standings: Sequence[Standing], head: str, at: datetime, settings: PrivacyParams
) -> None:
    """Writes the page, the picture and the figures to `folder`, whole or not at all.

    Raises Refusal where the folder holds anything else than an earlier report, which gives way,
    or where no population is open.
    """
    if not standings:
        raise Refusal("no population is open in the ledger yet, so there is no budget to report on")
    with files.replacing_folder(folder, foreign=_no_part_of_a_report) as temporary:
        files.private_folder(temporary)
        out = BudgetReport(temporary)
        picture = budget_plot.balances(standings, at, settings.warn_below_share)
        files.write_text(out.page, page(standings, plots.svg(picture), head, at, settings))
        out.picture.write_bytes(budget_plot.png(picture))
        files.write_json(out.figures, figures(standings, head, at, settings))


def _no_part_of_a_report(folder: Path) -> list[str]:
    """Names in the folder. A page without figures of a ledger is somebody else's."""
    report_there = BudgetReport(folder)
    parts = (report_there.page, report_there.picture, report_there.figures)
    try:
        is_report = "chain_head" in files.read_json(report_there.figures, {})
    except ValueError:
        is_report = False
    return files.others(folder, [part.name for part in parts] if is_report else ())


def figures(
    standings: Sequence[Standing], head: str, at: datetime, settings: PrivacyParams
) -> dict[str, Any]:
    """Everything on the page, as JSON values."""
    return {
        "chain_head": head,
        "at": at.isoformat(),
        "populations": {one.population.name: _figures(one, at, settings) for one in standings},
    }


def _figures(one: Standing, at: datetime, settings: PrivacyParams) -> dict[str, Any]:
    balance, population = one.balance, one.population
    return {
        "kind": population.kind,
        "universe": population.universe,
        "nominal_size": population.nominal_size,
        "epsilon": balance.epsilon_total,
        "delta": balance.delta,
        "ceiling_epsilon": population.ceiling_epsilon,
        "order": balance.order,
        "limit_rdp": balance.limit_rdp,
        "spent_rdp": balance.spent_rdp,
        "share_spent": balance.share_spent,
        "epsilon_spent": balance.epsilon_spent,
        "spent_rdp_by_cohort": balance.spent_by_cohort,
        "pld_epsilon_for_reports_only": one.pld_epsilon,
        "releases": one.states,
        "more_like_last": balance.more_like_last,
        "runs_out": out.date().isoformat() if (out := one.runs_out(at)) else None,
        "warning": _warning(one, settings),
        "overlapping": {
            "populations": [other.name for other in one.overlapping],
            "epsilon": sum(other.epsilon for other in one.overlapping),
            "delta": sum(other.delta for other in one.overlapping),
        },
        "balance": [
            {
                "at": point.at.isoformat(),
                "kind": point.kind,
                "share_spent": point.share_spent,
                "epsilon_spent": point.epsilon_spent,
                "epsilon_total": point.epsilon_total,
                "releases": point.n_releases,
            }
            for point in one.points
        ],
        "charges": [
            {
                "release_id": charge.release_id,
                "at": charge.after.at.isoformat(),
                "state": charge.state,
                "source_label": charge.source_label,
                "cohorts": charge.cohorts,
                "epsilon": charge.epsilon,
                "rdp": charge.rdp,
                "share_spent_after": charge.after.share_spent,
            }
            for charge in one.charges
        ],
    }


def series(standings: Sequence[Standing]) -> dict[str, list[tuple[int, datetime, float]]]:
    """{name of a figure: [(step, time, value)]}, a step per entry that moved the balance."""
    points_of: dict[str, list[tuple[int, datetime, float]]] = {}
    for one in standings:
        for step, point in enumerate(one.points):
            for name, value in (
                ("share_spent", point.share_spent),
                ("epsilon_spent", point.epsilon_spent),
                ("releases", float(point.n_releases)),
            ):
                points_of.setdefault(f"{one.population.name}/{name}", []).append(
                    (step, point.at, value)
                )
    return points_of


def page(
    standings: Sequence[Standing], picture: str, head: str, at: datetime, settings: PrivacyParams
) -> str:
    sections = {
        "At a glance": _warnings(standings, settings) + _glance(standings, at),
        "Over time": report.plots([picture]),
    }
    sections |= {
        f"Population {one.population.name}": _facts(one, at) + _charges(one.charges)
        for one in standings
    }
    sections["What the figures mean"] = MEANING
    return report.page(
        "Privacy budget",
        f"{at:%d %B %Y, %H:%M} UTC. The ledger's chain is whole; its head is {head}.",
        sections,
        banner=BANNER,
    )


def _warning(one: Standing, settings: PrivacyParams) -> str | None:
    return low_budget_warning(
        one.population, 1 - one.balance.share_spent, one.balance.more_like_last, settings
    )


def _warnings(standings: Sequence[Standing], settings: PrivacyParams) -> str:
    warnings = [text for one in standings if (text := _warning(one, settings))]
    return "".join(
        f'<p class="banner">{html.escape(text[:1].upper() + text[1:])}.</p>' for text in warnings
    )


def _glance(standings: Sequence[Standing], at: datetime) -> str:
    rows = [
        [
            one.population.name,
            f"{one.balance.epsilon_total:g} (ceiling {one.population.ceiling_epsilon:g})",
            f"{one.balance.delta:g}",
            f"{one.balance.share_spent:.1%}",
            one.balance.n_releases,
            _or_unknown(one.balance.more_like_last),
            _day(one.runs_out(at)),
        ]
        for one in standings
    ]
    return report.table(
        (
            "population",
            "budget: epsilon",
            "delta",
            "share spent",
            "releases",
            "more like the last",
            "runs out",
        ),
        rows,
    )


def _facts(one: Standing, at: datetime) -> str:
    balance, population = one.balance, one.population
    facts: Mapping[str, str] = {
        "Kind, universe": (
            f"{population.kind}, {population.universe} (nominal size {population.nominal_size:,})"
        ),
        "Budget": (
            f"epsilon {balance.epsilon_total:g} at delta {balance.delta:g}; it may be raised up to"
            f" epsilon {population.ceiling_epsilon:g}"
        ),
        "Filter": (
            f"Renyi order {balance.order}, {balance.spent_rdp:.4f} of {balance.limit_rdp:.4f} spent"
            f" ({balance.share_spent:.1%})"
        ),
        **(
            {
                "Spent by cohort": ", ".join(
                    f"{cohort} {spent / balance.limit_rdp:.1%}"
                    for cohort, spent in balance.spent_by_cohort.items()
                )
            }
            if balance.spent_by_cohort
            else {}
        ),
        "Epsilon spent": f"{balance.epsilon_spent:.3f} at delta {balance.delta:g}",
        "PLD epsilon": f"{one.pld_epsilon:.3f} (for reports only, admits nothing)",
        "Releases charged": (
            ", ".join(f"{count} {state}" for state, count in one.states.items() if count) or "none"
        ),
        "More like the last one": _or_unknown(balance.more_like_last),
        "Runs out at the pace of the last releases": _day(one.runs_out(at)),
        "Populations that may share a patient": (
            f"{', '.join(other.name for other in one.overlapping)}: together epsilon "
            f"{sum(other.epsilon for other in one.overlapping):g}, delta "
            f"{sum(other.delta for other in one.overlapping):g}"
        ),
    }
    return report.table(("", ""), list(facts.items()))


def _charges(charges: Sequence[Charge]) -> str:
    """The charges over time, newest first."""
    if not charges:
        return "<p>Nothing was charged yet.</p>"
    rows = [
        [
            f"{charge.after.at:%Y-%m-%d %H:%M}",
            charge.release_id + (f" ({', '.join(charge.cohorts)})" if charge.cohorts else ""),
            charge.source_label,
            charge.state,
            f"{charge.epsilon:.3f}",
            f"{charge.rdp / charge.after.limit_rdp:.2%}",
            f"{charge.after.share_spent:.1%}",
            f"{charge.after.epsilon_spent:.3f}",
        ]
        for charge in reversed(charges)
    ]
    header = (
        "charged, UTC",
        "release",
        "source label",
        "state",
        "epsilon alone",
        "of the budget",
        "spent after it",
        "epsilon spent",
    )
    return report.table(header, rows)


def _or_unknown(count: int | None) -> str:
    return "–" if count is None else str(count)


def _day(at: datetime | None) -> str:
    return "–" if at is None else f"{at:%d %B %Y}"
