"""Results of benchmarks: rows in a JSON file, and the parts of docs/benchmarks.md that are written
from them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pipeline import files

DOCS = Path(__file__).resolve().parent.parent / "docs"
DOC, EVIDENCE = DOCS / "benchmarks.md", DOCS / "evidence.md"


def read(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def keep_at(path: Path, rows: list[dict[str, Any]]) -> None:
    """Written whole or not at all, a line per run."""
    rounded = [
        {
            key: float(f"{value:.5g}") if isinstance(value, float) else value
            for key, value in row.items()
        }
        for row in rows
    ]
    with files.replacing(path) as temporary:
        temporary.write_text(
            "[\n" + ",\n".join(json.dumps(row) for row in rounded) + "\n]\n", encoding="utf-8"
        )


def holds(path: Path, key: dict[str, Any]) -> bool:
    """Whether a run with these facts is there already."""
    return any(key.items() <= row.items() for row in read(path))


def add(path: Path, row: dict[str, Any]) -> None:
    keep_at(path, [*read(path), row])


def between(mark: str, script: str, text: str, doc: Path = DOC) -> None:
    """Replaces what stands between the marks of bench/<script>; leaves the rest of the file
    alone.
    """
    begin, end = f"<!-- {mark}: written by bench/{script} -->", f"<!-- /{mark} -->"
    head, rest = doc.read_text(encoding="utf-8").split(begin)
    doc.write_text(f"{head}{begin}\n{text}\n{end}{rest.split(end)[1]}", encoding="utf-8")


def save(figure: Figure, out: Path) -> None:
    """The same figure gives the same file."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": out.name}):
        figure.savefig(out, bbox_inches="tight", metadata={"Date": None})


def mean(values: Sequence[float], digits: int) -> str:
    """Mean over runs, in brackets their standard deviation; a dash for no runs."""
    if not values:
        return "-"
    return f"{np.mean(values):,.{digits}f}" + (
        f" ({np.std(values, ddof=1):.{digits}f})" if len(values) > 1 and digits else ""
    )
