"""The section of a card that says how sure a reader can be, from charged noisy counts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MEANING = (
    "*Reliable*: within a tenth of the source's figure, in at least 95 of 100 cases. *Indicative*:"
    " clear of noise, and may be off by more than a tenth. *Noise*: not clear of it; read nothing"
    " from it. The figures themselves, each with intervals for the source and for the population,"
    " are in `estimates/`; any other is answered by `python -m pipeline estimate`."
)


def markdown(evidence: Mapping[str, Any] | None) -> list[str]:
    """Lines of Markdown; none for a model of before its counts were published."""
    if evidence is None:
        return []
    tallies = {
        "shares of patients": evidence["cells"],
        "survival and hazard ratios": evidence["survival_and_hazard_ratios"],
    }
    return [
        "## How sure a reader can be",
        "",
        "| figures of this extract | reliable | indicative | noise |",
        "|---|---|---|---|",
        *[
            f"| {what} | {tally['reliable']:,} | {tally['indicative']:,} | {tally['noise']:,} |"
            for what, tally in tallies.items()
            if any(tally.values())
        ],
        "",
        MEANING,
        "",
        "| tables | how many | a cell is clear of noise from | within a tenth from |",
        "|---|---|---|---|",
        *[
            f"| {kind} | {len(some)} | {_span(some, 'clear_from')} |"
            f" {_span(some, 'within_a_tenth_from')} |"
            for kind, some in evidence["tables"].items()
        ],
        "",
        *_distances(evidence["distance_to_the_source"]),
    ]


def _span(some: Sequence[Mapping[str, Any]], field: str) -> str:
    least, most = (f(entry[field] for entry in some) for f in (min, max))
    return f"{least:,} patients" if least == most else f"{least:,} to {most:,} patients"


def _distances(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        "How far the extract is from its source: total variation distance (the part of the patients"
        " who would have to change cells), mean over tables. The bounds hold the noise, with 95%"
        " certainty; where noise is large they say little.",
        "",
        "| tables | at least | at most |",
        "|---|---|---|",
        *[f"| {row['what']} | {row['low']:.1%} | {row['high']:.1%} |" for row in rows],
        "",
    ]
