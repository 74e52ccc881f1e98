"""What a training keeps, where every host finds it: the token, the noisy counts, the checkpoints
of DP-SGD, the finished model.

The objects lie in the checkpoint store, and the database notes each with its hash: a store that
lost one, or was put back from a backup, is found out (privacy_rules.md 12).
"""

from __future__ import annotations

import hashlib

import sqlalchemy as sa

from pipeline.catalog import Home
from pipeline.dp.errors import MechanismError
from pipeline.dp.mirror import Mirror
from pipeline.runs import registers
from pipeline.runs.object_store import ObjectStore, checkpoint_store


def training_mirror(home: Home, release_id: str) -> Mirror | None:
    """The mirror of a release's training; None on one host."""
    if not home.deployment.is_shared:
        return None
    return TrainingMirror(home, release_id, checkpoint_store(home))


class TrainingMirror:
    """The objects of one release, by the names that its training gives them."""

    def __init__(self, home: Home, release_id: str, objects: ObjectStore) -> None:
        self._home, self._release_id, self._objects = home, release_id, objects
        self._prefix = f"{release_id}/training/"

    def keep(self, name: str, content: bytes) -> bytes:
        there = self.find(name)
        if there is None:
            there = self._objects.put_once(self._prefix + name, content)
            # a store that took both of two writes at once is found out by the one note
            if self._note(name, there) != _hash(there):
                raise self._fault(name, "is another one in")
        return there

    def find(self, name: str) -> bytes | None:
        # the note first: what is noted is in the store, whoever keeps it meanwhile
        with registers.transaction(self._home) as connection:
            note = self._notes(connection).get(name)
        content = self._objects.get(self._prefix + name)
        if note is None and content is not None:  # a host was lost between the object and its note
            note = self._note(name, content)
        if note is None or (content is not None and note == _hash(content)):
            return content
        raise self._fault(name, "is gone from" if content is None else "is another one in")

    def newest(self, name: str) -> int:
        with registers.transaction(self._home) as connection:
            notes = list(self._notes(connection))
        there = [one.removeprefix(self._prefix) for one in self._objects.names(self._prefix)]
        ends = (one.rpartition(".") for one in (*notes, *there))
        return max(
            (int(end) for start, _, end in ends if start == name and end.isdigit()), default=0
        )

    def _note(self, name: str, content: bytes) -> str:
        """Notes what was kept. Returns the hash that is noted: this one's, or another's."""
        with registers.transaction(self._home) as connection:
            if (first := self._notes(connection).get(name)) is not None:
                return first
            entry = {"release_id": self._release_id, "name": name, "sha256": _hash(content)}
            connection.execute(sa.insert(registers.TRAINING), entry)
            return _hash(content)

    def _fault(self, name: str, state: str) -> MechanismError:
        return MechanismError(
            f"{self._release_id}: {name} was kept once and {state} the checkpoint store: to run it"
            " again would be another charge; put the store back as it was, or use a new release id"
        )

    def _notes(self, connection: sa.Connection) -> dict[str, str]:
        of_release = registers.TRAINING.c.release_id == self._release_id
        rows = connection.execute(sa.select(registers.TRAINING).where(of_release))
        return {row.name: row.sha256 for row in rows}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
