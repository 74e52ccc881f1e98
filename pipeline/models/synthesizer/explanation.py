"""What a release of a dataset would be, in words: what is modelled, with how much noise, and which
pairs nobody looks at. A function of the declaration and the plan; no row is read.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator

from pipeline.dp.marginals import NoisyCounts
from pipeline.models.pathway.plan.mechanisms import PathwayPlan
from pipeline.models.synthesizer.plan import Plan
from pipeline.models.table.plan.plan import TablePlan
from pipeline.schema.values import Schema

_WIDTH = 100
_MOST_NAMES = 200  # of pairs, written out
_KINDS = {  # of blocks, by the first part of their names
    "tree": "levels of numbers' grids",
    "one": "categories of single columns",
    "coarse": "pairs in few groups",
    "pair": "pairs by name",
    "look": "pairs that are chosen privately",
    "target": "targets with single columns",
    "pivot": "targets with two columns",
}
# docs/benchmarks.md: seconds of the stages that grow with little, of a fit by column, of pathways
_STAGES_S, _COLUMN_S, _PATHWAYS_S, _PEOPLE_PER_S = 70.0, 0.45, 90.0, 400


def lines(schema: Schema, plan: Plan) -> Iterator[str]:
    """The explanation, without what is left of the budget."""
    yield from _columns(schema)
    yield ""
    yield (
        f"A release at epsilon {plan.epsilon:g}, delta {plan.delta:g} counts with noise, for about"
        f" {plan.table.nominal_size:,} people:"
    )
    yield from _counts(plan.table.counts(plan.table_scale), plan.table.nominal_size)
    if plan.pathway is not None:
        yield from _pathways(plan.pathway, plan.pathway_scale, plan.table.nominal_size)
    yield ""
    yield from _pairs(plan.table, plan.table_scale)
    yield f"Expect about {_minutes(plan)} minutes for all stages on two free cores."


def _columns(schema: Schema) -> Iterator[str]:
    """What becomes of each column."""
    static = [name for name, column in schema.patients.items() if column.is_modelled]
    copies = {copy for names in schema.equal for copy in names[1:]}
    yield f"{schema.dataset}: layout {schema.layout}, {len(schema.tables)} table(s)"
    yield from _wrapped(
        "modelled, once per patient", [name for name in static if name not in copies]
    )
    yield from _wrapped("copies of others", sorted(copies))
    learned = [name for name, column in schema.patients.items() if column.learn]
    yield from _wrapped("range learned under the charge", learned)
    if schema.events is not None:
        yield from _wrapped("types of events", list(schema.events.types))
        yield from _wrapped("modelled, of events", list(schema.events.attributes))
    everything = [
        (f"{table.name}.{column.name}", column)
        for table in schema.tables.values()
        for column in table.columns.values()
    ]
    for title, role in (
        ("rebuilt by a public rule", "rebuilt"),
        ("keys, numbered afresh", "key"),
        ("carried: empty in extracts", "carried"),
    ):
        yield from _wrapped(title, [name for name, column in everything if column.role == role])


def _wrapped(title: str, names: list[str]) -> Iterator[str]:
    if names:
        text = f"{title} ({len(names)}): {', '.join(names)}"
        yield from textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ")


def _counts(counts: dict[str, NoisyCounts], people: int) -> Iterator[str]:
    for kind, words in _KINDS.items():
        blocks = [one for name, one in counts.items() if name.split("/")[0] == kind]
        yield from _noise(words, blocks, people)


def _noise(words: str, blocks: list[NoisyCounts], people: int) -> Iterator[str]:
    if not blocks:
        return
    sigmas = sorted(block.sigma for block in blocks)
    cells = sum(block.cells for block in blocks)
    span = f"{sigmas[0]:,.1f}" + (f" to {sigmas[-1]:,.1f}" if sigmas[-1] > sigmas[0] else "")
    yield (
        f"  {words}: {len(blocks):,} counts, {cells:,} cells; noise of a cell +- {span} people"
        f" ({sigmas[-1] / people:.1%})"
    )


def _pathways(plan: PathwayPlan, scale: float, people: int) -> Iterator[str]:
    yield from _noise("facts of pathways", list(plan.counts(scale).values()), people)
    sgd = plan.sgd(scale)
    yield (
        f"  network of pathways: {sgd.steps:,} steps of DP-SGD, noise {sgd.noise_multiplier:.2f}"
        " times the clip norm"
    )


def _pairs(plan: TablePlan, scale: float) -> Iterator[str]:
    """Which pairs of columns are counted, and which are not."""
    n_pairs = math.comb(len(plan.columns), 2)
    choice = plan.choice(scale)
    if choice is None:
        yield f"Every one of the {n_pairs:,} pairs of columns is looked at."
        return
    named = [f"{first} x {second}" for first, second in plan.named_pairs]
    rest = n_pairs - len(named) - choice.picks
    yield (
        f"Of {n_pairs:,} pairs of columns {len(named):,} are looked at by name and"
        f" {choice.picks:,} are chosen privately."
    )
    yield (
        f"The other {rest:,} hang together only through these: name those that matter under"
        " `related:`."
    )
    yield from _wrapped("by name", named[:_MOST_NAMES])


def _minutes(plan: Plan) -> str:
    """From measured runs; a range, for machines differ."""
    seconds = _STAGES_S + _COLUMN_S * len(plan.table.columns)
    if plan.pathway is not None:
        seconds += _PATHWAYS_S + plan.table.nominal_size / _PEOPLE_PER_S
    low, high = max(1, round(0.7 * seconds / 60)), math.ceil(1.5 * seconds / 60)
    return f"{low}" if low == high else f"{low} to {high}"
