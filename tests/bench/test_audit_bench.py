"""The benchmark of audits: what it runs gives the figures it tells, and its table and plot hold
them.
"""

from pathlib import Path

import pytest

from bench import audit_bounds, report


@pytest.mark.parametrize("name", ["Noisy counts", "DP-SGD step, ghost clipping, linear"])
def test_an_audit_gives_what_the_table_tells(name: str, tmp_path: Path) -> None:
    audit, _ = audit_bounds.AUDITS[name]
    figures = audit(10.0, 2000, tmp_path).figures
    rows = [{"mechanism": name, "epsilon": 10, "repeat": repeat, **figures} for repeat in range(2)]
    [line] = audit_bounds.table(rows).splitlines()[2:]
    assert line.startswith(
        f"| {name} | {figures['epsilon_claimed']:.2f} | {figures['epsilon_at_least']:.2f} ("
    )
    assert line.endswith("| 2,000 each | 2 |")


def test_no_kept_bound_passes_its_claim_by_more_than_chance() -> None:
    """At 95% a few of many audits may; all that were kept are shown."""
    rows = report.read(audit_bounds.RESULTS)
    assert {row["mechanism"] for row in rows} == set(audit_bounds.AUDITS)
    assert all(row["epsilon_at_least_surely"] <= row["epsilon_claimed"] for row in rows)
    assert sum(row["epsilon_at_least"] > row["epsilon_claimed"] for row in rows) <= 0.15 * len(rows)


def test_the_plot_is_drawn_from_the_results(tmp_path: Path) -> None:
    audit_bounds.plot(report.read(audit_bounds.RESULTS), tmp_path / "plot.svg")
    assert (
        "assumed" in (tmp_path / "plot.svg").read_text(encoding="utf-8")
        or (tmp_path / "plot.svg").stat().st_size > 10_000
    )
