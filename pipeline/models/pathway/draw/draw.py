"""Drawing pathways: whole batches of patients at a time, legal by construction because masks are
hard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import torch

from pipeline.models.grammar.tracker import open_tokens, options
from pipeline.models.pathway.domain.coding import Coding
from pipeline.models.pathway.domain.event_parts import event_parts
from pipeline.models.pathway.domain.head import Head
from pipeline.models.pathway.domain.network import PathwayNetwork
from pipeline.models.pathway.domain.pathways import Pathways
from pipeline.models.pathway.domain.state import (
    State,
    advance,
    begin,
    day_of,
    days_left,
    days_since,
    features,
    gap_bounds,
    gap_of,
    levels,
    rhythm_rows,
    rhythms_ahead,
)
from pipeline.models.pathway.draw.start import PathwayStart, StartConstraint
from pipeline.models.sampling import draw_categorical
from pipeline.refusal import Refusal


@torch.no_grad()
def draw(
    coding: Coding,
    network: PathwayNetwork,
    heads: Sequence[Head],
    patients: pl.DataFrame,
    candidates: int,
    rng: np.random.Generator,
    begins: PathwayStart | None = None,
    values: bool = True,
) -> tuple[Pathways, np.ndarray]:
    """(`candidates` pathways per patient, log weight of each [n]); pathway p belongs to patient p
    // candidates.

    patients: patient_id and the static columns; begins: how pathways must begin; the weights make
    up for it, and are 0 without (see start.py); values: whether attributes are drawn, too. Raises
    Refusal where the grammar offers a pathway no event.
    """
    start = np.repeat(np.arange(patients.height), candidates)
    state = begin(coding, patients).take(start)
    device = network.choice.weight.device
    condition = _condition(coding, network, patients, candidates)
    statics = {name: values[start] for name, values in _statics(coding, heads, patients).items()}
    constraint = StartConstraint(begins, len(start)) if begins is not None else None
    memory = network.blank_memory(len(start))
    ids, parts, log_weight = np.arange(len(start)), [], np.zeros(len(start))
    while len(ids):
        hidden, memory = network.next_hidden(
            torch.from_numpy(features(coding, state)).long().to(device), condition, memory
        )
        token, day, gap, attributes = _next_events(
            coding,
            network,
            heads,
            state,
            hidden,
            {name: values[ids] for name, values in statics.items()},
            constraint,
            rng,
            values,
        )
        parts.append((ids, token, day, attributes))
        advance(coding, state, token, day, gap, attributes)
        if constraint is not None:
            log_weight[ids] = constraint.advance(coding.grammar.token_type[token])
        going = np.flatnonzero(~state.tracker.has_ended)
        state, ids = state.take(going), ids[going]
        constraint = constraint.take(going) if constraint is not None else None
        stays = torch.from_numpy(going).to(device)
        condition, memory = condition[stays], memory[stays]
    return _flat(coding, patients.height * candidates, parts), log_weight


def _statics(
    coding: Coding, heads: Sequence[Head], patients: pl.DataFrame
) -> dict[str, np.ndarray]:
    """Codes of the static columns that heads look at, [patients] each."""
    parts = {part for head in heads for table, _ in head.tables for part in table.parts}
    return {name: coding.static_values(name, patients) for name in parts & set(patients.columns)}


def _condition(
    coding: Coding, network: PathwayNetwork, patients: pl.DataFrame, candidates: int
) -> torch.Tensor:
    """The embedded static row of each candidate, [n, width]; zeros [n, 1] without static
    columns.
    """
    device = network.choice.weight.device
    statics = torch.from_numpy(coding.static_codes(patients)).to(device)
    if not statics.shape[1]:
        return torch.zeros(patients.height * candidates, 1, device=device)
    return network.statics(statics).repeat_interleave(candidates, 0)


def _flat(coding: Coding, n: int, parts: Sequence[tuple[np.ndarray, ...]]) -> Pathways:
    """n pathways of parts, each (owner, token, day, attributes) of some of them, in order."""
    if not parts:
        none = np.zeros(0, np.int64)
        return Pathways(n, none, none, none, np.zeros((0, len(coding.attributes)), np.int64))
    owner, token, day, attributes = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(owner, kind="stable")
    return Pathways(n, owner[order], token[order], day[order], attributes[order])


def pick_candidates(candidates: Pathways, score: np.ndarray, rng: np.random.Generator) -> Pathways:
    """One pathway per patient, candidate m of patient i with chance proportional to exp(score[i,
    m]); score [n, M].
    """
    n, each = score.shape
    choice = _sample(_chances(score, np.ones(score.shape, bool)), rng) + np.arange(n) * each
    is_choice = np.zeros(candidates.n, bool)
    is_choice[choice] = True
    rows = is_choice[candidates.owner]
    return Pathways(
        n,
        candidates.owner[rows] // each,
        candidates.token[rows],
        candidates.day[rows],
        candidates.attributes[rows],
    )


def _next_events(
    coding: Coding,
    network: PathwayNetwork,
    heads: Sequence[Head],
    state: State,
    hidden: torch.Tensor,
    statics: Mapping[str, np.ndarray],
    constraint: StartConstraint | None,
    rng: np.random.Generator,
    with_values: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(token [n], day [n], gap bin [n], attribute codes [n, A]) of the next event of each pathway.

    hidden: [n, width]; statics: static parts of the heads, [n] each.
    """
    by_choice = {head.choice: head for head in heads}
    g, now = coding.grammar, options(coding.grammar, state.tracker)
    if not now.types.any(1).all():
        raise Refusal(
            f"the grammar of {g.schema.dataset} offers no legal event to a pathway: check its"
            " events in the declaration"
        )
    where = hidden.device
    race = network.race(torch.from_numpy(days_since(coding, state)).to(where))
    types, tokens = network.choices(hidden, torch.from_numpy(state.token).long().to(where), race)
    types = types + network.end_offsets(
        types,
        torch.from_numpy(now.types).to(where),
        hidden,
        torch.from_numpy(days_left(coding, state)).to(where),
        torch.from_numpy(rhythms_ahead(coding, state)).to(where),
        race,
    )
    chances = _chances(types.cpu().numpy(), now.types)
    kind = _sample(constraint.types(chances) if constraint is not None else chances, rng)
    token = _codes(coding, by_choice, state, kind, tokens.cpu().numpy(), statics, constraint, rng)
    every = np.arange(len(kind))
    lower, upper = gap_bounds(coding, state, token, now.lower[every, kind], now.upper[every, kind])
    rhythm = torch.from_numpy(rhythm_rows(coding, state, token)).to(hidden.device)
    waits, values = network.details(hidden, torch.from_numpy(token).to(hidden.device), rhythm, race)
    gap = _sample(_chances(waits.cpu().numpy(), coding.gaps.legal(lower, upper)), rng)
    day = day_of(coding, state, coding.gaps.decode(gap, lower, upper, rng)).astype(np.int32)
    attributes = np.full((len(kind), len(coding.attributes)), -1, np.int64)
    if with_values:
        _put_values(coding, by_choice, state, token, statics, values, attributes, rng)
    return token, day, coding.gaps.encode(gap_of(coding, state, day)), attributes


