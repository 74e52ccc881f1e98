"""The trained pathway model: draws legal event logs for static rows, whole batches of patients at a time."""
from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from safetensors.torch import load_file, save_file

from pipeline.models.grammar import options
from pipeline.models.pathway.network import PathwayNetwork
from pipeline.models.pathway.plan import coding
from pipeline.models.pathway.settings import PathwaySettings
from pipeline.models.pathway.state import Coding, State, advance, begin, day_of, features, gap_bounds, gap_of
from pipeline.models.pathway.tables import CalibrationTable, Pathways, static_parts, table_cells
from pipeline.schema import Schema

ID = "patient_id"
WEIGHTS, FACTS = "pathway.safetensors", "pathway.json"
CHUNK = 60_000  # pathways drawn at once: bounds memory


@dataclass(frozen=True, eq=False)
class Drawn:
    """Events in order of pathway and time; attributes as codes, -1 for none."""

    pathways: Pathways
    attributes: np.ndarray  # [r, A]


@dataclass(frozen=True, eq=False)
class PathwayModel:
    """DP outputs and public facts only: free to use and to release."""

    schema: Schema
    settings: PathwaySettings
    network: PathwayNetwork
    tables: tuple[CalibrationTable, ...] = ()
    tilt: tuple[np.ndarray, ...] = ()  # log weight of each cell of each table; empty: one draw per patient
    coding: Coding = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "coding", coding(self.schema, self.settings))
        self.network.eval()

    def sample(self, patients: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
        """One legal pathway for each row of `patients` (patient_id and the static columns), as an event log. Empty in, empty out."""
        size = max(CHUNK // (self.settings.candidates if self.tilt else 1), 1)
        parts = [self._sample_part(part, rng) for part in patients.iter_slices(size)] or [self._sample_part(patients, rng)]
        return pl.concat(parts)

    def _sample_part(self, patients: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
        if not self.tilt:
            return self._frame(patients, draw(self.coding, self.network, patients, 1, rng), rng)
        drawn = draw(self.coding, self.network, patients, self.settings.candidates, rng)
        cells = self.candidate_cells(patients, drawn)
        score = np.sum([tilt[cell] for tilt, cell in zip(self.tilt, cells, strict=True)], axis=0)
        weight = np.exp(score - score.max(axis=1, keepdims=True))  # [n, M]
        picked = _pick(weight, rng) + np.arange(len(weight)) * weight.shape[1]
        keep = np.zeros(drawn.pathways.n, bool)
        keep[picked] = True
        rows = keep[drawn.pathways.owner]
        p = drawn.pathways
        kept = Pathways(patients.height, p.owner[rows] // weight.shape[1], p.token[rows], p.day[rows])
        return self._frame(patients, Drawn(kept, drawn.attributes[rows]), rng)

    def candidate_cells(self, patients: pl.DataFrame, drawn: Drawn) -> list[np.ndarray]:
        """Cell of each candidate in each calibration table, int64 [n, M] per table."""
        candidates = self.settings.candidates
        statics = {part: np.repeat(c.encode(patients[c.column.name]).astype(np.int64), candidates)
                   for part, c in static_parts(self.coding, self.tables).items()}
        return [cell.reshape(patients.height, candidates) for cell in table_cells(self.coding, self.tables, statics, drawn.pathways)]

    def _frame(self, patients: pl.DataFrame, drawn: Drawn, rng: np.random.Generator) -> pl.DataFrame:
        p = drawn.pathways
        names = np.array([name for name, _ in self.coding.grammar.tokens], dtype=object)
        codes = np.array([code for _, code in self.coding.grammar.tokens], dtype=object)
        first = np.searchsorted(p.owner, p.owner, side="left")
        frame = pl.DataFrame({
            ID: patients[ID].gather(p.owner), "seq": pl.Series(np.arange(len(p.owner)) - first, dtype=pl.Int32),
            "day": pl.Series(p.day, dtype=pl.Int32), "type": pl.Series(names[p.token].tolist(), dtype=pl.String),
            "code": pl.Series(codes[p.token].tolist(), dtype=pl.String)})
        values = [c.decode(np.maximum(drawn.attributes[:, a], 0), rng).set(pl.Series(drawn.attributes[:, a] < 0), None)
                  for a, c in enumerate(self.coding.attributes)]
        return frame.with_columns(values)

    def save(self, folder: Path) -> None:
        """safetensors and JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.network.state_dict().items()}
        tensors |= {f"tilt/{i}": torch.from_numpy(np.ascontiguousarray(tilt)) for i, tilt in enumerate(self.tilt)}
        save_file(tensors, folder / WEIGHTS)
        facts = {"settings": asdict(self.settings), "tables": [asdict(table) for table in self.tables]}
        (folder / FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> PathwayModel:
        """What `save` wrote, for the declaration it was trained with."""
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        settings = PathwaySettings(**facts["settings"])
        tables = tuple(CalibrationTable(**{**table, "parts": tuple(table["parts"])}) for table in facts["tables"])
        network, tensors = new_network(schema, settings), load_file(folder / WEIGHTS)
        tilt = tuple(tensors.pop(f"tilt/{i}").numpy() for i in range(len([name for name in tensors if name.startswith("tilt/")])))
        network.load_state_dict(tensors)
        return cls(schema, settings, network, tables, tilt)

    def calibrated(self, tilt: tuple[np.ndarray, ...]) -> PathwayModel:
        return replace(self, tilt=tilt)


def new_network(schema: Schema, settings: PathwaySettings) -> PathwayNetwork:
    """The network before training; its weights follow from the public seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return PathwayNetwork(coding(schema, settings), settings.width)


@torch.no_grad()
def draw(made: Coding, network: PathwayNetwork, patients: pl.DataFrame, candidates: int, rng: np.random.Generator) -> Drawn:
    """`candidates` pathways per patient; pathway p belongs to patient p // candidates. Legal by construction: masks are hard."""
    state = begin(made, patients).take(np.repeat(np.arange(patients.height), candidates))
    device = network.choice.weight.device
    statics = torch.from_numpy(made.static_codes(patients)).to(device)
    condition = network.statics(statics).repeat_interleave(candidates, 0) if statics.shape[1] else torch.zeros(len(state.gap), 1, device=device)
    ids, parts = np.arange(len(state.gap)), []
    while len(ids):
        token, day, gap, attributes = _next_events(made, network, state, condition, rng)
        parts.append((ids, token, day, attributes))
        advance(made, state, token, day, gap, attributes)
        going = np.flatnonzero(~state.walk.done)
        state, ids = state.take(going), ids[going]
        condition = condition[torch.from_numpy(going).to(device)]
    n = patients.height * candidates
    if not parts:
        return Drawn(Pathways(n, *(np.zeros(0, np.int64) for _ in range(3))), np.zeros((0, len(made.attributes)), np.int64))
    owner, token, day, attributes = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(owner, kind="stable")
    return Drawn(Pathways(n, owner[order], token[order], day[order]), attributes[order])


def _next_events(made: Coding, network: PathwayNetwork, state: State, condition: torch.Tensor,
                 rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(token [n], day [n], gap bin [n], attribute codes [n, A]) of the next event of each pathway."""
    g, now = made.grammar, options(made.grammar, state.walk)
    if not now.types.any(1).all():
        raise ValueError(f"the grammar of {g.schema.dataset} offers no legal event to a pathway: check its events in the declaration")
    hidden = torch.tanh(network.events(torch.from_numpy(features(made, state)).long().to(condition.device)) + condition)
    types, tokens = (x.cpu().numpy() for x in network.choices(hidden, torch.from_numpy(state.token).long().to(condition.device)))
    kind = _pick(_weights(types, now.types), rng)
    token = np.zeros(len(kind), np.int64)
    for t in range(g.n_types):
        mine, codes = np.flatnonzero(kind == t), np.flatnonzero(g.token_type == t)
        legal = state.walk.legal_sets[state.walk.legal_set[mine]][:, codes]
        token[mine] = codes[_pick(_weights(tokens[np.ix_(mine, codes)], legal), rng)] if len(codes) > 1 else codes[0]
    every = np.arange(len(kind))
    lower, upper = gap_bounds(made, state, now.lower[every, kind], now.upper[every, kind])
    waits, values = network.details(hidden, torch.from_numpy(token).to(condition.device))
    waited = _pick(_weights(waits.cpu().numpy(), made.gaps.legal(lower, upper)), rng)
    day = day_of(made, state, made.gaps.decode(waited, lower, upper, rng)).astype(np.int32)
    attributes = np.full((len(kind), len(made.attributes)), -1, np.int64)
    for a, (c, has) in enumerate(zip(made.attributes, made.carries().T, strict=True)):
        mine = np.flatnonzero(has[kind])
        attributes[mine, a] = _pick(_weights(values[a].cpu().numpy()[mine], c.legal), rng)
    return token, day, made.gaps.encode(gap_of(made, state, day)), attributes


def _weights(logits: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Unnormalised chances [n, k], exactly 0 where illegal."""
    masked = np.where(legal, logits, -np.inf)
    return np.exp(masked - masked.max(axis=1, keepdims=True))


def _pick(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One index per row, [n], with chance in proportion to its weight; never one of weight 0."""
    total = weights.cumsum(axis=1)
    at = rng.random(len(weights)) * total[:, -1]
    found = (total <= at[:, None]).sum(axis=1)
    last = weights.shape[1] - 1 - np.argmax(weights[:, ::-1] > 0, axis=1)  # rounding may point past the last possible one
    return np.minimum(found, last)
