"""The public vocabulary that a declaration and the settings give."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pipeline.models.grammar.rules import Grammar
from pipeline.models.pathway.domain.coding import Coding
from pipeline.models.pathway.domain.encode import codec, gaps
from pipeline.models.pathway.domain.fact_names import PAIR_WAITS, counted_choices, returning
from pipeline.models.pathway.domain.rhythm import declared_rhythms
from pipeline.models.pathway.plan.settings import PathwaySettings
from pipeline.schema.values import Schema


def declared_coding(
    schema: Schema,
    settings: PathwaySettings,
    observed_until: date | None,
    tables: Sequence[Sequence[str]],
) -> Coding:
    """The public vocabulary, from the declaration, the settings and the plan.

    observed_until: the last day of observation, or None where it is not public; tables: the parts
    of the plan's tables. Raises Refusal where the declaration has no event log or contradicts
    itself.
    """
    grammar = Grammar(schema)
    log = grammar.log
    statics = [
        codec(column, settings.static_bins)
        for column in schema.patients.values()
        if column.is_modelled
    ]
    named = {*schema.strata, *schema.targets, *schema.quasi_identifiers}
    features = [
        c
        for c in statics
        if c.column.name in schema.strata
        or (
            c.size <= settings.static_categories + 1
            and (settings.rich_state or c.column.name in named)
        )
    ]
    return Coding(
        grammar=grammar,
        gaps=gaps(log.gap_edges, log.lower_day, log.upper_day),
        attributes=tuple(
            codec(column, settings.attribute_bins) for column in log.attributes.values()
        ),
        statics=tuple(features),
        rich=settings.rich_state,
        end_offsets=settings.end_offsets,
        observed_until=observed_until,
        counted_choices=counted_choices(tables),
        rhythms=declared_rhythms(grammar, tables),
        counts_pairs=any(tuple(parts) == PAIR_WAITS for parts in tables),
        returns=returning(tables, grammar.type_names),
    )
