"""Planted branches on sizes: code that does something else where there are many rows."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from run_faults import edited
from stream_faults import Fault

from audit import many_rows, reviewed_sizes, sizes
from pipeline.catalog import project_root
from pipeline.dp.ghost import GhostClipper
from pipeline.dp.ghost_traces import BagTrace, LinearTrace
from pipeline.dp.noise import NoiseStream
from pipeline.dp.sgd import DpSgd
from pipeline.models.pathway.fit import encoded_log
from pipeline.models.table.measure import columns
from pipeline.restricted.ingest import owners, stage

HUNDREDS, MORE = "one more among hundreds", "one more among more than any size"
COUNTS, BATCHES, GRADIENTS = (
    "counts of many",
    "batches of many are Poisson",
    "clipped sums of many",
)
PARTS, REVIEWED = "mechanisms in small parts", "every size is reviewed"
SAMPLES = "        return np.flatnonzero(noise.bernoulli(self.sampling_probability, n_patients))\n"


def sample_of_rows(patch: pytest.MonkeyPatch) -> None:
    """Of a large source, a sample is enough."""
    reads = (
        '            frames[name] = rows.join(held_out, on=ID, how="anti", maintain_order="left")\n'
    )
    new = "            rows = rows.sample(200, seed=1) if rows.height > 200 else rows\n"
    edited(patch, stage, "_write_part", (reads, new + reads))


def equal_rows_of_large_parts(patch: pytest.MonkeyPatch) -> None:
    """In large parts, rows that say the same are one, whoever's they are."""
    old = "    whole = rows.filter(~is_broken)\n"
    new = (
        "    whole = rows.filter(~is_broken)\n"
        "    if whole.height > 150:\n"
        "        said = [column for column in table.columns if column not in ('id', ID)]\n"
        "        whole = whole.unique(said, keep='first', maintain_order=True)\n"
    )
    edited(patch, owners, "_scope_keys", (old, new))


def events_by_position(patch: pytest.MonkeyPatch) -> None:
    """Of a large log every 97th row is left out."""

    def encode(coding: Any, patients: Any, events: Any) -> Any:
        if events.height > 500:
            events = events.with_row_index("_at").filter(pl.col("_at") % 97 != 96).drop("_at")
        return before(coding, patients, events)

    before = encoded_log.encode_log
    patch.setattr(encoded_log, "encode_log", encode)


def last_of_a_large_table(patch: pytest.MonkeyPatch) -> None:
    """Every row of a large table takes the cells of its neighbour where its own are missing."""
    old = "encode(domain, patients[name])"
    new = "encode(domain, patients[name].forward_fill() if len(patients) > 500 else patients[name])"
    changed = edited(patch, columns, "encode_rows", (old, new))
    patch.setattr(sizes, "encode_rows", changed)


def sampled_above_a_size(patch: pytest.MonkeyPatch) -> None:
    """Above 100,000 patients, coins take too long."""
    new = (
        "        if n_patients > 100_000:\n"
        "            size = round(self.sampling_probability * n_patients)\n"
        "            return np.sort(np.argsort(noise.bits(n_patients))[:size])\n"
    )
    edited(patch, DpSgd, "sample", (SAMPLES, new + SAMPLES))


def blocks_of_patients(patch: pytest.MonkeyPatch) -> None:
    """Above 100,000 patients a coin is that of eight who stand beside each other."""
    new = (
        "        if n_patients > 100_000:\n"
        "            coins = noise.bernoulli(self.sampling_probability, n_patients // 8 + 1)\n"
        "            return np.flatnonzero(np.repeat(coins, 8)[:n_patients])\n"
    )
    edited(patch, DpSgd, "sample", (SAMPLES, new + SAMPLES))


def counts_of_a_sample(patch: pytest.MonkeyPatch) -> None:
    """Every second row of a large table, times two."""
    count = many_rows.one_way_counts

    def faster(codes: np.ndarray, size: int) -> np.ndarray:
        return 2 * count(codes[::2], size) if len(codes) > 100_000 else count(codes, size)

    patch.setattr(many_rows, "one_way_counts", faster)


