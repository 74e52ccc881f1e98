"""Drawing pathways: whole batches of patients at a time, legal by construction because masks are
hard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import torch

from pipeline.models.grammar import open_tokens, options
from pipeline.models.pathway.domain.facts import Pathways, codes_of, holders
from pipeline.models.pathway.domain.rhythm import rhythm_rows
from pipeline.models.pathway.domain.state import (
    Coding,
    State,
    advance,
    begin,
    day_of,
    features,
    gap_bounds,
    gap_of,
)
from pipeline.models.pathway.domain.tables import static_values
from pipeline.models.pathway.draw.network import PathwayNetwork
from pipeline.models.pathway.draw.opening import Opening, Steering
from pipeline.models.pathway.fit.heads import Head
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
    begins: Opening | None = None,
) -> tuple[Pathways, np.ndarray]:
    """(`candidates` pathways per patient, log weight of each [n]); pathway p belongs to patient p
    // candidates.

    begins: how pathways must begin; the weights make up for it, and are 0 without (see opening.py).
    """
    start = np.repeat(np.arange(patients.height), candidates)
    state = begin(coding, patients).take(start)
    device = network.choice.weight.device
    statics = torch.from_numpy(coding.static_codes(patients)).to(device)
    condition = (
        network.statics(statics).repeat_interleave(candidates, 0)
        if statics.shape[1]
        else torch.zeros(len(start), 1, device=device)
    )
    used = {part for head in heads for table, _ in head.tables for part in table.parts} & set(
        patients.columns
    )
    shown = {name: static_values(coding, name, patients)[start] for name in used}
    by_choice = {head.choice: head for head in heads}
    steered = Steering(begins, len(start)) if begins is not None else None
    memory = network.blank_memory(len(start))
    ids, parts, log_weight = np.arange(len(start)), [], np.zeros(len(start))
    while len(ids):
        hidden, memory = network.next_hidden(
            torch.from_numpy(features(coding, state)).long().to(device), condition, memory
        )
        token, day, gap, attributes = _next_events(
            coding,
            network,
            by_choice,
            state,
            hidden,
            {name: values[ids] for name, values in shown.items()},
            steered,
            rng,
        )
        parts.append((ids, token, day, attributes))
        advance(coding, state, token, day, gap, attributes)
        if steered is not None:
            log_weight[ids] = steered.advance(coding.grammar.token_type[token])
        going = np.flatnonzero(~state.walk.done)
        state, ids = state.take(going), ids[going]
        steered = steered.take(going) if steered is not None else None
        condition, memory = (
            values[torch.from_numpy(going).to(device)] for values in (condition, memory)
        )
    n = patients.height * candidates
    if not parts:
        none = np.zeros(0, np.int64)
        return (
            Pathways(n, none, none, none, np.zeros((0, len(coding.attributes)), np.int64)),
            log_weight,
        )
    owner, token, day, attributes = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(owner, kind="stable")
    return Pathways(n, owner[order], token[order], day[order], attributes[order]), log_weight


def picked(drawn: Pathways, score: np.ndarray, rng: np.random.Generator) -> Pathways:
    """One pathway per patient, candidate m of patient i with chance proportional to exp(score[i,
    m]); score [n, M].
    """
    candidates = score.shape[1]
    chosen = (
        _one(_chances(score, np.ones(score.shape, bool)), rng) + np.arange(len(score)) * candidates
    )
    keep = np.zeros(drawn.n, bool)
    keep[chosen] = True
    rows = keep[drawn.owner]
    return Pathways(
        len(score),
        drawn.owner[rows] // candidates,
        drawn.token[rows],
        drawn.day[rows],
        drawn.attributes[rows],
    )


def _next_events(
    coding: Coding,
    network: PathwayNetwork,
    heads: Mapping[str, Head],
    state: State,
    hidden: torch.Tensor,
    shown: Mapping[str, np.ndarray],
    steered: Steering | None,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(token [n], day [n], gap bin [n], attribute codes [n, A]) of the next event of each pathway.

    hidden: [n, width]; shown: static parts of the heads, [n] each.
    """
    g, now = coding.grammar, options(coding.grammar, state.walk)
    if not now.types.any(1).all():
        raise Refusal(
            f"the grammar of {g.schema.dataset} offers no legal event to a pathway: check its"
            " events in the declaration"
        )
    types, tokens = (
        x.cpu().numpy()
        for x in network.choices(hidden, torch.from_numpy(state.token).long().to(hidden.device))
    )
    chances = _chances(types, now.types)
    kind = _one(steered.types(chances) if steered is not None else chances, rng)
    token = _codes(coding, heads, state, kind, tokens, shown, steered, rng)
    every = np.arange(len(kind))
    lower, upper = gap_bounds(coding, state, token, now.lower[every, kind], now.upper[every, kind])
    rhythm = torch.from_numpy(rhythm_rows(coding, state, token)).to(hidden.device)
    waits, values = network.details(hidden, torch.from_numpy(token).to(hidden.device), rhythm)
    waited = _one(_chances(waits.cpu().numpy(), coding.gaps.legal(lower, upper)), rng)
    day = day_of(coding, state, coding.gaps.decode(waited, lower, upper, rng)).astype(np.int32)
    learned = dict(zip(coding.learned_attributes, values, strict=True))
    attributes = np.full((len(kind), len(coding.attributes)), -1, np.int64)
    for a, (c, has) in enumerate(zip(coding.attributes, coding.carries().T, strict=True)):
        mine = np.flatnonzero(has[kind])
        if a in learned:
            logits = learned[a].cpu().numpy()[mine]
        else:
            name, last = c.column.name, state.attribute[mine, a].astype(np.int64)
            known = last < c.size
            rows = _rows(shown, mine) | {
                f"holder {name}": 1 + np.searchsorted(holders(coding, a), token[mine]),
                f"carrier {name}": 1 + kind[mine],
                f"value {name}": np.where(known, 1 + last, 0),
            }
            logits = heads[name].logits(rows, known)
        attributes[mine, a] = _one(_chances(logits, c.legal), rng)
    return token, day, coding.gaps.encode(gap_of(coding, state, day)), attributes


