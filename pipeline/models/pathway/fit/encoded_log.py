"""An event log as flat arrays: for each event the state before it and the choice made. Everything
in it is one patient's own (privacy_rules.md 9).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import torch

from pipeline.models.grammar.legal_tokens import legal_sets
from pipeline.models.grammar.tracker import options
from pipeline.models.pathway.domain.batch import Batch
from pipeline.models.pathway.domain.coding import Coding
from pipeline.models.pathway.domain.pathways import Pathways
from pipeline.models.pathway.domain.state import (
    State,
    advance,
    begin,
    days_left,
    days_since,
    features,
    gap_bounds,
    gap_of,
    levels,
    rhythm_rows,
    rhythms_ahead,
    weight,
)
from pipeline.schema.patient_log import ID
from pipeline.schema.row_slices import in_slices

CHUNK = 100_000  # patients encoded at a time: bounds memory


@dataclass(frozen=True)
class EncodedLog:
    """n patients with `lengths[i]` events from `starts[i]` on; a patient without events is one of
    them. Sensitive.
    """

    starts: np.ndarray  # int64 [n]
    lengths: np.ndarray  # int64 [n]
    statics: np.ndarray  # [n, S]
    legal_set: np.ndarray  # int32 [n] row of `legal_sets`
    legal_sets: np.ndarray  # bool [sets, V]
    features: np.ndarray  # [r, F]
    before: np.ndarray  # [r]
    token: np.ndarray  # [r]
    day: np.ndarray  # int32 [r]
    gap: np.ndarray  # [r], -1 where it was not free
    attributes: np.ndarray  # [r, A]
    types_legal: np.ndarray  # bool [r, T]
    gap_lower: np.ndarray  # [r]
    gap_upper: np.ndarray  # [r]
    weight: np.ndarray  # float32 [r] in training
    rhythm: np.ndarray  # int16 [r] row of the counted rhythms, 0 for none
    used_up: np.ndarray  # bool [r, D] of the tokens that come at most once, those that came
    level: np.ndarray  # int16 [r, steps] last known values that the event's own follow
    days_left: np.ndarray  # int16 [r] until the end of observation
    ahead: np.ndarray  # int16 [r, types with a rhythm]
    since: np.ndarray  # int32 [r, R] days since the last event of each type that returns

    @property
    def n_patients(self) -> int:
        return len(self.starts)

    @property
    def pathways(self) -> Pathways:
        return Pathways(
            self.n_patients,
            np.repeat(np.arange(self.n_patients), self.lengths),
            self.token,
            self.day,
            self.attributes,
        )


def encode_log(
    coding: Coding, patients: pl.DataFrame, events: pl.DataFrame | pl.LazyFrame
) -> EncodedLog:
    """All patients and their events, at most max_events each (the last one is kept). Events that
    are not declared are left out.

    Events as a lazy frame are read anew for each chunk of patients, so that the whole log never is
    in memory.
    """
    parts = [
        _encode_chunk(coding, some, some_events)
        for some, some_events in in_slices(patients, events, CHUNK)
    ]
    # column by column: bounds memory
    joined = {name: np.concatenate([part.pop(name) for part in parts]) for name in list(parts[0])}
    return _log_of(coding, patients, joined.pop("lengths"), joined)


def _truncated(coding: Coding, patients: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Declared events with `_patient` (row of `patients`) and `_at` (position), sorted by both."""
    cap = coding.grammar.log.max_events
    index = patients.select(ID).with_row_index("_patient")
    rows = events.with_columns(
        pl.Series("_token", coding.grammar.token_numbers(events), dtype=pl.Int32)
    ).filter(pl.col("_token") >= 0)
    rows = rows.join(index, on=ID, how="inner", maintain_order="left").sort(
        "_patient", maintain_order=True
    )
    place = pl.int_range(pl.len()).over("_patient")
    first = rows.filter((place < cap - 1) | (place == pl.len().over("_patient") - 1))
    return first.with_columns(place.alias("_at"))


def _encode_chunk(
    coding: Coding, patients: pl.DataFrame, events: pl.DataFrame
) -> dict[str, np.ndarray]:
    log = _truncated(coding, patients, events)
    token = log["_token"].to_numpy()
    has = coding.carries()[coding.grammar.token_type[token]]  # [r, A]
    values = [
        np.where(has[:, a], c.encode(log[c.column.name]), -1)
        for a, c in enumerate(coding.attributes)
    ]
    attributes = (
        np.stack(values, axis=1).astype(np.int16) if values else np.zeros((len(token), 0), np.int16)
    )
    return _states(
        coding,
        patients,
        log["_patient"].to_numpy(),
        token,
        log["day"].to_numpy().astype(np.int32),
        attributes,
    )


def encode_pathways(coding: Coding, patients: pl.DataFrame, pathways: Pathways) -> EncodedLog:
    """Synthetic pathways, one for each row of `patients`, with the states that they go through."""
    states = _states(
        coding, patients, pathways.owner, pathways.token, pathways.day, pathways.attributes
    )
    return _log_of(coding, patients, states.pop("lengths"), states)


