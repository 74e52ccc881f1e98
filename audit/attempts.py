"""An attempt that dies after it measured, and the attempt after it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from audit.findings import Finding
from pipeline.dp.marginals import MeasurementStore, Storable
from pipeline.dp.noise import NoiseStream

Array = np.ndarray[Any, Any]


def one_measurement(mechanisms: Sequence[Storable], folder: Path) -> Finding:
    """A child process measures, tells what it saw and dies; the next attempt must see the same,
    without reading rows.
    """
    context = multiprocessing.get_context("fork")
    reads, differing = 0, 0

    def rows_again() -> Array:
        nonlocal reads
        reads += 1
        return np.zeros(8, dtype=np.int64)

    for mechanism in mechanisms:
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(
            target=_measure_and_die, args=(folder / "counts", mechanism, sender)
        )
        child.start()
        sender.close()
        first = receiver.recv()
        child.join()
        differing += not np.array_equal(
            first,
            MeasurementStore(folder / "counts").get_or_measure(
                mechanism, rows_again, NoiseStream()
            ),
        )
    return Finding(
        holds=differing == reads == 0,
        figures={
            "mechanisms": len(mechanisms),
            "measured_again": differing,
            "rows_read_again": reads,
        },
        message=(
            f"of {len(mechanisms)} mechanisms whose attempt died, {differing} were measured again"
            f" and {reads} read rows again"
        ),
    )


def _measure_and_die(folder: Path, mechanism: Storable, sender: Any) -> None:
    sender.send(
        MeasurementStore(folder).get_or_measure(
            mechanism, lambda: np.zeros(8, dtype=np.int64), NoiseStream()
        )
    )
    os._exit(9)
