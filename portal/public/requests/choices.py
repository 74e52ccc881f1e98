"""What can be asked for: draws from published models, and trainings of declared datasets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException

from pipeline import files
from pipeline.catalog import Home
from pipeline.params import RELEASE_ID
from pipeline.refusal import Refusal
from pipeline.schema.reader import read_schema
from pipeline.schema.values import Schema

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
    """The cards of all published releases, the newest charge first."""
    folders = [path for path in home.published.glob("*") if RELEASE_ID.fullmatch(path.name)]
    every = [files.read_json(home.release(path.name).card) for path in folders]
    whole = [card for card in every if card is not None]
    return sorted(whole, key=lambda c: (-c["privacy"]["ledger_entry"], c["release_id"]))


def datasets(home: Home) -> list[Schema]:
    """Every declaration that is whole, by its title. One that a person has not reviewed yet
    is none: the reader refuses it (privacy_rules.md 6).
    """
    schemas = [_declaration(path) for path in sorted(home.declarations.glob("*.yaml"))]
    return sorted((one for one in schemas if one is not None), key=lambda one: one.title)


def chosen(home: Home, release: str | None, dataset: str | None) -> Choice:
    """What an address asks for. Raises 404 for a release or dataset that there is not."""
    if release is not None:
        folder = home.release(release) if RELEASE_ID.fullmatch(release) else None
        if folder is None or not folder.manifest.is_file():
            raise HTTPException(404)
        return Choice(DRAW, _read(folder.dataset, folder.dataset.stat().st_mtime_ns), release)
    paths = {path.stem: path for path in home.declarations.glob("*.yaml")}
    schema = _declaration(paths[dataset]) if dataset in paths else None
    if schema is None:
        raise HTTPException(404)
    return Choice(TRAINING, schema)


def _declaration(path: Path) -> Schema | None:
    try:
        return _read(path, path.stat().st_mtime_ns)
    except Refusal:
        return None


@lru_cache(maxsize=100)
def _read(path: Path, _changed: int) -> Schema:
    return read_schema(path)
