"""All analyses on source and extract alike: which run, bring the same columns, and lose no label.

Equal columns means: what depends on which codes happen to occur (curves by stage) may lack one in
a small extract, so the extract's columns must be among the source's, in their order.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.evaluation.same_code import in_lifelines, in_pandas, in_sql
from pipeline.evaluation.same_code.analysis import Analysis, Answer, Package
from pipeline.refusal import Refusal

ANALYSES: tuple[Analysis, ...] = (*in_pandas.ANALYSES, *in_sql.ANALYSES, *in_lifelines.ANALYSES)
HEADER = ("analysis", "with", "on the source", "on the extract", "same columns", "labels")


@dataclass(frozen=True)
class Outcome:
    """One analysis on both. A `fault` is what the script died of, where it did."""

    analysis: Analysis
    source: Answer | None
    extract: Answer | None
    source_fault: str = ""
    extract_fault: str = ""

    @property
    def ran(self) -> bool:
        return self.source is not None and self.extract is not None

    @property
    def has_same_columns(self) -> bool:
        if self.source is None or self.extract is None:
            return False
        both = [name for name in self.source.columns if name in self.extract.columns]
        return both == list(self.extract.columns)

    @property
    def labels_lost(self) -> dict[str, int]:
        """Columns of the extract in which a code found no label."""
        labels = self.extract.labels if self.extract is not None else {}
        return {name: one.lost for name, one in labels.items() if one.lost}

    @property
    def passed(self) -> bool:
        return self.ran and self.has_same_columns and not self.labels_lost


def compare(source: Package, extract: Package) -> list[Outcome]:
    """Every analysis on both; one that dies does not keep the next from running."""
    outcomes = []
    for analysis in ANALYSES:
        (before, fault), (after, other) = _run(analysis, source), _run(analysis, extract)
        outcomes.append(Outcome(analysis, before, after, fault, other))
    return outcomes


def _run(analysis: Analysis, package: Package) -> tuple[Answer | None, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return analysis.run(package), ""
    except Refusal as error:
        return None, str(error)
    except Exception as error:  # whatever a script may die of
        place = traceback.extract_tb(error.__traceback__)[-1]
        return None, f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"


def headline(outcomes: Sequence[Outcome]) -> str:
    """ "12 of 12 run": on source and extract, with the same columns and every label."""
    return f"{sum(one.passed for one in outcomes)} of {len(outcomes)} run"


def rows(outcomes: Sequence[Outcome]) -> list[list[str]]:
    """A line per analysis under HEADER."""
    return [
        [
            one.analysis.name,
            one.analysis.way,
            one.source_fault or "runs",
            one.extract_fault or "runs",
            ("yes" if one.has_same_columns else "no") if one.ran else "–",
            _labels(one),
        ]
        for one in outcomes
    ]


def _labels(one: Outcome) -> str:
    if one.extract is None or not one.extract.labels:
        return "–"
    if one.labels_lost:
        return ", ".join(f"{name}: {n} lost" for name, n in one.labels_lost.items())
    number = len(one.extract.labels)
    return f"all, in {number} columns" if number > 1 else "all"
