"""Draws synthetic patients in blocks, each from a random stream of its own; of a plan with shares
cell by cell, in random order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from pipeline.models.pathway.draw.model import PathwayModel
from pipeline.models.pathway.draw.start import PathwayStart
from pipeline.refusal import Refusal
from pipeline.schema.patient_log import ID, PatientLog

# patients drawn from one random stream: an extract does not depend on the size of partitions
BLOCK = 5000
ATTEMPTS = 50  # blocks drawn for one block of prompted patients
WAVE = 40 * BLOCK  # patients of a plan's cells that are in memory at once

DrawRows = Callable[[int, np.random.Generator], pl.DataFrame]


@dataclass(frozen=True, eq=False)
class BlockSampler:
    """Draws from both models under one prompt.

    draw_rows(n, rng): n static rows that keep the prompt's conditions; start: how every pathway
        must start; needs a pathway model.
    """

    draw_rows: DrawRows
    pathway: PathwayModel | None
    start: PathwayStart | None = None

    def blocks(self, n: int, seed: int, some: slice = slice(None)) -> Iterator[PatientLog]:
        """n patients with ids 1 to n, in blocks of at most BLOCK; one empty block for n = 0. Raises
        Refusal for prompts that cannot be met. some: which of the blocks, all the same in each.
        """
        highest = self._highest_chance([seed]) if self.start is not None else 1.0
        for number, first in list(enumerate(range(0, max(n, 1), BLOCK)))[some]:
            rng, size = np.random.default_rng([seed, number]), min(BLOCK, n - first)
            if self.start is not None:
                yield self._prompted_block(size, first + 1, highest, rng)
                continue
            patients = self._patients(size, first + 1, rng)
            yield PatientLog(
                patients, self.pathway.sample(patients, rng) if self.pathway is not None else None
            )

    def static_or_whole(self, n: int, seeds: Sequence[int]) -> PatientLog:
        """n patients with ids 1 to n: with their pathways where these have a start, else static
        rows alone, to which pathways are drawn once all patients stand.
        """
        rng = np.random.default_rng(seeds)
        if self.start is None:
            return PatientLog(self._patients(n, 1, rng))
        highest = self._highest_chance(seeds)
        sizes = [min(BLOCK, n - first) for first in range(0, n, BLOCK)]
        return _joined(
            [
                self._prompted_block(size, at * BLOCK + 1, highest, rng)
                for at, size in enumerate(sizes)
            ]
        )

    @property
    def _start_in_words(self) -> str:
        return ", ".join(self.start.events) if self.start is not None else ""

    def _patients(self, n: int, first: int, rng: np.random.Generator) -> pl.DataFrame:
        return with_ids(self.draw_rows(n, rng), first)

    def _highest_chance(self, seeds: Sequence[int]) -> float:
        """The largest chance of such a start among some patients; a stream of its own."""
        highest = float(self._candidates(np.random.default_rng([*seeds, 0, 1]))[1].max())
        if highest == 0:
            raise Refusal(
                f"no pathway of {BLOCK:,} synthetic patients begins with {self._start_in_words}:"
                " ask for a start that the conditions allow"
            )
        return highest

    def _candidates(self, rng: np.random.Generator) -> tuple[PatientLog, np.ndarray]:
        """A block of patients with pathways, and each one's chance of such a start, [BLOCK]."""
        assert self.pathway is not None and self.start is not None
        patients = self._patients(BLOCK, 1, rng)
        events, chance = self.pathway.sample_with_start(patients, self.start, rng)
        return PatientLog(patients, events), chance

    def _prompted_block(
        self, n: int, first: int, highest: float, rng: np.random.Generator
    ) -> PatientLog:
        """n patients whose pathways start so, by rejection sampling: each candidate is accepted
        with the chance of such a start, relative to the highest chance in one block of patients. A
        patient with a higher chance is accepted always, so rather too rarely.
        """
        parts, total = [], 0
        for _ in range(ATTEMPTS):
            candidates, chance = self._candidates(rng)
            is_accepted = pl.Series(rng.random(BLOCK) * highest < chance)
            patients = candidates.patients.filter(is_accepted).head(n - total)
            parts.append(
                _with_ids_of(
                    PatientLog(patients, candidates.pathways), _ids_from(patients, first + total)
                )
            )
            total += len(patients)
            if total == n:
                return _joined(parts)
        raise Refusal(
            f"of {ATTEMPTS * BLOCK:,} synthetic patients only {total} of {n} have pathways that"
            f" begin with {self._start_in_words}: ask for fewer rows, or for a start that the"
            " conditions allow"
        )


