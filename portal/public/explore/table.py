"""The explore table of a release in memory: small arrays, a number per patient, and a DuckDB file
behind them for events and ids.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from pipeline.schema.values import Schema
from pipeline.schema.words import event_title
from portal.public.explore import build, chunks, survival
from portal.public.explore.dimensions import Dimension, explored, shown_first
from portal.public.explore.pathway_facts import awaited, is_survival, treatments
from portal.public.explore.release import Published

MOST_JOINT = 1 << 16  # cells of columns that are counted together
WAIT_DAYS = 365  # of waiting times
PATIENCE = 8.0  # seconds that a page waits for its table before it says that it is being made


class BeingMade(RuntimeError):
    """The explore table of a release is not ready yet."""


@dataclass(frozen=True)
class Joint:
    """Several columns in one: `codes` are places of an array of the columns' cells."""

    names: tuple[str, ...]
    shape: tuple[int, ...]
    codes: np.ndarray  # uint16 [patients]; of one column its cells


class ExploreTable:
    """The patients of one release. Arrays are read, or made of others, when they are first asked
    for, and kept.
    """

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
        self._arrays: dict[tuple[str, ...], np.ndarray] = {}
        self._lock = threading.RLock()
        self._together = _packs(self.dimensions, self.shown_first)

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
        return self._once(
            ("whole", name),
            lambda: np.bincount(self.cells(name), minlength=self.dimensions[name].cells),
        )

    def joint(self, name: str) -> Joint:
        """A column together with others that are asked for as often, so that one count is a count
        of all of them.
        """
        names = next((some for some in self._together if name in some), (name,))
        shape = tuple(self.dimensions[one].cells for one in names)
        return Joint(names, shape, self._once(("joint", *names), lambda: self._codes(names, shape)))

    def _codes(self, names: tuple[str, ...], shape: tuple[int, ...]) -> np.ndarray:
        if len(names) == 1:
            return self.cells(names[0])
        codes = np.zeros(self.patients, np.uint16)
        for name, cells in zip(names, shape, strict=True):
            codes *= np.uint16(cells)
            codes += self.cells(name).astype(np.uint16)
        return codes

    def outcomes(self) -> np.ndarray:
        """Day and kind of the end of each pathway (survival.outcomes), int32 [patients]."""
        return self._once(
            ("outcomes",), lambda: survival.outcomes(self.fact("end_day"), self.fact("died"))
        )

    def waits(self, kind: int) -> np.ndarray:
        """Days until the first treatment of a kind, 0 for those before day 0, uint16 [patients];
        WAIT_DAYS + 1 for later ones and none.
        """
        return self._once(
            ("waits", str(kind)),
            lambda: self.fact(f"first_{kind}").clip(0, WAIT_DAYS + 1).astype(np.uint16),
        )

    def flows(self) -> np.ndarray:
        """The first treatments in order (pathway_facts.steps_of), uint16 [patients]."""
        return self._once(("flows",), lambda: self.fact("flow").astype(np.uint16))

    @property
    def shown_first(self) -> list[str]:
        return shown_first(self.schema, self.dimensions)

    def _array(self, name: str) -> np.ndarray:
        """A column of our own table `patients`."""
        return self._once((name,), lambda: self._read(name))

    def _read(self, name: str) -> np.ndarray:
        with self._database.cursor() as cursor:
            answer = cursor.execute(f"SELECT {name} FROM patients ORDER BY n").fetchnumpy()
        return np.ascontiguousarray(answer[name])

    def _once(self, key: tuple[str, ...], make_array: Callable[[], np.ndarray]) -> np.ndarray:
        with self._lock:
            if key not in self._arrays:
                self._arrays[key] = make_array()
            return self._arrays[key]


def _packs(dimensions: Mapping[str, Dimension], names: list[str]) -> list[tuple[str, ...]]:
    """Columns in groups whose cells together are few enough to be counted at once."""
    packs: list[tuple[str, ...]] = []
    room = 0
    for name in names:
        cells = dimensions[name].cells
        if packs and cells <= room:
            packs[-1] = (*packs[-1], name)
        else:
            packs.append((name,))
            room = MOST_JOINT
        room //= cells
    return packs


class Makers:
    """Makes explore tables where they are missing, each once, beside the pages that wait."""

    def __init__(self) -> None:
        self._threads: dict[Path, threading.Thread] = {}
        self._lock = threading.Lock()

    def wait(self, published: Published, patience: float = PATIENCE) -> None:
        """Until the table is there. Raises BeingMade where making it takes longer."""
        path = published.cache
        if not path.is_file():
            thread = self._start(published)
            thread.join(patience)
            if thread.is_alive():
                raise BeingMade(published.release_id)
            if not path.is_file():
                raise RuntimeError(f"no explore table of {published.release_id} could be made")

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
