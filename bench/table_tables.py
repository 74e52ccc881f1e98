"""The table benchmark's results as tables and pictures in docs/benchmarks.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench import table_data
from bench.report import between, save

SCRIPT = "tables.py"
PLOTS = table_data.ROOT / "docs" / "benchmarks"
RESULTS = table_data.ROOT / "bench" / "results"
OURS, REAL, NO_TARGET = "ours", "real", "ours, no target"
WITH_TABLES = "ours, with published tables"
NAMES = {
    OURS: "**Syndasera**",
    WITH_TABLES: "Syndasera, with published tables",
    NO_TARGET: "Syndasera, no target declared",
    REAL: "real rows, drawn again (floor)",
    "mostlyai": "TabularARGN, not private",
    "ctgan": "CTGAN, not private",
    "dpmm-aim": "AIM (dpmm)",
    "dpmm-mst": "MST (dpmm)",
    "mostlyai-dp": "TabularARGN, DP (mostlyai)",
    "smartnoise-dpctgan": "DP-CTGAN (smartnoise)",
}
COLUMNS = {
    "two_way_tvd": "2-way TVD",
    "one_way_tvd": "1-way",
    "quality": "quality",
    "auc": "AUC",
    "detection": "detection",
    "concordance": "C",
    "fit_cpu_seconds": "fit, CPU-s",
}
COLOURS = {model: f"C{place}" for place, model in enumerate(NAMES)}
Rows = Sequence[dict[str, Any]]


def write(rows: Rows) -> None:
    """The parts of docs/benchmarks.md that are this script's."""
    plot_scores(rows, PLOTS / "tables.svg")
    growth = json.loads((RESULTS / "table_growth.json").read_text(encoding="utf-8"))
    plot_growth(growth, PLOTS / "table_growth.svg")
    between(
        "tables",
        SCRIPT,
        "\n\n".join(
            f"### {name}\n{table([row for row in rows if row['dataset'] == name])}"
            for name in table_data.DATASETS
            if any(row["dataset"] == name for row in rows)
        ),
    )
    between(
        "ablation",
        SCRIPT,
        ablation(json.loads((RESULTS / "table_ablation.json").read_text(encoding="utf-8"))),
    )
    between("growth", SCRIPT, growth_table(growth))


def table(rows: Rows) -> str:
    """A line per model and epsilon: mean over splits, in brackets the standard deviation where
    there are several.
    """
    lines = [
        "| | epsilon | splits | " + " | ".join(COLUMNS.values()) + " |",
        "|---|---|---|" + "---|" * len(COLUMNS),
    ]
    for model in NAMES:
        for epsilon in sorted({row["epsilon"] for row in rows if row["model"] == model}):
            group = [row for row in rows if row["model"] == model and row["epsilon"] == epsilon]
            start = f"| {NAMES[model]} | {f'{epsilon:g}' if epsilon else '-'} | "
            if "error" in group[0]:
                lines.append(
                    f"{start}0 | {group[0]['error'].splitlines()[-1][:80]} |"
                    + " |" * (len(COLUMNS) - 1)
                )
            else:
                lines.append(
                    f"{start}{len(group)} | "
                    + " | ".join(cell(group, name) for name in COLUMNS)
                    + " |"
                )
    return "\n".join(lines)


def cell(rows: Rows, name: str) -> str:
    values = [row[name] for row in rows if name in row]
    if not values:
        return "-"
    if name == "fit_cpu_seconds":
        return f"{np.mean(values):,.0f}"
    digits = 4 if name.endswith("_tvd") else 3
    return f"{np.mean(values):.{digits}f}" + (
        f" ({np.std(values, ddof=1):.{digits}f})" if len(values) > 1 else ""
    )


def plot_scores(rows: Rows, out: Path) -> None:
    """Per dataset, over epsilon: 2-way TVD above, AUC below; dashed: what real rows give, dotted:
    the best peer without privacy.
    """
    figure = Figure(figsize=(13, 5.6), layout="constrained")
    panels = product(("two_way_tvd", "auc"), table_data.PUBLIC)
    grid = figure.subplots(2, len(table_data.PUBLIC)).flat
    for axes, (name, dataset) in zip(grid, panels, strict=True):
        group = [row for row in rows if row["dataset"] == dataset and name in row]
        for model in (model for model in NAMES if model not in (REAL, "mostlyai", "ctgan")):
            _curve(axes, [row for row in group if row["model"] == model], name, model)
        for model, style in ((REAL, "--"), ("mostlyai", ":")):
            if level := [row[name] for row in group if row["model"] == model]:
                axes.axhline(
                    float(np.mean(level)),
                    linestyle=style,
                    color="0.4",
                    linewidth=1,
                    label=NAMES[model],
                )
        _label(axes, name, dataset)
    _legend(figure)
    save(figure, out)


