"""Which choices of synthetic pathways a head is fitted with: those that its tables count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from pipeline.models.pathway.domain.calibration_table import CalibrationTable
from pipeline.models.pathway.domain.choices import tables_by_choice
from pipeline.models.pathway.domain.coding import Coding
from pipeline.models.pathway.domain.event_parts import event_parts
from pipeline.models.pathway.domain.fact_names import LAST
from pipeline.models.pathway.domain.pathways import positions, types_before
from pipeline.models.pathway.domain.picked import last_known, picked_rows, static_numbers
from pipeline.models.pathway.fit.encoded_log import EncodedLog
from pipeline.models.pathway.fit.table_losses import Choices


def choices_by_head(
    coding: Coding, tables: Sequence[CalibrationTable], patients: pl.DataFrame, log: EncodedLog
) -> dict[str, Choices]:
    """The choices of each head that the tables teach, of these synthetic patients."""
    return {
        choice: choices_of(coding, choice, teachers, patients, log)
        for choice, teachers in tables_by_choice(coding, tables).items()
    }


def choices_of(
    coding: Coding,
    choice: str,
    tables: Sequence[CalibrationTable],
    patients: pl.DataFrame,
    log: EncodedLog,
) -> Choices:
    """The choices that these tables, all of one head, count.

    patients, log: synthetic, of them only who chooses counts, not what is chosen.
    """
    by_kind = _of_codes if choice in coding.grammar.type_names else _of_values
    # in one order: sums of floats depend on it
    names = dict.fromkeys(part for table in tables for part in table.parts[:-1])
    if any(table.counts_changes for table in tables):
        names |= {f"{LAST} {choice}": None}
    is_picked = np.zeros(len(log.token), bool)
    if any(table.counts_picked_events for table in tables):
        own = static_numbers(coding, patients)
        is_picked[picked_rows(coding, replace(log.pathways, own=own))] = True
    rows, legal, parts = by_kind(coding, choice, list(names), log)
    owner = log.pathways.owner[rows]
    number, picked = positions(owner), is_picked[rows]
    counts = (number < 2) | picked
    for part in names:
        if part not in parts:
            parts[part] = coding.static_values(part, patients)[owner]
    return _alike(
        Choices(
            {part: parts[part][counts] for part in names},
            number[counts],
            picked[counts],
            legal[counts],
            np.ones(int(counts.sum())),
        )
    )


_Rows = tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]  # of events, legal [r, k], parts


def _of_codes(coding: Coding, choice: str, names: Sequence[str], log: EncodedLog) -> _Rows:
    g, pathways = coding.grammar, log.pathways
    owner, kind = pathways.owner, g.token_type[log.token]
    t = g.type_names.index(choice)
    rows, codes = np.flatnonzero(kind == t), coding.tokens_of(t)
    legal = log.legal_sets[log.legal_set[owner[rows]]][:, codes]
    if g.once[codes].all():
        legal = legal & ~log.used_up[rows][:, np.searchsorted(np.flatnonzero(g.once), codes)]
    last = np.append(0, 1 + np.searchsorted(codes, log.token[rows]))[: len(rows)]
    parts = {
        f"first {choice}": np.where(positions(owner[rows]) > 0, last, 0),
        f"before {choice}": types_before(pathways, kind, rows),
    }
    return rows, legal, parts


def _of_values(coding: Coding, choice: str, names: Sequence[str], log: EncodedLog) -> _Rows:
    pathways, kind = log.pathways, coding.grammar.token_type[log.token]
    place = coding.attribute_place(choice)
    rows = np.flatnonzero(coding.carries()[kind, place])
    legal = coding.legal_values(place, log.level[rows])
    value = np.append(0, 1 + log.attributes[rows, place])[: len(rows)]
    parts = {
        f"holder {choice}": 1 + np.searchsorted(coding.holders(place), log.token[rows]),
        f"carrier {choice}": 1 + kind[rows],
        f"value {choice}": np.where(positions(pathways.owner[rows]) > 0, value, 0),
    }
    last = last_known(pathways, place)[rows]
    parts |= event_parts(coding, place, names, kind[rows], log.attributes[rows], last)
    return rows, legal, parts


def _alike(choices: Choices) -> Choices:
    columns = np.column_stack(
        [
            choices.number,
            *choices.parts.values(),
            np.packbits(choices.legal, axis=1),
            choices.picked,
        ]
    )
    _, first, count = np.unique(columns, axis=0, return_index=True, return_counts=True)
    return Choices(
        {part: values[first] for part, values in choices.parts.items()},
        choices.number[first],
        choices.picked[first],
        choices.legal[first],
        count.astype(np.float64),
    )
