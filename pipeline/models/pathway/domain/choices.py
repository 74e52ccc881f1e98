"""What each counted table teaches: a head's choice, the calibration, or both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.models.pathway.domain.calibration_table import CalibrationTable
from pipeline.models.pathway.domain.coding import Coding
from pipeline.models.pathway.domain.fact_names import (
    CHANGE,
    CHOICES,
    LAST,
    NAMED_FACT,
    RANGE,
    VALUE,
    parse_fact,
)
from pipeline.models.pathway.domain.head import Head
from pipeline.refusal import Refusal


def choice_of(coding: Coding, table: CalibrationTable) -> str | None:
    """The type or attribute whose head the table teaches; None: it is for the calibration alone.

    Raises Refusal where another part of such a table is not known when the choice is made.
    """
    last = table.parts[-1]
    if coding.is_static(last) or not NAMED_FACT.fullmatch(last):
        return None
    kind, name = parse_fact(last, coding.grammar.type_names, coding.attribute_names)
    if kind not in CHOICES:
        return None
    earlier_facts = {
        "first": {f"before {name}"},
        "second": {f"first {name}"},
        "value": {f"holder {name}", f"carrier {name}"},
        "again": {f"value {name}"},
        VALUE: _known_at_an_event(coding, name) if kind == VALUE else set(),
        CHANGE: set(),
    }
    columns = set(coding.grammar.schema.patients) if kind != CHANGE else set()
    earlier = earlier_facts[kind] | columns
    if later := [part for part in table.parts[:-1] if part not in earlier]:
        raise Refusal(
            f"events.counted: {later[0]!r} is not known when {last!r} is chosen: put it last in a"
            " table of its own"
        )
    return name


def _known_at_an_event(coding: Coding, name: str) -> set[str]:
    """What of an event is chosen before this attribute."""
    before = coding.attribute_names[: coding.attribute_place(name)]
    return {
        "picked type",
        f"{LAST} {name}",
        *(f"{kind} {other}" for kind in (VALUE, RANGE) for other in before),
    }


def tables_by_choice(
    coding: Coding, tables: Sequence[CalibrationTable]
) -> dict[str, list[CalibrationTable]]:
    """The tables that teach each head, in the order of the plan. Raises Refusal for a table that
    cannot teach, or second events and changes alone.
    """
    by_choice: dict[str, list[CalibrationTable]] = {}
    for table in tables:
        if choice := choice_of(coding, table):
            by_choice.setdefault(choice, []).append(table)
    for choice, teachers in by_choice.items():
        if all(table.counts_changes or table.counts_later_events for table in teachers):
            changes = teachers[0].counts_changes
            is_type = choice in coding.grammar.type_names
            first = VALUE if changes else "first" if is_type else "value"
            what = "changes" if changes else "second events"
            raise Refusal(
                f"events.counted: {teachers[0].parts[-1]!r} counts {what}; count '{first}"
                f" {choice}' in a table, too"
            )
    return by_choice


def uniform_heads(coding: Coding, tables: Sequence[CalibrationTable]) -> tuple[Head, ...]:
    """Heads before they are fitted: every legal value is as likely as another."""
    return tuple(
        Head(
            choice,
            np.zeros(choice_size(coding, choice), np.float32),
            tuple(
                (table, np.zeros((table.cells // table.sizes[-1], table.sizes[-1] - 1), np.float32))
                for table in teachers
            ),
        )
        for choice, teachers in tables_by_choice(coding, tables).items()
    )


def choice_size(coding: Coding, choice: str) -> int:
    """Number of codes or values that a head chooses from."""
    if choice in coding.grammar.type_names:
        return len(coding.tokens_of(coding.grammar.type_names.index(choice)))
    return coding.attributes[coding.attribute_place(choice)].size


def calibration_size(coding: Coding, table: CalibrationTable) -> int:
    """Cells of the table as the calibration sees it: a table that teaches a head says only who has
    such an event. 0: nothing is left to say.
    """
    choice = choice_of(coding, table)
    if choice is None:
        return table.cells
    return table.cells // table.sizes[-1] * 2 if choice in coding.grammar.type_names else 0


def calibration_cell(coding: Coding, table: CalibrationTable, cell: np.ndarray) -> np.ndarray:
    """Cells of the table as cells of the calibration, of the same shape as `cell`."""
    if choice_of(coding, table) is None:
        return cell
    size = table.sizes[-1]
    return 2 * (cell // size) + (cell % size > 0)
