"""Counted rhythms: waiting times between events of one type in a row, by the code of the context
that they need (cycles by their regimen).

A declared table `first CONTEXT, gap TYPE` says how long the first such wait is, `first CONTEXT,
later gap TYPE` the fifth. What they say stands in the network's logits of waiting times before it
is trained, so that gradients have to learn only what differs. Reads noisy counts only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from pipeline.models.grammar import Grammar
from pipeline.models.pathway.domain.facts import GAPS, OF_A_NAME
from pipeline.models.pathway.domain.state import Coding, Rhythm, State
from pipeline.models.pathway.domain.tables import CalibrationTable
from pipeline.schema.values import CountedTable

# standard deviations of noise above which a cell, and a cell of all rows together, is believed
CERTAIN, CERTAIN_OF_ALL = 3.0, 2.0
SPREAD = 2.0  # standard deviations of noise: patients with everybody's rhythm that join each row
# patients of all rows together that each wait is given beside those it is believed to have
UNSEEN = 20.0
LEAST = 1e-4  # chance of a wait that nobody seems to have had


def declared_rhythms(grammar: Grammar, counted: Iterable[CountedTable]) -> tuple[Rhythm, ...]:
    """The tables that tell a rhythm, those of later waits last. Other tables with `gap TYPE` are
    for the calibration alone.
    """
    names, made, row = grammar.type_names, [], 1
    for table in sorted(counted, key=lambda table: table.parts[-1].startswith("later")):
        found = OF_A_NAME.fullmatch(table.parts[-1])
        if found is None or found[1] not in GAPS or found[2] not in names:
            continue
        kind = names.index(found[2])
        for o in np.flatnonzero(grammar.needs_open[kind]):
            if table.parts[:-1] == (f"first {names[grammar.openers[o]]}",):
                rows = int((grammar.token_type == grammar.openers[o]).sum())
                made.append(
                    Rhythm(
                        parts=table.parts,
                        kind=kind,
                        opener=int(o),
                        repeats=GAPS[found[1]],
                        first_row=row,
                        rows=rows,
                    )
                )
                row += rows
    return tuple(made)


def rhythm_rows(coding: Coding, state: State, token: np.ndarray) -> np.ndarray:
    """Which row of the network's rhythms the wait for the next event has, int64 [n]; 0: none. token
    [n]: that event.
    """
    g, rows = coding.grammar, np.zeros(len(token), np.int64)
    kind = g.token_type[token]
    for one in coding.rhythms:
        code = state.context[:, one.opener].astype(np.int64)
        mine = (
            (kind == one.kind)
            & (state.walk.last_type == one.kind)
            & (code > 0)
            & (state.since[:, one.opener] >= one.repeats)
        )
        rows[mine] = one.first_row + code[mine] - 1
    return rows


def rhythms(
    coding: Coding,
    tables: Sequence[CalibrationTable],
    noisy: Sequence[np.ndarray],
    sigmas: Sequence[float],
) -> np.ndarray:
    """Log chances of each wait by row, float32 [rows, G]; row 0 says nothing."""
    made = [np.zeros((1, len(coding.gaps.edges)))]
    told = {
        table.parts: (table, counts, sigma)
        for table, counts, sigma in zip(tables, noisy, sigmas, strict=True)
    }
    for one in coding.rhythms:
        table, counts, sigma = told[one.parts]
        # of those who have the context, and the wait
        seen = counts.reshape(table.sizes)[1:, 1:].astype(float)
        total = seen.sum(0)
        everybody = (
            np.where(total > CERTAIN_OF_ALL * sigma * np.sqrt(len(seen)), total, 0.0) + UNSEEN
        )
        believed = (
            np.where(seen > CERTAIN * sigma, seen, 0.0)
            + SPREAD * sigma * everybody / everybody.sum()
        )
        made.append(np.log((believed / believed.sum(1, keepdims=True)).clip(LEAST)))
    return np.concatenate(made).astype(np.float32)
