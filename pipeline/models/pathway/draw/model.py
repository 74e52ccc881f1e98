"""The trained pathway model: draws legal event logs for static rows, whole batches of patients at a
time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import torch
from safetensors.torch import load_file, save_file

from pipeline.models.pathway.domain.facts import Pathways, numbered
from pipeline.models.pathway.domain.state import Coding
from pipeline.models.pathway.domain.tables import CalibrationTable, table_cells
from pipeline.models.pathway.draw.draw import draw, picked
from pipeline.models.pathway.draw.network import PathwayNetwork
from pipeline.models.pathway.draw.opening import opening
from pipeline.models.pathway.fit.calibrate import calibrated_size, tilt_cell
from pipeline.models.pathway.fit.data import EncodedLog, encode_drawn
from pipeline.models.pathway.fit.heads import Head, tables_by_choice, uniform_heads
from pipeline.models.pathway.plan.plan import PathwayPlan, coding
from pipeline.models.pathway.plan.settings import PathwaySettings
from pipeline.schema.patient_log import ID
from pipeline.schema.values import Schema

WEIGHTS, FACTS = "pathway.safetensors", "pathway.json"
CHUNK = 60_000  # pathways drawn at once: bounds memory


@dataclass(frozen=True, eq=False)
class PathwayModel:
    """DP outputs and public facts only: free to use and to release."""

    schema: Schema
    plan: PathwayPlan
    network: PathwayNetwork
    heads: tuple[Head, ...] = ()
    # log weight of each cell of each table; empty: one draw per patient
    tilt: tuple[np.ndarray, ...] = ()
    coding: Coding = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "coding", coding(self.schema, self.plan.settings, self.plan.observed_until)
        )
        self.network.eval()

    @property
    def settings(self) -> PathwaySettings:
        return self.plan.settings

    @property
    def tables(self) -> tuple[CalibrationTable, ...]:
        return self.plan.tables

    def sample(self, patients: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
        """One legal pathway for each row of `patients` (patient_id and the static columns), as an
        event log. Empty in, empty out.
        """
        candidates = self.settings.candidates if self.tilt else 1
        parts = [
            self._frame(part, self._drawn(part, candidates, rng), rng)
            for part in _parts(patients, candidates)
        ]
        return pl.concat(parts)

    def sample_begun(
        self, patients: pl.DataFrame, begins: Sequence[str], rng: np.random.Generator
    ) -> tuple[pl.DataFrame, np.ndarray]:
        """A pathway that begins so for each patient, and how likely the patient is to have one,
        [n]; 0 has a pathway that does not.

        begins: `TYPE` or `TYPE=CODE`, in order: of the treatments and of the types named, these
            come first. Keeping patients in proportion to the likelihoods gives what would be left
            of an unprompted extract, in statics, pathways and calibration alike.
        """
        wanted, candidates = opening(self.coding, begins), self.settings.candidates
        drawn, log_weight = draw(
            self.coding, self.network, self.heads, patients, candidates, rng, wanted
        )
        score = log_weight.reshape(patients.height, candidates)
        # the chance that `sample` picks it from among as many, of which the others are free to
        # begin as they like
        if self.tilt:
            mine, others = (
                self._scores(patients, drawn),
                self._scores(patients, self._draw(patients, candidates, rng))[:, 1:],
            )
            score = (
                score
                + np.log(candidates)
                + mine
                - np.logaddexp.reduce(
                    np.concatenate(
                        [mine[..., None], np.repeat(others[:, None, :], candidates, axis=1)], axis=2
                    ),
                    axis=2,
                )
            )
        likelihood = np.exp(score).mean(1)
        return (
            self._frame(
                patients, picked(drawn, np.where(likelihood[:, None] > 0, score, 0.0), rng), rng
            ),
            likelihood,
        )

    def draw_log(
        self, patients: pl.DataFrame, rng: np.random.Generator, candidates: int = 1
    ) -> EncodedLog:
        """One pathway for each synthetic patient, picked of `candidates` by the tilt, with the
        states that it went through.
        """
        drawn = [self._drawn(part, candidates, rng) for part in _parts(patients, candidates)]
        return encode_drawn(self.coding, patients, _joined(drawn))

    def candidate_cells(
        self, patients: pl.DataFrame, rng: np.random.Generator, candidates: int
    ) -> list[np.ndarray]:
        """Cells of fresh candidates in each calibration table, int64 [n, M] per table."""
        cells = [
            self._cells(part, self._draw(part, candidates, rng))
            for part in _parts(patients, candidates)
        ]
        return [np.concatenate(column) for column in zip(*cells, strict=True)]

    def _drawn(self, patients: pl.DataFrame, candidates: int, rng: np.random.Generator) -> Pathways:
        """One pathway each: of `candidates`, where there is a tilt to pick by."""
        if candidates == 1 or not self.tilt:
            return self._draw(patients, 1, rng)
        drawn = self._draw(patients, candidates, rng)
        return picked(drawn, self._scores(patients, drawn), rng)

    def _draw(self, patients: pl.DataFrame, candidates: int, rng: np.random.Generator) -> Pathways:
        return draw(self.coding, self.network, self.heads, patients, candidates, rng)[0]

    def _scores(self, patients: pl.DataFrame, drawn: Pathways) -> np.ndarray:
        """Log weight of each candidate by the tilt, [n, M]."""
        cells = self._cells(patients, drawn)
        return np.sum([tilt[cell] for tilt, cell in zip(self.tilt, cells, strict=True)], axis=0)

    def _cells(self, patients: pl.DataFrame, drawn: Pathways) -> list[np.ndarray]:
        tables, shape = (
            self._calibrated_tables,
            (
                patients.height,
                max(drawn.n // max(patients.height, 1), 1),
            ),
        )
        cells = table_cells(self.coding, tables, patients, drawn)
        return [
            tilt_cell(self.coding, table, cell).reshape(shape)
            for table, cell in zip(tables, cells, strict=True)
        ]

    @property
    def calibrated_cells(self) -> list[int]:
        """Cells of each table that the pathways are calibrated to, in the order of `tilt`."""
        return [calibrated_size(self.coding, table) for table in self._calibrated_tables]

    @property
    def _calibrated_tables(self) -> list[CalibrationTable]:
        return [table for table in self.tables if calibrated_size(self.coding, table)]

    def _frame(self, patients: pl.DataFrame, p: Pathways, rng: np.random.Generator) -> pl.DataFrame:
        names = np.array([name for name, _ in self.coding.grammar.tokens], dtype=object)
        codes = np.array([code for _, code in self.coding.grammar.tokens], dtype=object)
        frame = pl.DataFrame(
            {
                ID: patients[ID].gather(p.owner),
                "seq": pl.Series(numbered(p.owner), dtype=pl.Int32),
                "day": pl.Series(p.day, dtype=pl.Int32),
                "type": pl.Series(names[p.token].tolist(), dtype=pl.String),
                "code": pl.Series(codes[p.token].tolist(), dtype=pl.String),
            }
        )
        values = [
            c.decode(np.maximum(p.attributes[:, a], 0), rng).set(
                pl.Series(p.attributes[:, a] < 0), None
            )
            for a, c in enumerate(self.coding.attributes)
        ]
        return frame.with_columns(values)

    def save(self, folder: Path) -> None:
        """safetensors and JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            name: value.detach().cpu().contiguous()
            for name, value in self.network.state_dict().items()
        }
        for head in self.heads:
            tensors |= {
                f"head/{head.choice}/{i}": torch.from_numpy(
                    np.ascontiguousarray(values, np.float32)
                )
                for i, values in enumerate([head.base, *(weights for _, weights in head.tables)])
            }
        tensors |= {
            f"tilt/{i}": torch.from_numpy(np.ascontiguousarray(tilt))
            for i, tilt in enumerate(self.tilt)
        }
        save_file(tensors, folder / WEIGHTS)
        (folder / FACTS).write_text(json.dumps(self.plan.to_json(), indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> PathwayModel:
        """What `save` wrote, for the declaration it was trained with."""
        plan = PathwayPlan.from_json(json.loads((folder / FACTS).read_text(encoding="utf-8")))
        made, tensors = (
            coding(schema, plan.settings, plan.observed_until),
            load_file(folder / WEIGHTS),
        )
        network = _new_network(made, plan.settings)
        parts = {
            kind: {
                name: tensors.pop(name).numpy()
                for name in list(tensors)
                if name.startswith(f"{kind}/")
            }
            for kind in ("tilt", "head")
        }
        network.load_state_dict(tensors)
        tilt = tuple(parts["tilt"][f"tilt/{i}"] for i in range(len(parts["tilt"])))
        heads = tuple(
            Head(
                choice,
                parts["head"][f"head/{choice}/0"],
                tuple(
                    (table, parts["head"][f"head/{choice}/{i + 1}"])
                    for i, table in enumerate(taught)
                ),
            )
            for choice, taught in tables_by_choice(made, plan.tables).items()
        )
        return cls(schema, plan, network, heads, tilt)


def new_model(schema: Schema, plan: PathwayPlan) -> PathwayModel:
    """The model before training."""
    made = coding(schema, plan.settings, plan.observed_until)
    return PathwayModel(
        schema, plan, _new_network(made, plan.settings), uniform_heads(made, plan.tables)
    )


def _new_network(made: Coding, settings: PathwaySettings) -> PathwayNetwork:
    """The network before training; its weights follow from the public seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return PathwayNetwork(made, settings.width, settings.recurrent)


def _parts(patients: pl.DataFrame, candidates: int) -> list[pl.DataFrame]:
    return list(patients.iter_slices(max(CHUNK // candidates, 1))) or [patients]


def _joined(drawn: Sequence[Pathways]) -> Pathways:
    first = np.cumsum([0, *(part.n for part in drawn)])
    return Pathways(
        int(first[-1]),
        np.concatenate([part.owner + f for part, f in zip(drawn, first, strict=False)]),
        *(
            np.concatenate([getattr(part, name) for part in drawn])
            for name in ("token", "day", "attributes")
        ),
    )