def _curve(axes: Axes, rows: Rows, name: str, model: str) -> None:
    """One model's figure over epsilon: means over splits, with their standard deviation."""
    points = sorted({row["epsilon"] for row in rows})
    values = [[row[name] for row in rows if row["epsilon"] == epsilon] for epsilon in points]
    if points:
        axes.errorbar(
            points,
            [np.mean(v) for v in values],
            yerr=[np.std(v, ddof=1) if len(v) > 1 else 0.0 for v in values],
            marker="o",
            capsize=2,
            label=NAMES[model].strip("*"),
            color=COLOURS[model],
            linewidth=2.4 if model == OURS else 1.0,
        )


def _label(axes: Axes, name: str, dataset: str) -> None:
    axes.set(
        xscale="log",
        title=dataset if name == "two_way_tvd" else "",
        xlabel="epsilon" if name == "auc" else "",
    )
    axes.set_xticks([1, 3, 10], ["1", "3", "10"])
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
    if dataset == table_data.PUBLIC[0]:
        axes.set_ylabel(
            "2-way TVD (small is good)" if name == "two_way_tvd" else "AUC on real rows"
        )


def _legend(figure: Figure) -> None:
    """One legend for all panels, each label once."""
    handles = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=5,
        frameon=False,
        fontsize="small",
    )


def ablation(rows: Rows) -> str:
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    names = ("two_way_tvd", "quality", "auc", "fit_cpu_seconds")
    lines = [
        "| | "
        + " | ".join(
            f"{dataset}: " + " | ".join(COLUMNS[name] for name in names) for dataset in datasets
        )
        + " |",
        "|---|" + "---|" * len(names) * len(datasets),
    ]
    for part in dict.fromkeys(row["part"] for row in rows):
        cells = []
        for dataset in datasets:
            group = [row for row in rows if row["part"] == part and row["dataset"] == dataset]
            cells += [
                (
                    (
                        f"{np.mean([row[name] for row in group]):.0f}"
                        if name == "fit_cpu_seconds"
                        else f"{np.mean([row[name] for row in group]):.3f}"
                    )
                    if group
                    else "-"
                )
                for name in names
            ]
        lines.append(f"| {part} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def growth_table(rows: Rows) -> str:
    lines = [
        (
            "| rows | columns | fit, CPU-s | fit, s | peak MB | of it the rows | drawn rows per"
            " CPU-s |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join(
        lines
        + [
            f"| {row['rows']:,.0f} | {row['columns']:.0f} | {row['fit_cpu_seconds']:.0f} |"
            f" {row['wall_seconds']:.0f} | {row['peak_mb']:,.0f} | {row['rows_in_mb']:,.0f} |"
            f" {row['draw_rows_per_cpu_second']:,.0f} |"
            for row in rows
        ]
    )


def plot_growth(rows: Rows, out: Path) -> None:
    fixed_rows = 50_000
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for axes, (name, fixed, label) in zip(
        figure.subplots(1, 2),
        (
            ("rows", ("columns", 30), "rows, at 30 columns"),
            ("columns", ("rows", fixed_rows), "columns, at 50,000 rows"),
        ),
        strict=True,
    ):
        group = sorted(
            (row for row in rows if row[fixed[0]] == fixed[1]), key=lambda row: row[name]
        )
        axes.plot(
            [row[name] for row in group],
            [row["wall_seconds"] for row in group],
            marker="o",
            label="seconds of the fit",
        )
        axes.plot(
            [row[name] for row in group],
            [row["peak_mb"] for row in group],
            marker="s",
            label="peak MB",
        )
        axes.set(xscale="log", yscale="log", xlabel=label)
        ticks = [row[name] for row in group if row[name] != fixed_rows]
        axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
        axes.set_yticks(
            [10, 30, 100, 300, 1000, 3000], ["10", "30", "100", "300", "1,000", "3,000"]
        )
        axes.set_ylim(3, 4000)
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False)
    save(figure, out)
