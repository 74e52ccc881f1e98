"""The table and the plot of bench/refresh.py, from bench/results/refresh.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bench import report
from pipeline.stages import STAGES

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "refresh.json"
PLOT = ROOT / "docs" / "benchmarks" / "refresh.svg"
WHOLE = "make run"
OF_AIRFLOW = ("DAG run", "tasks of the DAG")
SMALL = 600
FROM, TO = 100_000, 2_000_000  # patients between which the exponent is taken
NAMES = ("simulate", *STAGES)
Costs = Mapping[tuple[str, int], Mapping[str, Any]]


def sizes_of(cost: Costs) -> list[int]:
    """Sizes of which all stages of simulated pathways were measured."""
    return sorted({n for stage, n in cost if stage == "simulate"})


def total(cost: Costs, n: int, field: str) -> float:
    """Of all stages from the CSV files on: the simulator is not counted."""
    return sum(cost[stage, n].get(field) or 0.0 for stage in STAGES if (stage, n) in cost)


def peak(cost: Costs, n: int) -> float:
    return max(cost[stage, n]["peak_mb"] for stage in STAGES if (stage, n) in cost)


def exponent(cost: Costs, stage: str | None = None) -> float | None:
    """Slope of the logarithm of seconds over that of patients: 1 where time grows as they do. None
    where one of the two sizes was not measured.
    """
    if not {FROM, TO} <= set(sizes_of(cost)) or (
        stage is not None and not {(stage, FROM), (stage, TO)} <= set(cost)
    ):
        return None
    before, after = (
        total(cost, n, "seconds") if stage is None else cost[stage, n]["seconds"]
        for n in (FROM, TO)
    )
    return math.log(after / before) / math.log(TO / FROM)


def table(cost: Costs) -> str:
    """Markdown: a line per stage, three columns per size."""
    sizes = sizes_of(cost)
    heads = " | ".join(f"{n:,} patients: s | CPU s | peak MB" for n in sizes)
    lines = [f"| stage | {heads} | exponent |", "|---|" + "---|---|---|" * len(sizes) + "---|"]
    for stage in NAMES:
        cells = [_cells(cost.get((stage, n))) for n in sizes]
        lines.append(f"| {stage} | {' | '.join(cells)} | {_slope(exponent(cost, stage))} |")
    totals = [
        f"{total(cost, n, 'seconds'):,.0f} | {_figure(total(cost, n, 'cpu_seconds'), ',.0f')} |"
        f" {peak(cost, n):,.0f}"
        for n in sizes
    ]
    lines.append(
        "| **all from the CSV files on (peak: the largest)** |"
        f" {' | '.join(totals)} | {_slope(exponent(cost))} |"
    )
    return "\n".join([*lines, "", *limits(cost), "", *sentences(cost)])


def _cells(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "- | - | -"
    cpu = _figure(row.get("cpu_seconds") or 0.0, ".1f")
    return f"{row['seconds']:.1f} | {cpu} | {row['peak_mb']:.0f}"


def _figure(value: float, form: str) -> str:
    return f"{value:{form}}" if value else "-"


def _slope(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def limits(cost: Costs) -> list[str]:
    """What was asked beside what was measured."""
    is_there = TO in sizes_of(cost)
    seconds = total(cost, TO, "seconds") if is_there else None
    slope, share = exponent(cost), airflow_share(cost)
    of_small = sum(cost[stage, SMALL]["seconds"] for stage in STAGES if (stage, SMALL) in cost)
    answers = {
        f"{TO:,} patients, all stages: at most 60 minutes": (
            f"{seconds / 60:.0f} minutes" if seconds else None
        ),
        f"{TO:,} patients: at most 12 GB": f"{peak(cost, TO) / 1024:.1f} GB" if is_there else None,
        f"exponent of seconds over patients, {FROM:,} to {TO:,}: at most 1.05": (
            f"{slope:.2f}" if slope is not None else None
        ),
        f"a table of {SMALL} rows, all stages: at most 90 s": (
            f"{of_small:.0f} s" if of_small else None
        ),
        f"Airflow's own share of the DAG's run, {FROM:,} patients: at most 10%": (
            f"{share:.0%}" if share is not None else None
        ),
    }
    lines = [f"| {question} | {figure or 'not measured'} |" for question, figure in answers.items()]
    return ["| asked | measured |", "|---|---|", *lines]


def own_seconds(cost: Costs) -> float | None:
    """Of a run of the DAG, what its stages do not take when they run by themselves: the time
    between tasks, the start of each, and DVC's and git's part, which the bare stages have not.
    """
    for (name, n), row in cost.items():
        if name == OF_AIRFLOW[0] and n in sizes_of(cost):
            return float(row["seconds"] - total(cost, n, "seconds"))
    return None


def airflow_share(cost: Costs) -> float | None:
    """Of a run of the DAG with FROM patients, were its own seconds the same there: they were
    measured on fewer, and DVC's part of them grows with the files.
    """
    own = own_seconds(cost)
    if own is None or FROM not in sizes_of(cost):
        return None
    return own / (own + total(cost, FROM, "seconds"))


def sentences(cost: Costs) -> list[str]:
    """What `make run` took."""
    lines = [
        f"`make run` with {n:,} patients, Airflow and all stages, from an empty home:"
        f" {row['seconds']:.0f} s, at most {row['peak_mb']:,.0f} MB."
        for (stage, n), row in cost.items()
        if stage == WHOLE
    ]
    own = own_seconds(cost)
    if own is not None:
        run, tasks = (
            next(row["seconds"] for (stage, _), row in cost.items() if stage == name)
            for name in OF_AIRFLOW
        )
        lines.append(
            f"The run of the DAG took {run:.0f} s, {tasks:.0f} s of it in tasks; {own:.0f} s are"
            " more than the bare stages take: starts of tasks, DVC, git, time between tasks."
        )
    return lines


def plot(cost: Costs) -> None:
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    sizes = sizes_of(cost)
    for axes, field, label, limit in zip(
        figure.subplots(1, 2),
        ("seconds", "peak_mb"),
        ("seconds", "peak memory, MB"),
        (3600, 12 * 1024),
        strict=True,
    ):
        for stage in NAMES:
            points = [(n, cost[stage, n][field]) for n in sizes if (stage, n) in cost]
            axes.plot(*zip(*points, strict=True), marker="o", label=stage)
        if field == "seconds":
            totals = [total(cost, n, field) for n in sizes]
            axes.plot(sizes, totals, marker="o", color="black", label="all")
        axes.axhline(limit, color="grey", linestyle=":", label="asked, at most")
        axes.set(xscale="log", yscale="log", xlabel="patients", ylabel=label)
        axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
        axes.minorticks_off()
        axes.yaxis.set_major_formatter("{x:g}")
        low, high = axes.get_ylim()
        ticks = (2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
        axes.set_yticks([n for n in ticks if low <= n <= high])
        axes.spines[["top", "right"]].set_visible(False)
    # those of seconds: only there is the sum of all stages
    entries = figure.axes[0].get_legend_handles_labels()
    axes.legend(
        *entries, frameon=False, fontsize="small", bbox_to_anchor=(1.02, 1), loc="upper left"
    )
    report.save(figure, PLOT)


def write() -> None:
    """The table in docs/benchmarks.md, and the plot."""
    cost: Costs = {(row["stage"], row["patients"]): row for row in report.read(RESULTS)}
    plot(cost)
    report.between("refresh", "refresh.py", table(cost))
