"""Syndasera from Python: fit a frame of public or simulated data under a declaration, draw by a
plan, save, load (docs/python.md).

Patients' data go through a charged run instead (`python -m pipeline refresh`): what is fitted here
is charged to no ledger, so it refuses what is not declared public. A published model of a release
is loaded and drawn from here like any other.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Self, TypeAlias

import pandas as pd
import polars as pl

from pipeline import files, params
from pipeline.adapters.marks import with_marks
from pipeline.catalog import project_root
from pipeline.checks.private_draws import drawn_tables, rare_groups
from pipeline.draw_plan import DrawPlan, plan_of
from pipeline.models.synthesizer.model import Synthesizer as Model
from pipeline.refusal import Refusal
from pipeline.restricted.public_source import ingested
from pipeline.restricted.train import fit_public
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

__all__ = ["DrawPlan", "Refusal", "Synthesizer"]

Frame: TypeAlias = pd.DataFrame | pl.DataFrame
Plan: TypeAlias = DrawPlan | Mapping[str, Any] | None


class Synthesizer:
    """A model of one dataset: `fit`, then `sample` as often as you like.

    declaration: the YAML file of the dataset (docs/declarations.md). epsilon, delta: the privacy
        loss of the fit, for one patient with everything he or she has. extract_date: the last day
        of observation, for datasets of pathways. settings: of `train` in params.yaml, such as
        `{"table": {"steps": 500}}`. Raises Refusal for a declaration with mistakes.
    """

    def __init__(
        self,
        declaration: str | Path,
        *,
        epsilon: float,
        delta: float = 1e-6,
        extract_date: date | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._schema = read_schema(Path(declaration))
        self._privacy = params.PrivacyParams(epsilon=epsilon, delta=delta)
        self._extract_date = extract_date
        project = params.load(project_root() / "params.yaml")
        self._params = replace(
            project,
            train=replace(project.train, **(settings or {})),
            release=replace(project.release, extract_date=extract_date),
        )
        self._model: Model | None = None

    @property
    def schema(self) -> Schema:
        """The declaration."""
        return self._schema

    @property
    def privacy(self) -> dict[str, Any]:
        """Epsilon, delta and the mechanisms with their noise, of the model that was fitted."""
        plan = self._own_model.plan
        return {"epsilon": plan.epsilon, "delta": plan.delta, "mechanisms": plan.mechanisms()}

    def fit(self, tables: Frame | Mapping[str, Frame]) -> Self:
        """Fits all rows, after what ingest does to any source: casts, repairs, caps.

        tables: one frame, or a frame under the name of each declared table, with the headers that
            the declaration knows; nulls are missing. Raises Refusal for data that are not declared
            public, and for tables or columns that are not the declared ones.
        """
        frames = tables if isinstance(tables, Mapping) else self._one(tables)
        if unknown := sorted(set(frames) - set(self._schema.tables)):
            raise Refusal(
                f"{', '.join(unknown)}: no such table; {self._schema.dataset} has"
                f" {', '.join(self._schema.tables)}"
            )
        with tempfile.TemporaryDirectory() as folder:
            source, scratch = Path(folder) / "source", Path(folder) / "scratch"
            source.mkdir()
            for name, frame in frames.items():
                _as_polars(frame).write_parquet(
                    source / f"{self._schema.tables[name].file}.parquet"
                )
            patients, events = ingested(self._schema, source, self._params, scratch)
            self._model = fit_public(
                self._schema,
                patients,
                events,
                self._privacy.epsilon,
                self._privacy.delta,
                self._params.train,
                Path(folder) / "model",
                self._extract_date,
            )
        return self

    def sample(
        self, n: int, *, plan: Plan = None, seed: int = 1
    ) -> pd.DataFrame | dict[str, pd.DataFrame]:
        """n synthetic patients: one frame, or a frame for each table where there are several.

        plan: whom to draw, a mapping with where, begins and shares (docs/plans.md). Equal for equal
            n, plan and seed. Raises Refusal for a plan that cannot be met, and for rows that break
            a rule of the declaration.
        """
        parts = list(drawn_tables(self._own_model, n, seed=seed, plan=_plan(plan)))
        tables = {
            name: with_marks(
                pl.concat([part[name] for part in parts]), self._schema.tables[name]
            ).to_pandas()
            for name in parts[0]
        }
        return next(iter(tables.values())) if len(tables) == 1 else tables

    def rare_groups(self, plan: Plan, n: int = 1000) -> list[str]:
        """In words, which groups of a plan the noisy counts could not tell from noise."""
        model, asked_plan = self._own_model, _plan(plan)
        return rare_groups(model, asked_plan, model.plan_cells(asked_plan, n))

    def save(self, folder: str | Path) -> None:
        """Writes the model's folder whole or not at all. Raises Refusal for a folder that holds
        something else.
        """
        self._own_model.save(Path(folder), foreign=files.everything)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """What `save` wrote, or the folder `model/` of a release. Raises Refusal for others."""
        model = Model.load(Path(folder))
        own = cls.__new__(cls)
        own._schema, own._model, own._extract_date = model.schema, model, model.extract_date
        own._privacy = params.PrivacyParams(epsilon=model.plan.epsilon, delta=model.plan.delta)
        own._params = params.load(project_root() / "params.yaml")
        return own

    @property
    def _own_model(self) -> Model:
        if self._model is None:
            raise Refusal("nothing was fitted: call fit(tables), or load(folder)")
        return self._model

    def _one(self, frame: Frame) -> dict[str, Frame]:
        if len(self._schema.tables) > 1:
            raise Refusal(
                f"{self._schema.dataset} has {len(self._schema.tables)} tables: give a mapping from"
                f" their names, {', '.join(self._schema.tables)}, to frames"
            )
        return {next(iter(self._schema.tables)): frame}


def _plan(plan: Plan) -> DrawPlan:
    return plan if isinstance(plan, DrawPlan) else plan_of(plan)


def _as_polars(frame: Frame) -> pl.DataFrame:
    """Objects of pandas are texts, whatever they hold."""
    if isinstance(frame, pl.DataFrame):
        return frame
    objects = frame.select_dtypes(include=["object", "category"]).columns
    texts = {name: frame[name].map(str, na_action="ignore").astype("string") for name in objects}
    return pl.from_pandas(frame.assign(**texts))