def planned_blocks(
    cells: Sequence[tuple[int, Callable[[], BlockSampler]]],
    pathway: PathwayModel | None,
    seed: int,
) -> Iterator[PatientLog]:
    """The patients of all cells in random order, with ids from 1, in blocks of at most BLOCK.

    cells: how many patients each has, and what makes its sampler; of each wave of WAVE patients one
        sampler is in memory at a time. Raises Refusal as BlockSampler.blocks.
    """
    cell_of = np.repeat(np.arange(len(cells)), [rows for rows, _ in cells])
    cell_of = np.random.default_rng([seed, 0, 2]).permutation(cell_of)
    for wave, first in enumerate(range(0, max(len(cell_of), 1), WAVE)):
        places = cell_of[first : first + WAVE]
        parts = []
        for cell in np.unique(places):
            ids = pl.Series("new_id", first + 1 + np.flatnonzero(places == cell))
            sampler, seeds = cells[cell][1](), [seed, wave, 3, int(cell)]
            parts.append(_with_ids_of(sampler.static_or_whole(len(ids), seeds), ids))
        yield from _in_blocks(_joined(parts), pathway, [seed, wave, 4])


def _ids_from(patients: pl.DataFrame, first: int) -> pl.Series:
    return pl.int_range(first, first + len(patients), dtype=pl.Int64, eager=True).alias("new_id")


def _with_ids_of(log: PatientLog, ids: pl.Series) -> PatientLog:
    """The same patients, the first with the first of these ids."""
    names = log.patients.select(ID).with_columns(ids)
    frames = [log.patients, *([log.events] if log.events is not None else [])]
    return PatientLog(
        *(
            frame.join(names, on=ID, how="inner", maintain_order="left")
            .with_columns(pl.col("new_id").alias(ID))
            .drop("new_id")
            for frame in frames
        )
    )


def _in_blocks(
    log: PatientLog, pathway: PathwayModel | None, seeds: Sequence[int]
) -> Iterator[PatientLog]:
    """By id, in blocks; with pathways where there are none yet."""
    patients = log.patients.sort(ID)
    events = log.events.sort(ID, "seq") if log.events is not None else None
    for number, first in enumerate(range(0, max(len(patients), 1), BLOCK)):
        block = patients[first : first + BLOCK]
        if events is not None:
            yield PatientLog(block, events.filter(pl.col(ID).is_in(block[ID].implode())))
        elif pathway is not None:
            rng = np.random.default_rng([*seeds, number])
            yield PatientLog(block, pathway.sample(block, rng))
        else:
            yield PatientLog(block)


def partitions(blocks: Iterable[PatientLog], size: int) -> Iterator[PatientLog]:
    """The same patients in partitions of `size`, the last one smaller; at least one, which may be
    empty.
    """
    pending: list[PatientLog] = []
    n_pending, is_first = 0, True
    for block in blocks:
        pending.append(block)
        n_pending += len(block.patients)
        while n_pending >= size:
            partition, rest = _split(_joined(pending), size)
            yield partition
            pending, n_pending, is_first = [rest], len(rest.patients), False
    if n_pending or is_first:
        yield _joined(pending)


def with_ids(patients: pl.DataFrame, first: int) -> pl.DataFrame:
    """Static rows with patient_id from `first` on."""
    return patients.select(
        pl.int_range(first, first + pl.len(), dtype=pl.Int64).alias(ID), pl.all()
    )


def _joined(parts: Sequence[PatientLog]) -> PatientLog:
    """The patients of all parts in order; at least one part."""
    events = [part.events for part in parts if part.events is not None]
    return PatientLog(
        pl.concat([part.patients for part in parts]), pl.concat(events) if events else None
    )


def _split(log: PatientLog, at: int) -> tuple[PatientLog, PatientLog]:
    """The first `at` patients and the others, each with their events."""
    first, rest = log.patients.head(at), log.patients.tail(len(log.patients) - at)
    if log.events is None:
        return PatientLog(first), PatientLog(rest)
    is_first = log.events[ID].is_in(first[ID].implode())
    return PatientLog(first, log.events.filter(is_first)), PatientLog(
        rest, log.events.filter(~is_first)
    )
