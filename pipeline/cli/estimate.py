"""How sure one can be of a figure of a release: answered from its charged noisy counts. Free: no
row of a patient is read.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.catalog import Home, Release
from pipeline.cli.console import say, say_table
from pipeline.refusal import Refusal

_LARGE = 10_000  # from here on a figure is printed whole


def estimate(options: argparse.Namespace) -> None:
    """Prints one figure, or what can be asked. Raises Refusal for what was not counted."""
    from pipeline.estimates.questions import conditions_of
    from pipeline.models.synthesizer.model import Synthesizer

    folder = _model_of(options.release)
    model = Synthesizer.load(folder)
    if not model.noisy_counts:
        raise Refusal(
            f"{options.release}: its model was made before noisy counts were published, so no"
            " figure of it has an interval; ask for a newer release"
        )
    if options.hazard_ratio and not options.against:
        raise Refusal("--hazard-ratio needs a second group: --against COLUMN=VALUES")
    both_groups = [
        conditions_of(model.schema, model.noisy_counts, texts) for texts in _groups(options)
    ]
    answer = _answer(options, model, both_groups)
    if answer is None:
        _say_counted(model)
        return
    name, figure = answer
    if options.json:
        say(json.dumps(_as_json(name, figure), indent=1))
        return
    say(name)
    say_table(
        ("", "estimate", "95% from", "to"),
        [
            (f"in the {where}", *(_text(v) for v in (figure.value, part.low, part.high)))
            for where, part in (("source", figure.source), ("population", figure.population))
        ],
    )
    say("Source: the patients that the model learned from; the interval holds the privacy noise.")
    say("Population: people like them; the interval holds noise and chance.")


def _groups(options: argparse.Namespace) -> list[Sequence[str]]:
    """The conditions of the figure that is asked for, and of the group that it is compared with."""
    figure = options.share or options.count or options.hazard_ratio or options.survival or []
    return [figure, options.against or []]


def _model_of(release: str) -> Path:
    """A published release by its id, or the folder of a release or of a model."""
    places = [Home.find().published / release, Path(release)]
    for place in places:
        for folder in (Release(place).model, place):
            if (folder / "model.json").is_file():
                return folder
    raise Refusal(
        f"{release}: no published release has this id, and no folder of this name holds a model;"
        " `python -m pipeline status` lists the releases"
    )


def _answer(
    options: argparse.Namespace, model: Any, both_groups: Sequence[Any]
) -> tuple[str, Any] | None:
    from pipeline.estimates import numbers, shares, survival

    tables, log = model.noisy_counts, model.schema.events
    group, against = both_groups
    words = " and ".join(_groups(options)[0]) or "everybody"
    if options.mean:
        return f"Mean of {options.mean}", numbers.mean(tables, options.mean)
    if options.share:
        return f"Share of patients with {words}", shares.share(tables, group)
    if options.count:
        return f"Patients with {words}", shares.as_count(shares.count_of(tables, group))
    if options.survival is None and not options.hazard_ratio:
        return None
    if log is None:
        raise Refusal(f"{model.schema.dataset} has no pathways, so no survival was counted")
    table = survival.life_table(tables, log, group)
    if options.hazard_ratio:
        second = survival.life_table(tables, log, against)
        name = f"Hazard ratio of {words} against {' and '.join(options.against)}"
        return name, survival.hazard_ratio(table, second)
    if options.day not in table.edges:
        days = ", ".join(str(edge) for edge in table.edges)
        raise Refusal(f"--day {options.day}: survival was counted for the days {days}")
    name = f"Share alive at the beginning of day {options.day} ({words})"
    return name, survival.survival(table, options.day)


def _say_counted(model: Any) -> None:
    from pipeline.estimates.meter import thresholds

    say("Patients are counted by these columns and facts. Ask for --share, --count, --mean,")
    say(
        "--survival or --hazard-ratio; a cell is clear of noise from so many patients of the source"
    )
    say_table(
        ("counted", "clear from", "within a tenth from"),
        [(" x ".join(t.table), t.clear, t.close) for t in thresholds(model.noisy_counts)],
    )


def _as_json(name: str, figure: Any) -> dict[str, Any]:
    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return {
        "figure": name,
        "estimate": number(figure.value),
        "source": [number(figure.source.low), number(figure.source.high)],
        "population": [number(figure.population.low), number(figure.population.high)],
        "noise": number(figure.noise),
        "sampling": number(figure.sampling),
    }


def _text(value: float) -> str:
    if math.isnan(value):
        return "cannot be told"
    return f"{value:.4g}" if value < _LARGE else f"{value:,.0f}"