def _put_values(
    coding: Coding,
    heads: Mapping[str, Head],
    state: State,
    token: np.ndarray,
    statics: Mapping[str, np.ndarray],
    learned: Sequence[torch.Tensor],
    attributes: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Draws the attributes [n, A] of the next events, in place and one after the other.

    learned: logits of those that the network gives, [n, its values] each.
    """
    kind = coding.grammar.token_type[token]
    logits = dict(zip(coding.learned_attributes, learned, strict=True))
    level = levels(coding, state, kind)
    for a, has in enumerate(coding.carries().T):
        rows = np.flatnonzero(has[kind])
        if a in logits:
            value_logits = logits[a].cpu().numpy()[rows]
        else:
            value_logits = _value_logits(
                coding, heads, state, a, rows, token, statics, attributes[rows]
            )
        legal = coding.legal_values(a, level[rows])
        attributes[rows, a] = _sample(_chances(value_logits, legal), rng)


def _value_logits(
    coding: Coding,
    heads: Mapping[str, Head],
    state: State,
    place: int,
    rows: np.ndarray,
    token: np.ndarray,
    statics: Mapping[str, np.ndarray],
    attributes: np.ndarray,
) -> np.ndarray:
    """Logits [m, values] of the attribute at `place` from its head, for these rows [m] of the next
    events [n], of which the attributes before it are chosen already (attributes [m, A]).
    """
    name, size = coding.attributes[place].column.name, coding.attributes[place].size
    last = state.attribute[rows, place].astype(np.int64)
    has_value = last < size
    parts = _rows(statics, rows) | {
        f"holder {name}": 1 + np.searchsorted(coding.holders(place), token[rows]),
        f"carrier {name}": 1 + coding.grammar.token_type[token[rows]],
        f"value {name}": np.where(has_value, 1 + last, 0),
    }
    head = heads[name]
    kind, last = coding.grammar.token_type[token[rows]], state.last_value[rows, place]
    parts |= event_parts(coding, place, head.parts, kind, attributes, last)
    return head.logits(parts, has_value)


def _codes(
    coding: Coding,
    heads: Mapping[str, Head],
    state: State,
    kind: np.ndarray,
    learned: np.ndarray,
    statics: Mapping[str, np.ndarray],
    constraint: StartConstraint | None,
    rng: np.random.Generator,
) -> np.ndarray:
    """The token of each next event, int64 [n], given its type. learned: logits [n, L] of the
    learned tokens.
    """
    token = np.zeros(len(kind), np.int64)
    for t, name in enumerate(coding.grammar.type_names):
        rows, codes = np.flatnonzero(kind == t), coding.tokens_of(t)
        token[rows] = codes[0]
        if len(codes) == 1 or not len(rows):
            continue
        if name in heads:
            before = np.where(state.tracker.used[rows] > 0, 1 + state.tracker.last_type[rows], 0)
            parts = _rows(statics, rows) | {
                f"first {name}": state.code[rows, t].astype(np.int64),
                f"before {name}": before.astype(np.int64),
            }
            logits = heads[name].logits(parts, state.tracker.counts[rows, t] > 0)
        else:
            logits = learned[np.ix_(rows, np.searchsorted(coding.learned_tokens, codes))]
        chances = _chances(logits, open_tokens(state.tracker, rows, codes))
        if constraint is not None:
            chances = constraint.codes(rows, t, chances)
        token[rows] = codes[_sample(chances, rng)]
    return token


def _rows(values: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: column[rows] for name, column in values.items()}


def _chances(logits: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Unnormalised chances [n, k], exactly 0 where illegal."""
    masked = np.where(legal, logits, -np.inf)
    return np.asarray(np.exp(masked - masked.max(axis=1, keepdims=True)))


def _sample(chances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return draw_categorical(chances, rng.random(len(chances)))
