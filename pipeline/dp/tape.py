"""The tape: what was executed, to be compared with what was reserved (privacy_rules.md 13)."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import NamedTemporaryFile

import dp_accounting as dpa

from pipeline.dp.errors import MechanismError
from pipeline.dp.events import canonical, canonical_string, composed, flatten, from_json, to_json


class Tape:
    """Events of executed mechanisms, in the order they ran.

    DP-SGD is appended as the steps that ran: dpa.SelfComposedDpEvent(step, steps_done). A resumed
    run starts a new tape: counts found in the store and steps found in the checkpoint are entered
    on it again, so that it covers every attempt.

    >>> step = dpa.PoissonSampledDpEvent(0.1, dpa.GaussianDpEvent(2.0))
    >>> tape = Tape()
    >>> tape.append(step)
    >>> tape.append(dpa.SelfComposedDpEvent(step, 2))
    >>> tape.matches(dpa.SelfComposedDpEvent(step, 3))
    True
    """

    def __init__(self, executed: Iterable[dpa.DpEvent] = ()) -> None:
        self._executed: list[dpa.DpEvent] = []
        for event in executed:
            self.append(event)

    def append(self, event: dpa.DpEvent) -> None:
        """One more executed mechanism; MechanismError where it cannot be accounted."""
        flatten(event)
        self._executed.append(event)

    @property
    def event(self) -> dpa.ComposedDpEvent:
        """Everything executed, canonical: equal events grouped."""
        return composed(self._executed)

    def matches(self, reserved: dpa.DpEvent) -> bool:
        """Whether exactly the reserved event was executed: the same leaves equally often."""
        return canonical_string(self.event) == canonical_string(reserved)

    def check(self, reserved: dpa.DpEvent) -> None:
        """Raises MechanismError with the difference where `matches` is false."""
        if differences := self.differences(reserved):
            raise MechanismError(
                "the executed mechanisms are not the reserved ones: " + "; ".join(differences)
            )

    def differences(self, reserved: dpa.DpEvent) -> list[str]:
        """One line for each leaf that ran more or less often than reserved. Public: events hold
        declared numbers only.
        """
        executed, expected = flatten(self.event), flatten(canonical(reserved))
        return [
            f"{leaf} ran {executed.get(leaf, 0)} times, reserved {expected.get(leaf, 0)} times"
            for leaf in sorted(executed.keys() | expected.keys(), key=repr)
            if executed.get(leaf, 0) != expected.get(leaf, 0)
        ]

    def save(self, path: str | Path) -> None:
        """As JSON, whole or not at all."""
        path = Path(path)
        with NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as temporary:
            json.dump(to_json(self.event), temporary)
            temporary.flush()
            os.fsync(temporary.fileno())
        Path(temporary.name).replace(path)

    @classmethod
    def load(cls, path: str | Path) -> "Tape":
        """The saved tape; an empty one where nothing was saved. Raises MechanismError for the JSON
        of another event.
        """
        path = Path(path)
        return cls([from_json(json.loads(path.read_text()))]) if path.exists() else cls()
