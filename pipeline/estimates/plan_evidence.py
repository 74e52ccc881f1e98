"""Which groups of a plan for drawing the charged noisy counts can tell: a prompt for a group that
is rare in the source draws patients who are told from larger groups, and whoever asks is told so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from pipeline.draw_plan import Condition, DrawPlan, cell_words
from pipeline.estimates.shares import Condition as Question
from pipeline.estimates.shares import count_of
from pipeline.estimates.values import Sum, Z
from pipeline.models.noisy_tables import NoisyTable
from pipeline.plan_slices import labels_of, ranges_of
from pipeline.refusal import Refusal
from pipeline.schema.column_values import Column
from pipeline.schema.values import Schema


@dataclass(frozen=True, kw_only=True)
class GroupEvidence:
    """What the noisy counts say of a group. `patients`, `noise`: of the source, a noisy count and
    the half width of its 95% interval; of the rarest part that was counted where the whole group
    was not.
    """

    group: str
    part: str  # the group, or the part of it that the count is of
    patients: float
    noise: float

    @property
    def is_rare(self) -> bool:
        """Whether the count does not stand clear of its noise."""
        return self.patients <= self.noise

    def __str__(self) -> str:
        size = f"about {max(self.patients, 0):,.0f} patients of the source"
        count = f"{size}, give or take {self.noise:,.0f}"
        words = (
            count if self.part == self.group else f"its rarest counted part, {self.part}, {count}"
        )
        if self.is_rare:
            return f"{self.group}: too rare to be learned ({words}); told from larger groups"
        together = "" if self.part == self.group else "never counted together; "
        return f"{self.group}: {together}{words}"


def plan_evidence(
    schema: Schema,
    tables: Sequence[NoisyTable],
    plan: DrawPlan,
    cells: Sequence[Mapping[str, Condition]],
) -> list[GroupEvidence]:
    """Of each group that the plan names: everybody under its `where`, and each of its cells.

    cells: the conditions of the plan's cells (`Synthesizer.plan_cells`). Nothing for a model of
    before noisy counts were kept.
    """
    groups = list(_groups(plan, cells))
    return [one for group in groups if tables and (one := _of(schema, tables, group)) is not None]


def _groups(
    plan: DrawPlan, cells: Sequence[Mapping[str, Condition]]
) -> Iterator[Mapping[str, Condition]]:
    if plan.where:
        yield plan.where
    for target in plan.targets:
        named = [
            dict(zip(target.columns, cell.conditions, strict=True)) for cell in target.cells
        ] or [{name: cell[name] for name in target.columns} for cell in cells]
        unique = {tuple(one.items()): one for one in named}
        for group in unique.values():
            yield {**plan.where, **group}


def _of(
    schema: Schema, tables: Sequence[NoisyTable], group: Mapping[str, Condition]
) -> GroupEvidence | None:
    """From the largest parts of the group's conditions that were counted together, the rarest."""
    words = cell_words(group, group.values())
    questions = {name: _question(schema.patients[name], one) for name, one in group.items()}
    for size in range(len(questions), 0, -1):
        counts = [
            (names, one)
            for names in combinations(questions, size)
            if (one := _count(tables, {name: questions[name] for name in names})) is not None
        ]
        if counts:
            names, rarest = min(counts, key=lambda pair: pair[1].patients)
            return GroupEvidence(
                group=words,
                part=cell_words(names, [group[name] for name in names]),
                patients=rarest.patients,
                noise=Z * rarest.variance**0.5,
            )
    return None


def _count(tables: Sequence[NoisyTable], questions: Mapping[str, Question]) -> Sum | None:
    try:
        return count_of(tables, questions)
    except Refusal:
        return None


def _question(column: Column, condition: Condition) -> Question:
    if column.is_categorical:
        return labels_of(column, condition)
    ranges, has_missing = ranges_of(column, condition)
    if has_missing or len(ranges) != 1:
        return [*(f"{low:g}" for low, _ in ranges), *([None] if has_missing else [])]
    return ranges[0]
