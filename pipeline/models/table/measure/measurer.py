"""Runs the plan's mechanisms on counts that it is handed, each once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pipeline.dp.marginals import MeasurementStore, NoisyCounts
from pipeline.dp.noise import NoiseStream
from pipeline.dp.selection import PrivateChoice
from pipeline.dp.tape import Tape

Codes = Mapping[str, np.ndarray]  # by column, int32 [rows]: cell or group of each row


class Measurer:
    """Runs each mechanism of the plan once, and enters it on the tape. It reads no rows: counts are
    handed to it.
    """

    def __init__(
        self,
        mechanisms: dict[str, NoisyCounts],
        choice: PrivateChoice | None,
        store: MeasurementStore,
        tape: Tape,
        noise: NoiseStream,
    ) -> None:
        self._mechanisms, self._choice = mechanisms, choice
        self._store, self._tape, self._noise = store, tape, noise
        self.sigmas = {name: mechanism.sigma for name, mechanism in mechanisms.items()}
        self.results: dict[str, np.ndarray] = {}  # noisy counts so far, by block

    def __call__(self, name: str, counts: Callable[[], np.ndarray]) -> np.ndarray:
        """Noisy counts of the block `name`, int64. counts: called only where the store does not
        hold the block yet.
        """
        self.results[name] = self._result(self._mechanisms[name], counts)
        return self.results[name]

    def choose(self, scores: Callable[[], np.ndarray]) -> np.ndarray:
        """Places of the picks of the plan's private choice, int64 [picks]. scores: called only
        where the store does not hold the picks yet.
        """
        assert self._choice is not None
        return self._result(self._choice, scores)

    def _result(
        self, mechanism: NoisyCounts | PrivateChoice, counts: Callable[[], np.ndarray]
    ) -> np.ndarray:
        noisy = self._store.get_or_measure(mechanism, counts, self._noise)
        self._tape.append(mechanism.dp_event)
        return noisy

    def blocks(self, prefix: str) -> int:
        """How many blocks of the plan have names that begin so."""
        return sum(name.startswith(prefix) for name in self._mechanisms)
