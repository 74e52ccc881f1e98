"""The trained pathway model: draws legal event logs for static rows, whole batches of patients at a
time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import torch
from safetensors.torch import load_file, save_file

from pipeline.models import noisy_tables
from pipeline.models.noisy_tables import NoisyTable
from pipeline.models.pathway.domain.calibration_table import CalibrationTable
from pipeline.models.pathway.domain.choices import (
    calibration_cell,
    calibration_size,
    tables_by_choice,
    uniform_heads,
)
from pipeline.models.pathway.domain.coding import Coding
from pipeline.models.pathway.domain.fact_names import OF_ATTRIBUTES
from pipeline.models.pathway.domain.head import Head
from pipeline.models.pathway.domain.network import PathwayNetwork
from pipeline.models.pathway.domain.pathways import Pathways, joined, positions
from pipeline.models.pathway.domain.tables import table_cells
from pipeline.models.pathway.draw.draw import draw, pick_candidates
from pipeline.models.pathway.draw.start import PathwayStart
from pipeline.models.pathway.plan.coding import declared_coding
from pipeline.models.pathway.plan.mechanisms import PathwayPlan
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
    # logarithm of the calibration weight of each cell, by table; empty: one draw per patient
    log_weights: tuple[np.ndarray, ...] = ()
    noisy_counts: tuple[NoisyTable, ...] = ()  # empty for a model of before
    coding: Coding = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self,
            "coding",
            planned_coding(self.schema, self.plan),
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
        candidates = self.settings.candidates if self.log_weights else 1
        parts = [
            self._frame(part, self._pick(part, candidates, rng), rng)
            for part in _parts(patients, candidates)
        ]
        return pl.concat(parts)

    def sample_with_start(
        self, patients: pl.DataFrame, start: PathwayStart, rng: np.random.Generator
    ) -> tuple[pl.DataFrame, np.ndarray]:
        """A pathway with this start for each patient, and how likely the patient is to have one,
        [n]; a patient with likelihood 0 gets a pathway without it.

        Keeping patients in proportion to the likelihoods gives what would be left of an unprompted
        extract, in statics, pathways and calibration alike.
        """
        candidates = self.settings.candidates
        pathways, log_weight = draw(
            self.coding, self.network, self.heads, patients, candidates, rng, start
        )
        score = log_weight.reshape(patients.height, candidates)
        if self.log_weights:
            # and the chance that `sample` picks it from among as many
            own, total = self._rival_scores(patients, pathways, rng)
            score = score + np.log(candidates) + own - total
        likelihood = np.exp(score).mean(1)
        choice = pick_candidates(pathways, np.where(likelihood[:, None] > 0, score, 0.0), rng)
        return self._frame(patients, choice, rng), likelihood

    def _rival_scores(
        self, patients: pl.DataFrame, pathways: Pathways, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """The logarithms of each candidate's calibration weight, and of its sum with the weights of
        M - 1 candidates drawn without the start, both [n, M].
        """
        candidates = self.settings.candidates
        own = self._scores(patients, pathways)
        others = self._scores(patients, self._draw(patients, candidates, rng))[:, 1:]
        rivals = np.repeat(others[:, None, :], candidates, axis=1)
        total = np.logaddexp.reduce(np.concatenate([own[..., None], rivals], axis=2), axis=2)
        return own, np.asarray(total)

    def draw_pathways(
        self,
        patients: pl.DataFrame,
        rng: np.random.Generator,
        candidates: int = 1,
        values: bool = True,
    ) -> Pathways:
        """One pathway for each synthetic patient, picked of `candidates` by the calibration
        weights. values: whether attributes are drawn, too.
        """
        return joined(
            [self._pick(part, candidates, rng, values) for part in _parts(patients, candidates)]
        )

    @property
    def values_matter(self) -> bool:
        """Whether types, codes, waits or calibration depend on attributes. Where a log counts all
        of them at every event they are not drawn until they are needed.
        """
        facts = {
            part
            for table in self._calibration_tables
            for part in table.parts
            if part.startswith(tuple(f"{kind} " for kind in OF_ATTRIBUTES))
        }
        coding = self.coding
        return not coding.counts_pairs or coding.rich or bool(coding.learned_attributes or facts)

    def candidate_cells(
        self, patients: pl.DataFrame, rng: np.random.Generator, candidates: int
    ) -> list[np.ndarray]:
        """Cells of fresh candidates in each calibration table, int64 [n, M] per table."""
        cells = [
            self._cells(part, self._draw(part, candidates, rng, self.values_matter))
            for part in _parts(patients, candidates)
        ]
        return [np.concatenate(column) for column in zip(*cells, strict=True)]

    def _pick(
        self,
        patients: pl.DataFrame,
        candidates: int,
        rng: np.random.Generator,
        values: bool = True,
    ) -> Pathways:
        """One pathway each: of `candidates`, where there are weights to pick by."""
        if candidates == 1 or not self.log_weights:
            return self._draw(patients, 1, rng, values)
        pathways = self._draw(patients, candidates, rng, values)
        return pick_candidates(pathways, self._scores(patients, pathways), rng)

    def _draw(
        self,
        patients: pl.DataFrame,
        candidates: int,
        rng: np.random.Generator,
        values: bool = True,
    ) -> Pathways:
        return draw(
            self.coding, self.network, self.heads, patients, candidates, rng, values=values
        )[0]

    def _scores(self, patients: pl.DataFrame, pathways: Pathways) -> np.ndarray:
        """Logarithm of each candidate's calibration weight, [n, M]."""
        cells = self._cells(patients, pathways)
        return np.sum(
            [weights[cell] for weights, cell in zip(self.log_weights, cells, strict=True)], axis=0
        )

    def _cells(self, patients: pl.DataFrame, pathways: Pathways) -> list[np.ndarray]:
        tables = self._calibration_tables
        shape = (patients.height, max(pathways.n // max(patients.height, 1), 1))
        cells = table_cells(self.coding, tables, patients, pathways)
        return [
            calibration_cell(self.coding, table, cell).reshape(shape)
            for table, cell in zip(tables, cells, strict=True)
        ]

    @property
    def calibration_sizes(self) -> list[int]:
        """Cells of each table that the pathways are calibrated to, in the order of
        `log_weights`.
        """
        return [calibration_size(self.coding, table) for table in self._calibration_tables]

    @property
    def _calibration_tables(self) -> list[CalibrationTable]:
        return [table for table in self.tables if calibration_size(self.coding, table)]

    def _frame(self, patients: pl.DataFrame, p: Pathways, rng: np.random.Generator) -> pl.DataFrame:
        names = np.array([name for name, _ in self.coding.grammar.tokens], dtype=object)
        codes = np.array([code for _, code in self.coding.grammar.tokens], dtype=object)
        frame = pl.DataFrame(
            {
                ID: patients[ID].gather(p.owner),
                "seq": pl.Series(positions(p.owner), dtype=pl.Int32),
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
        """Writes safetensors and JSON, DP outputs and public facts only."""
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
            f"tilt/{i}": torch.from_numpy(np.ascontiguousarray(weights))
            for i, weights in enumerate(self.log_weights)
        }
        save_file(tensors, folder / WEIGHTS)
        (folder / FACTS).write_text(json.dumps(self.plan.to_json(), indent=1), encoding="utf-8")
        noisy_tables.save(folder, self.noisy_counts)

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> PathwayModel:
        """What `save` wrote, for the declaration it was trained with."""
        plan = PathwayPlan.from_json(json.loads((folder / FACTS).read_text(encoding="utf-8")))
        coding = planned_coding(schema, plan)
        tensors = load_file(folder / WEIGHTS)
        network = _new_network(coding, plan.settings)
        parts = {
            name: tensors.pop(name).numpy()
            for name in list(tensors)
            if name.startswith(("tilt/", "head/"))
        }
        network.load_state_dict(tensors)
        heads = tuple(
            Head(
                choice,
                parts[f"head/{choice}/0"],
                tuple((table, parts[f"head/{choice}/{i + 1}"]) for i, table in enumerate(tables)),
            )
            for choice, tables in tables_by_choice(coding, plan.tables).items()
        )
        n_weights = sum(name.startswith("tilt/") for name in parts)
        log_weights = tuple(parts[f"tilt/{i}"] for i in range(n_weights))
        return cls(schema, plan, network, heads, log_weights, noisy_tables.load(folder))


def new_model(schema: Schema, plan: PathwayPlan) -> PathwayModel:
    """The model before training. Its weights follow from the settings' public seed."""
    coding = planned_coding(schema, plan)
    return PathwayModel(
        schema, plan, _new_network(coding, plan.settings), uniform_heads(coding, plan.tables)
    )


def planned_coding(schema: Schema, plan: PathwayPlan) -> Coding:
    """The public vocabulary of a plan."""
    parts = [table.parts for table in plan.tables]
    return declared_coding(schema, plan.settings, plan.observed_until, parts)


def _new_network(coding: Coding, settings: PathwaySettings) -> PathwayNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return PathwayNetwork(coding, settings.width, settings.recurrent)


def _parts(patients: pl.DataFrame, candidates: int) -> list[pl.DataFrame]:
    return list(patients.iter_slices(max(CHUNK // candidates, 1))) or [patients]
