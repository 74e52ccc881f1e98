"""The pathway benchmark's results as tables and plots in docs/benchmarks.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench import pathway_plots, pathway_rules
from bench.pathway_data import ROOT
from bench.report import between, mean

SCRIPT = "pathways.py"
PLOTS = ROOT / "docs" / "benchmarks"
FLAT = ROOT / "bench" / "results" / "pathways_flat.json"
CLIPPING = ROOT / "bench" / "results" / "clipping.json"
COLUMNS = {
    "bigram_tvd": "bigram TVD",
    "trigram_tvd": "trigram",
    "combination_tvd": "combination TVD",
    "survival_gap_1y": "KM 1 y",
    "survival_gap_5y": "5 y",
    "cox_error": "Cox",
    "wait_gap": "wait, days",
    "detection": "detection",
    "detection_events": "on events",
    "illegal": "illegal",
}
# what was asked (patients: figure: at most), or twice the floor where that is larger
_NAMES = (
    "bigram_tvd",
    "trigram_tvd",
    "combination_tvd",
    "survival_gap_1y",
    "survival_gap_5y",
    "cox_error",
    "wait_gap",
    "detection",
    "illegal",
)
TARGETS = {
    20_000: dict(zip(_NAMES, (0.07, 0.11, 0.12, 0.02, 0.03, 0.12, 4, 0.82, 0), strict=True)),
    100_000: dict(zip(_NAMES, (0.035, 0.06, 0.09, 0.01, 0.015, 0.05, 2, 0.66, 0), strict=True)),
}
DOUBLED = [name for name in COLUMNS if not name.startswith(("detection", "illegal"))]
Rows = Sequence[dict[str, Any]]


def write(rows: Rows) -> None:
    """The parts of docs/benchmarks.md that are this script's."""
    group = [row for row in rows if row["model"] == "ours"]
    default, real = (
        [row for row in group if not row["settings"]],
        [row for row in rows if row["model"] == "real"],
    )
    flat = json.loads(FLAT.read_text(encoding="utf-8"))
    between(
        "pathways",
        SCRIPT,
        "\n\n".join(
            f"### {n:,} patients, epsilon 1\n{table(group, real, n, flat.get(str(n), {}))}"
            for n in TARGETS
        ),
    )
    between(
        "curves",
        SCRIPT,
        larger([row for row in default if row["patients"] not in TARGETS or row["epsilon"] != 1]),
    )
    between("costs", SCRIPT, costs(group))
    between("rules", SCRIPT, rules(default))
    small = min(TARGETS)
    pathway_plots.curves(
        [row for row in default if row["epsilon"] == 1],
        "patients",
        real,
        "patients, epsilon 1",
        PLOTS / "pathways_patients.svg",
    )
    pathway_plots.curves(
        [row for row in default if row["patients"] == small],
        "epsilon",
        [row for row in real if row["patients"] == small],
        f"epsilon, {small:,} patients",
        PLOTS / "pathways_epsilon.svg",
    )
    between("clipping", SCRIPT, clipping(json.loads(CLIPPING.read_text(encoding="utf-8"))))


def table(rows: Rows, real: Rows, n: int, flat: dict[str, dict[str, Any]]) -> str:
    """A line per model: mean over seeds, in brackets the standard deviation."""
    group = [row for row in rows if row["patients"] == n and row["epsilon"] == 1]
    real = [row for row in real if row["patients"] == n]
    targets = dict(TARGETS[n])
    for name in DOUBLED if real else ():
        targets[name] = max(targets[name], 2 * float(np.mean([row[name] for row in real])))
    lines = [
        "| | seeds | " + " | ".join(COLUMNS.values()) + " |",
        "|---|---|" + "---|" * len(COLUMNS),
    ]
    lines += [
        _line(_label(settings), [row for row in group if row["settings"] == settings])
        for settings in _settings(group)
    ]
    lines += [_line("asked, at most", [targets]), _line("fresh sample (floor)", real)]
    baseline = [
        name
        for name in flat
        if name.startswith(("MST", "table model", "AIM")) and "error" not in flat[name]
    ]
    return "\n".join(lines + [_line(f"flattened: {name}", [flat[name]]) for name in baseline])


def larger(rows: Rows) -> str:
    """Other sizes and other epsilons, a line each."""
    lines = [
        "| patients | epsilon | delta | " + " | ".join(COLUMNS.values()) + " |",
        "|---|---|---|" + "---|" * len(COLUMNS),
    ]
    for n, epsilon, delta in sorted(
        {(row["patients"], row["epsilon"], row["delta"]) for row in rows}
    ):
        group = [
            row
            for row in rows
            if (row["patients"], row["epsilon"], row["delta"]) == (n, epsilon, delta)
        ]
        lines.append(
            f"| {n:,} | {epsilon:g} | {delta:g} | "
            + " | ".join(_cell(group, name) for name in COLUMNS)
            + " |"
        )
    return "\n".join(lines)


def rules(rows: Rows) -> str:
    results = [
        row
        for row in rows
        if row["patients"] == max(TARGETS) and row["epsilon"] == 1 and row["rules"]
    ]
    return (
        pathway_rules.summary(min(results, key=lambda row: row["seed"])["rules"]) if results else ""
    )


def _settings(rows: Rows) -> list[dict[str, Any]]:
    """The default first."""
    return [
        json.loads(text) for text in sorted({json.dumps(row["settings"]) for row in rows}, key=len)
    ]


def _label(settings: dict[str, Any]) -> str:
    return (
        "**Syndasera**"
        if not settings
        else "Syndasera, "
        + ", ".join(
            "recurrent" if name == "recurrent" else f"{name} {value}"
            for name, value in settings.items()
        )
    )


def _line(label: str, rows: Rows) -> str:
    return (
        f"| {label} | {len(rows) if rows and 'seed' in rows[0] else '-'} | "
        + " | ".join(_cell(rows, name) for name in COLUMNS)
        + " |"
    )


def _cell(rows: Rows, name: str) -> str:
    return mean(
        [row[name] for row in rows if row.get(name) is not None],
        {"wait_gap": 1, "illegal": 0}.get(name, 3),
    )


def costs(rows: Rows) -> str:
    names = (
        "fit_seconds",
        "fit_cpu_seconds",
        "draw_seconds",
        "simulated_mb",
        "fit_mb",
        "peak_mb",
        "patients_per_cpu_second",
    )
    lines = [
        (
            "| | patients | fit, s | fit, CPU-s | draw, s | peak MB: simulated patients | and fit |"
            " and drawn | patients drawn per CPU-s |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for settings in _settings(rows):
        for n in sorted(
            {row["patients"] for row in rows if row["settings"] == settings and row["epsilon"] == 1}
        ):
            group = [
                row
                for row in rows
                if (row["patients"], row["epsilon"], row["settings"]) == (n, 1, settings)
            ]
            cells = [f"{np.mean([row[name] for row in group]):,.0f}" for name in names]
            lines.append(f"| {_label(settings)} | {n:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def clipping(results: dict[str, Any]) -> str:
    """Patients per second of each way of clipping, at its best micro-batch."""
    ways = list(results["networks"]["recurrent"]["ways"])
    lines = [
        "| patients per second | " + " | ".join(ways) + " | ours over the best of Opacus |",
        "|---|" + "---|" * (len(ways) + 1),
    ]
    for name, network in results["networks"].items():
        cells = [f"{network['ways'][way]['patients_per_second']:,.0f}" for way in ways]
        lines.append(
            f"| {name} | " + " | ".join(cells) + f" | {network['ratio_to_best_opacus']:.1f} |"
        )
    return "\n".join(lines)