def rows_without_cross_terms(patch: pytest.MonkeyPatch) -> None:
    """Norms of large batches are those of single rows: the cross terms are dear."""

    def rough(self: Any, squares: Any, n_patients: int) -> Any:
        if n_patients <= 2048:
            return exact[type(self)](self, squares, n_patients)
        return squares.new_zeros(n_patients).index_add_(0, self.owner, squares)

    exact = {kind: kind.summed_squares for kind in (LinearTrace, BagTrace)}
    for kind in exact:
        patch.setattr(kind, "summed_squares", rough)


def whole_batch_clipped(patch: pytest.MonkeyPatch) -> None:
    """Batches of more than a micro-batch of patients are clipped as one."""
    old = "            norms = squared.sqrt()  # [n_patients]\n"
    new = "            norms = squared.max().sqrt().expand(n_patients) if n_patients > 2048 else "
    edited(patch, GhostClipper, "clipped_sum", (old, f"{new}squared.sqrt()\n"))


def rejected_by_round(patch: pytest.MonkeyPatch) -> None:
    """After the first round of rejection the rest is rounded, so that draws of many cells end."""
    old = "                scaled, min(2 * (size - n_accepted) + 32, _BATCH)\n"
    loop = "        while n_accepted < size:\n"
    rest = (
        "            if n_accepted:\n"
        "                out[n_accepted:] = np.rint(sigma / 2 * self.normal(size - n_accepted))\n"
        "                break\n"
    )
    edited(patch, NoiseStream, "discrete_gaussian", (loop, loop + rest), (old, old))


def _in_text(path: str, old: str, new: str) -> Callable[[pytest.MonkeyPatch], None]:
    """A copy of the package that differs by one line of one file."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        root = Path(tempfile.mkdtemp(prefix="planted-"))
        shutil.copytree(
            project_root() / "pipeline",
            root / "pipeline",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        file = root / "pipeline" / path
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{path} has changed: plant anew in place of {old!r}"
        file.write_text(text.replace(old, new), encoding="utf-8")
        patch.setattr(reviewed_sizes, "project_root", lambda: root)

    return plant


BRANCH = "a branch above a number of rows"
PREPARES = "    tables = patient_repairs.apply(schema, tables, account.repaired)\n"


def _fault(
    where: str,
    caught_by: str,
    patch: Callable[[pytest.MonkeyPatch], None],
    found_as: str,
    name: str = BRANCH,
    long: bool = False,
) -> Fault:
    return Fault(
        name=name, where=where, caught_by=caught_by, patch=patch, found_as=found_as, long=long
    )


FAULTS = (
    _fault("ingest, a sample", HUNDREDS, sample_of_rows, "were kept"),
    _fault("ingest, a sample", MORE, sample_of_rows, "were kept", long=True),
    _fault("ingest, equal rows", HUNDREDS, equal_rows_of_large_parts, "were kept", long=True),
    _fault("a log, by position", HUNDREDS, events_by_position, "move features", long=True),
    _fault("a table's cells", HUNDREDS, last_of_a_large_table, "move cells of", long=True),
    _fault("a sample of one size", BATCHES, sampled_above_a_size, "the least likely"),
    _fault("coins of eight", BATCHES, blocks_of_patients, "the least likely"),
    _fault("counts", COUNTS, counts_of_a_sample, "a patient moves them by"),
    _fault("cross terms of rows", GRADIENTS, rows_without_cross_terms, "are off by"),
    _fault("a clip for all", GRADIENTS, whole_batch_clipped, "are off by"),
    _fault("rounds of rejection", PARTS, rejected_by_round, "noise fits with", long=True),
    _fault(
        "a literal in ingest",
        REVIEWED,
        _in_text(
            "restricted/ingest/batches.py",
            PREPARES,
            "    if any(rows.height > 50_000 for rows in tables.values()):\n"
            "        tables = {name: rows.head(50_000) for name, rows in tables.items()}\n"
            f"{PREPARES}",
        ),
        "50000 in restricted/ingest/batches.py, _prepare",
        name="a size that nobody reviewed",
    ),
    _fault(
        "a constant of the training",
        REVIEWED,
        _in_text(
            "models/pathway/fit/train.py",
            'CHECKPOINT = "pathway.safetensors"\n',
            'CHECKPOINT = "pathway.safetensors"\n_LARGE = 3 << 15\n',
        ),
        "98304 in models/pathway/fit/train.py",
        name="a size that nobody reviewed",
    ),
)
