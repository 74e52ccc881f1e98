"""Declared rhythms: waiting times between events of one type in a row, by the code of the context
that they need (cycles by their regimen).

A declared table `first CONTEXT, gap TYPE` says how long the first such wait is, `first CONTEXT,
later gap TYPE` the fifth. What they say stands in the network's logits of waiting times before it
is trained (fit/rhythm_logits.py), so that gradients have to learn only what differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from pipeline.models.grammar.rules import Grammar
from pipeline.models.pathway.domain.coding import Rhythm
from pipeline.models.pathway.domain.fact_names import GAPS, NAMED_FACT


def declared_rhythms(grammar: Grammar, tables: Iterable[Sequence[str]]) -> tuple[Rhythm, ...]:
    """The tables, by their parts, that tell a rhythm, those of later waits last. Other tables with
    `gap TYPE` are for the calibration alone.
    """
    names, rhythms, first_row = grammar.type_names, [], 1
    for parts in sorted(tables, key=lambda parts: parts[-1].startswith("later")):
        match = NAMED_FACT.fullmatch(parts[-1])
        if match is None or match[1] not in GAPS or match[2] not in names:
            continue
        kind = names.index(match[2])
        for o in np.flatnonzero(grammar.needs_open[kind]):
            if tuple(parts[:-1]) != (f"first {names[grammar.openers[o]]}",):
                continue
            rows = int((grammar.token_type == grammar.openers[o]).sum())
            rhythms.append(
                Rhythm(
                    parts=tuple(parts),
                    kind=kind,
                    opener=int(o),
                    repeats=GAPS[match[1]],
                    first_row=first_row,
                    rows=rows,
                )
            )
            first_row += rows
    return tuple(rhythms)
