"""The explore table of a release in memory: small arrays, a number per patient, and a DuckDB file
behind them for events and ids.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from pipeline.schema.values import Schema
from pipeline.schema.words import event_title
from portal.public.explore import build, chunks
from portal.public.explore.dimensions import Dimension, explored, shown_first
from portal.public.explore.pathway_facts import awaited, is_survival, treatments
from portal.public.explore.release import Published

PATIENCE = 8.0  # seconds that a page waits for its table before it says that it is being made


class BeingMade(RuntimeError):
    """The explore table of a release is not ready yet."""


class ExploreTable:
    """The patients of one release. Arrays are read when they are first asked for."""

    def __init__(self, schema: Schema, path: Path):
        self.schema = schema
        self._database = duckdb.connect(str(path), read_only=True)
        self._database.execute("SET enable_external_access=false")
        self._database.execute("SET threads=2")
        note = json.loads(self.rows("SELECT text FROM note")[0][0])
        self.patients = int(note["patients"])
        self.dimensions: Mapping[str, Dimension] = {
            name: Dimension(column, tuple(note["edges"].get(name, ())))
            for name, column in explored(schema).items()
        }
        self._places = {name: place for place, name in enumerate(self.dimensions)}
        self._arrays: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()

    def rows(self, query: str, values: Any = None) -> list[tuple[Any, ...]]:
        """The answer to one of our own queries. Several threads may ask at once."""
        with self._database.cursor() as cursor:
            return cursor.execute(query, values).fetchall()

    def cells(self, name: str) -> np.ndarray:
        """The cell of each patient, uint8 or uint16 [patients]."""
        return self._array(f"cell_{self._places[name]}")

    def values(self, name: str) -> np.ndarray:
        """A number or a date in days, float64 [patients]; NaN is missing."""
        return self._array(f"value_{self._places[name]}")

    def ids(self, rows: np.ndarray | None) -> np.ndarray:
        """The extract's ids of some patients, by their places; of all where None."""
        ids = self._array("id")
        return ids if rows is None else ids[rows]

    @property
    def has_pathways(self) -> bool:
        return self.schema.events is not None

    @property
    def has_survival(self) -> bool:
        return self.schema.events is not None and is_survival(self.schema.events)

    @property
    def awaited(self) -> str:
        """What survival waits for."""
        assert self.schema.events is not None
        return awaited(self.schema.events)

    @property
    def treatments(self) -> tuple[str, ...]:
        """The kinds of events that flow and waiting times show, in words."""
        log = self.schema.events
        return () if log is None else tuple(event_title(log, name) for name in treatments(log))

    def fact(self, name: str) -> np.ndarray:
        """`end_day`, `died`, `flow`, `first_0`, ... (pathway_facts), int32 or bool [patients]."""
        return self._array(name)

    @property
    def kind_word(self) -> str:
        """What flow and waiting times are of."""
        log = self.schema.events
        return "treatment" if log is not None and log.treatments else "event"

    def whole(self, name: str) -> np.ndarray:
        """Patients of the release in each cell."""
        return np.bincount(self.cells(name), minlength=self.dimensions[name].cells)

    @property
    def shown_first(self) -> list[str]:
        return shown_first(self.schema, self.dimensions)

    def _array(self, name: str) -> np.ndarray:
        with self._lock:
            if name not in self._arrays:
                with self._database.cursor() as cursor:
                    query = f"SELECT {name} FROM patients ORDER BY n"
                    self._arrays[name] = np.ascontiguousarray(
                        cursor.execute(query).fetchnumpy()[name]
                    )
            return self._arrays[name]


class Makers:
    """Makes explore tables where they are missing, each once, beside the pages that wait."""

    def __init__(self) -> None:
        self._threads: dict[Path, threading.Thread] = {}
        self._lock = threading.Lock()

    def table(self, published: Published, patience: float = PATIENCE) -> ExploreTable:
        """Raises BeingMade where making it takes longer."""
        path = published.cache
        if not path.is_file():
            thread = self._start(published)
            thread.join(patience)
            if thread.is_alive():
                raise BeingMade(published.release_id)
            if not path.is_file():
                raise RuntimeError(f"no explore table of {published.release_id} could be made")
        return ExploreTable(published.schema, path)

    def _start(self, published: Published) -> threading.Thread:
        with self._lock:
            thread = self._threads.get(published.cache)
            if thread is None or not thread.is_alive():
                thread = threading.Thread(target=make, args=(published,), daemon=True)
                self._threads[published.cache] = thread
                thread.start()
            return thread


def make(published: Published) -> None:
    """Writes the explore table of a release, and takes away those of its earlier states."""
    path, parquet = published.cache, published.release.extract.parquet
    build.write(published.schema, chunks.logs(published.schema, parquet), path)
    for other in path.parent.glob("*.duckdb"):
        if other != path and other.stem.rpartition("-")[0] == published.release_id:
            other.unlink(missing_ok=True)
