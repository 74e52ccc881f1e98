"""What can be asked for: draws from published models, and trainings of declared datasets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException

from pipeline.catalog import Home
from pipeline.refusal import Refusal
from pipeline.schema.values import Schema
from portal.public.declarations import declaration
from portal.public.releases import published

DRAW, TRAINING = "draw", "training"


@dataclass(frozen=True)
class Choice:
    """One thing to ask for."""

    kind: str
    schema: Schema
    model_of: str | None = None  # the release that is drawn from

    @property
    def dataset(self) -> str:
        return self.schema.dataset


def cards(home: Home) -> list[Mapping[str, Any]]:
    """The cards of all published releases, the newest first."""
    return [one.card for one in published.every(home)]


def datasets(home: Home) -> list[Schema]:
    """Every declaration that is whole, by its title. One that a person has not reviewed yet
    is none: the reader refuses it (privacy_rules.md 6).
    """
    schemas = [_declaration(path) for path in sorted(home.declarations.glob("*.yaml"))]
    return sorted((one for one in schemas if one is not None), key=lambda one: one.title)


def chosen(home: Home, release: str | None, dataset: str | None) -> Choice:
    """What an address asks for. Raises 404 for a release or dataset that there is not."""
    if release is not None:
        folder = published.find(home, release).folder
        return Choice(DRAW, declaration(folder.dataset), release)
    paths = {path.stem: path for path in home.declarations.glob("*.yaml")}
    schema = _declaration(paths[dataset]) if dataset in paths else None
    if schema is None:
        raise HTTPException(404)
    return Choice(TRAINING, schema)


def _declaration(path: Path) -> Schema | None:
    try:
        return declaration(path)
    except Refusal:
        return None