def _codes(
    coding: Coding,
    heads: Mapping[str, Head],
    state: State,
    kind: np.ndarray,
    learned: np.ndarray,
    shown: Mapping[str, np.ndarray],
    steered: Steering | None,
    rng: np.random.Generator,
) -> np.ndarray:
    """The token of each next event, int64 [n], given its type. learned: logits [n, L] of the
    learned tokens.
    """
    token = np.zeros(len(kind), np.int64)
    for t, name in enumerate(coding.grammar.type_names):
        mine, codes = np.flatnonzero(kind == t), codes_of(coding, t)
        token[mine] = codes[0]
        if len(codes) == 1 or not len(mine):
            continue
        if name in heads:
            last = np.where(state.walk.used[mine] > 0, 1 + state.walk.last_type[mine], 0).astype(
                np.int64
            )
            rows = _rows(shown, mine) | {
                f"first {name}": state.code[mine, t].astype(np.int64),
                f"before {name}": last,
            }
            logits = heads[name].logits(rows, state.walk.counts[mine, t] > 0)
        else:
            logits = learned[np.ix_(mine, np.searchsorted(coding.learned_tokens, codes))]
        chances = _chances(logits, open_tokens(state.walk, mine, codes))
        token[mine] = codes[
            _one(steered.codes(mine, t, chances) if steered is not None else chances, rng)
        ]
    return token


def _rows(values: Mapping[str, np.ndarray], mine: np.ndarray) -> dict[str, np.ndarray]:
    return {name: column[mine] for name, column in values.items()}


def _chances(logits: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Unnormalised chances [n, k], exactly 0 where illegal."""
    masked = np.where(legal, logits, -np.inf)
    return np.asarray(np.exp(masked - masked.max(axis=1, keepdims=True)))


def _one(chances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return draw_categorical(chances, rng.random(len(chances)))
