"""The pathway benchmark's results as tables in docs/benchmarks.md."""
from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from pathway_data import ROOT
from report import between

SCRIPT = "pathways.py"
FLAT = ROOT / "bench" / "results" / "pathways_flat.json"
CLIPPING = ROOT / "bench" / "results" / "clipping.json"
COLUMNS = {"bigram_tvd": "bigram TVD", "trigram_tvd": "trigram", "combination_tvd": "combination TVD", "survival_gap_1y": "KM 1 y",
           "survival_gap_5y": "5 y", "cox_error": "Cox", "wait_gap": "wait, days", "detection": "detection", "detection_events": "on events",
           "illegal": "illegal"}
# what was asked (patients: figure: at most), or twice the floor where that is larger
_NAMES = ("bigram_tvd", "trigram_tvd", "combination_tvd", "survival_gap_1y", "survival_gap_5y", "cox_error", "wait_gap", "detection", "illegal")
ASKED = {20_000: dict(zip(_NAMES, (.07, .11, .12, .02, .03, .12, 4, .82, 0), strict=True)),
         100_000: dict(zip(_NAMES, (.035, .06, .09, .01, .015, .05, 2, .66, 0), strict=True))}
DOUBLED = [name for name in COLUMNS if not name.startswith(("detection", "illegal"))]
Rows = Sequence[dict[str, Any]]


def write(rows: Rows) -> None:
    """The parts of docs/benchmarks.md that are this script's."""
    default = [row for row in rows if not row["settings"]]
    flat = json.loads(FLAT.read_text(encoding="utf-8"))
    sizes = sorted({row["patients"] for row in default if row["epsilon"] == 1 and row["patients"] in ASKED})
    between("pathways", SCRIPT, "\n\n".join(f"### {n:,} patients, epsilon 1\n{table(default, n, flat.get(str(n), {}))}" for n in sizes))
    between("costs", SCRIPT, costs(default))
    between("clipping", SCRIPT, clipping(json.loads(CLIPPING.read_text(encoding="utf-8"))))


def table(rows: Rows, n: int, flat: dict[str, dict[str, Any]]) -> str:
    """A line per model: mean over seeds, in brackets the standard deviation."""
    mine = [row for row in rows if row["patients"] == n and row["model"] == "ours" and row["epsilon"] == 1]
    real = [row for row in rows if row["patients"] == n and row["model"] == "real"]
    asked = dict(ASKED[n])
    for name in DOUBLED if real else ():
        asked[name] = max(asked[name], 2 * float(np.mean([row[name] for row in real])))
    lines = ["| | seeds | " + " | ".join(COLUMNS.values()) + " |", "|---|---|" + "---|" * len(COLUMNS)]
    lines += [_line("**Syndasera**", mine), _line("asked, at most", [asked]), _line("fresh sample (floor)", real)]
    baseline = [name for name in flat if name.startswith(("MST", "table model", "AIM")) and "error" not in flat[name]]
    return "\n".join(lines + [_line(f"flattened: {name}", [flat[name]]) for name in baseline])


def _line(label: str, rows: Rows) -> str:
    return f"| {label} | {len(rows) if rows and 'seed' in rows[0] else '-'} | " + " | ".join(_cell(rows, name) for name in COLUMNS) + " |"


def _cell(rows: Rows, name: str) -> str:
    values = [row[name] for row in rows if row.get(name) is not None]
    if not values:
        return "-"
    digits = {"wait_gap": 1, "illegal": 0}.get(name, 3)
    return f"{np.mean(values):,.{digits}f}" + (f" ({np.std(values, ddof=1):.{digits}f})" if len(values) > 1 and digits else "")


def costs(rows: Rows) -> str:
    lines = ["| patients | epsilon | fit, s | fit, CPU-s | peak MB | patients drawn per CPU-s |", "|---|---|---|---|---|---|"]
    keys = sorted({(row["patients"], row["epsilon"]) for row in rows if row["model"] == "ours"})
    for n, epsilon in keys:
        mine = [row for row in rows if (row["patients"], row["epsilon"], row["model"]) == (n, epsilon, "ours")]
        cells = [f"{np.mean([row[name] for row in mine]):,.0f}" for name in ("fit_seconds", "fit_cpu_seconds", "peak_mb", "patients_per_cpu_second")]
        lines.append(f"| {n:,} | {epsilon:g} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def clipping(found: dict[str, Any]) -> str:
    """Patients per second of each way of clipping, at its best micro-batch."""
    ways = list(found["networks"]["recurrent"]["ways"])
    lines = ["| patients per second | " + " | ".join(ways) + " | ours over the best of Opacus |", "|---|" + "---|" * (len(ways) + 1)]
    for name, network in found["networks"].items():
        cells = [f"{network['ways'][way]['patients_per_second']:,.0f}" for way in ways]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {network['ratio_to_best_opacus']:.1f} |")
    return "\n".join(lines)
