"""Runs an experiment run by run, keeps what is done, and writes its tables and plots."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from pipeline import files
from pipeline.experiments import census_balance, heart_balance, substitution
from pipeline.experiments.plots import plot
from pipeline.experiments.results import Results
from pipeline.experiments.sets import public_table
from pipeline.refusal import Refusal

EXPERIMENTS: dict[str, ModuleType] = {
    one.NAME: one for one in (heart_balance, census_balance, substitution)
}
logger = logging.getLogger(__name__)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress of a fit: there are hundreds."""
    fits = logging.getLogger("pipeline.restricted")
    before = fits.level
    fits.setLevel(logging.WARNING)
    try:
        yield
    finally:
        fits.setLevel(before)


def run(
    name: str,
    out: Path,
    *,
    data: Path | None,
    sets: Sequence[str],
    splits: int | None,
    epsilons: Sequence[float],
) -> Path:
    """Writes `<name>.jsonl`, `<name>.md` and a plot into `out`; runs that are in there already are
    not done again. Returns the page. Raises Refusal for a table that is not there.
    """
    experiment = EXPERIMENTS[name]
    names = [experiment.SET] if hasattr(experiment, "SET") else list(sets or experiment.SETS)
    if sets and hasattr(experiment, "SET") and list(sets) != names:
        raise Refusal(f"{name} is about {experiment.SET} alone: leave --sets out")
    tables = [public_table(one, data) for one in names]
    results = Results(out / f"{name}.jsonl")
    todo = experiment.runs(tables, splits or experiment.SPLITS, epsilons)
    for number, facts in enumerate(todo, start=1):
        if not results.holds(**facts):
            with _quiet():
                results.add(list(experiment.run(tables, facts)))
        words = ", ".join(f"{key} {value}" for key, value in facts.items() if key != "experiment")
        logger.info("%s: run %d of %d done (%s)", name, number, len(todo), words)
    page = out / f"{name}.md"
    picture = plot(name, results, out / f"{name}.png")
    lines = experiment.summary(results)
    files.write_text(page, "\n".join([*lines, f"![{name}]({picture.name})", ""]))
    return page
