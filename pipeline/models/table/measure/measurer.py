"""Runs the plan's mechanisms on counts that it is handed, each once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.dp.marginals import MeasurementStore, NoisyCounts
from pipeline.dp.noise import NoiseStream
from pipeline.dp.tape import Tape


class Measurer:
    """Runs each mechanism of the plan once, and enters it on the tape. It reads no rows: counts are
    handed to it.
    """

    def __init__(
        self,
        mechanisms: dict[str, NoisyCounts],
        store: MeasurementStore,
        tape: Tape,
        noise: NoiseStream,
    ) -> None:
        self._mechanisms, self._store, self._tape, self._noise = mechanisms, store, tape, noise
        self.sigmas = {name: mechanism.sigma for name, mechanism in mechanisms.items()}

    def __call__(self, name: str, counts: Callable[[], np.ndarray]) -> np.ndarray:
        """Noisy counts of the block `name`, int64. counts: called only where the store does not
        hold the block yet.
        """
        noisy = self._store.get_or_measure(self._mechanisms[name], counts, self._noise)
        self._tape.append(self._mechanisms[name].dp_event)
        return noisy

    def blocks(self, prefix: str) -> int:
        """How many blocks of the plan have names that begin so."""
        return sum(name.startswith(prefix) for name in self._mechanisms)
