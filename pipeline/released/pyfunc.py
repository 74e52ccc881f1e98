"""Loads a released model for `mlflow.pyfunc.load_model`, which finds this module in the file
`MLmodel` and draws by `predict`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from pipeline.adapters.marks import with_marks
from pipeline.models.synthesizer.model import Synthesizer
from pipeline.plan_options import plan_in
from pipeline.refusal import Refusal

if TYPE_CHECKING:
    import pandas as pd

# loaded when somebody draws: it brings the gate's libraries, and stands on a higher layer
DRAWS = "pipeline.checks.private_draws"


@dataclass(frozen=True)
class DrawingModel:
    """What MLflow calls a python function: it has `predict`."""

    model: Synthesizer

    def predict(
        self, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None
    ) -> dict[str, pd.DataFrame]:
        """{table: rows} of as many synthetic patients as the column `rows` asks for, summed over
        its rows; missing texts as the source marks them. Free.

        params: seed, extract_date (YYYY-MM-DD), where, begins and share, as `python -m pipeline
        draw` takes them, and plan, the text of a plan's file. Raises Refusal for a plan that cannot
        be met, and for tables that break a rule.
        """
        drawn_tables = import_module(DRAWS).drawn_tables
        settings = params or {}
        last_day = settings.get("extract_date")
        parts = list(
            drawn_tables(
                self.model,
                int(model_input["rows"].sum()),
                seed=int(settings.get("seed", 1)),
                plan=plan_in(
                    settings.get("plan", ""),
                    where=settings.get("where", ()),
                    begins=settings.get("begins", ()),
                    shares=settings.get("share", ()),
                ),
                extract_date=_date(last_day) if last_day else None,
            )
        )
        return {
            name: with_marks(
                pl.concat([part[name] for part in parts]), self.model.schema.tables[name]
            ).to_pandas()
            for name in parts[0]
        }


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError):
        raise Refusal(f"extract_date {text!r} is no date, write YYYY-MM-DD") from None


def _load_pyfunc(path: str) -> DrawingModel:
    """Called by MLflow with the model's folder."""
    return DrawingModel(Synthesizer.load(Path(path)))