def _log_of(
    coding: Coding, patients: pl.DataFrame, lengths: np.ndarray, states: dict[str, np.ndarray]
) -> EncodedLog:
    g = coding.grammar
    sets, legal_set = legal_sets(g.log, g.tokens, patients)
    return EncodedLog(
        starts=np.cumsum(lengths) - lengths,
        lengths=lengths,
        statics=coding.static_codes(patients).astype(np.int32),
        legal_set=legal_set,
        legal_sets=sets,
        **states,
    )


def _states(
    coding: Coding,
    patients: pl.DataFrame,
    owner: np.ndarray,
    token: np.ndarray,
    day: np.ndarray,
    attributes: np.ndarray,
) -> dict[str, np.ndarray]:
    lengths = np.bincount(owner, minlength=patients.height).astype(np.int64)
    starts = np.cumsum(lengths) - lengths
    r, g = len(token), coding.grammar
    wide = np.int16 if sum(coding.ranges) < 2**15 else np.int32
    out: dict[str, np.ndarray] = {
        "features": np.zeros((r, len(coding.ranges)), wide),
        "before": np.zeros(r, np.int16),
        "token": token.astype(np.int16),
        "day": day,
        "gap": np.full(r, -1, np.int16),
        "attributes": attributes.astype(np.int16),
        "types_legal": np.zeros((r, g.n_types), bool),
        "gap_lower": np.zeros(r, np.int32),
        "gap_upper": np.zeros(r, np.int32),
        "weight": np.zeros(r, np.float32),
        "rhythm": np.zeros(r, np.int16),
        "used_up": np.zeros((r, int(g.once.sum())), bool),
        "level": np.zeros((r, len(coding.steps)), np.int16),
        "days_left": np.zeros(r, np.int16),
        "ahead": np.zeros((r, len(coding.rhythm_kinds)), np.int16),
        "since": np.zeros((r, len(coding.returns)), np.int32),
    }
    longest_first = np.argsort(-lengths, kind="stable")
    state = begin(coding, patients).take(longest_first)
    for at in range(int(lengths.max(initial=0))):
        active = longest_first[: int((lengths > at).sum())]
        state = state.take(slice(0, len(active)))
        _encode_position(coding, state, starts[active] + at, token, day, out)
    return {"lengths": lengths, **out}


def _encode_position(
    coding: Coding,
    state: State,
    rows: np.ndarray,
    token: np.ndarray,
    day: np.ndarray,
    out: dict[str, np.ndarray],
) -> None:
    """Writes one position of every active pathway, and moves `state` past it."""
    now, current = options(coding.grammar, state.tracker), token[rows]
    kind, every = coding.grammar.token_type[current], np.arange(len(rows))
    out["features"][rows] = features(coding, state)
    out["before"][rows] = state.token
    out["types_legal"][rows] = now.types
    out["weight"][rows] = weight(coding, state)
    out["used_up"][rows] = state.tracker.used_up[:, coding.grammar.once]
    out["days_left"][rows] = days_left(coding, state)
    out["ahead"][rows] = rhythms_ahead(coding, state)
    out["since"][rows] = days_since(coding, state)
    out["level"][rows] = levels(coding, state, kind)
    out["rhythm"][rows] = rhythm_rows(coding, state, current)
    lower, upper = gap_bounds(
        coding, state, current, now.lower[every, kind], now.upper[every, kind]
    )
    out["gap_lower"][rows], out["gap_upper"][rows] = lower, upper
    wait = gap_of(coding, state, day[rows])
    gap = coding.gaps.encode(wait)
    # a fixed or illegal day teaches nothing
    is_free = (wait >= lower) & (wait <= upper) & (lower < upper)
    out["gap"][rows] = np.where(is_free, gap, -1)
    advance(coding, state, current, day[rows], gap, out["attributes"][rows])


def batch_of(coding: Coding, log: EncodedLog, patients: np.ndarray, device: torch.device) -> Batch:
    """The events of some patients, [p] indices, each whole."""
    lengths = log.lengths[patients]
    owner = np.repeat(np.arange(len(patients)), lengths)
    rows = (
        np.arange(len(owner))
        - np.repeat(np.cumsum(lengths) - lengths, lengths)
        + np.repeat(log.starts[patients], lengths)
    )

    def tensor(values: np.ndarray, kind: torch.dtype = torch.int64) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device=device, dtype=kind)

    return Batch(
        features=tensor(log.features[rows]),
        statics=tensor(log.statics[patients]),
        owner=tensor(owner),
        before=tensor(log.before[rows]),
        token=tensor(log.token[rows]),
        gap=tensor(log.gap[rows]),
        attributes=tensor(log.attributes[rows]),
        types_legal=tensor(log.types_legal[rows], torch.bool),
        tokens_legal=tensor(log.legal_sets[log.legal_set[patients]], torch.bool),
        used_up=tensor(log.used_up[rows], torch.bool),
        weight=tensor(log.weight[rows], torch.float32),
        rhythm=tensor(log.rhythm[rows]),
        level=tensor(log.level[rows]),
        days_left=tensor(log.days_left[rows]),
        ahead=tensor(log.ahead[rows]),
        since=tensor(log.since[rows]),
        gaps_legal=tensor(coding.gaps.legal(log.gap_lower[rows], log.gap_upper[rows]), torch.bool),
    )
