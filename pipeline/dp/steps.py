"""How far a DP-SGD came, noted beside its checkpoint: steps that were kept once are never run a
second time with other noise (privacy_rules.md 12).
"""

import os
from pathlib import Path

from pipeline.dp.errors import MechanismError
from pipeline.dp.mirror import Mirror


class StepIndex:
    """The steps whose outcome a checkpoint kept. It lies beside the checkpoint's folder and says
    what must be in it.

    With a mirror, a checkpoint is there before its steps are noted, and the newest one there is the
    one that training goes on from, whatever lies on this host.
    """

    def __init__(self, checkpoint: Path, mirror: Mirror | None = None) -> None:
        self._checkpoint, self._mirror = checkpoint, mirror
        self._name = f"{checkpoint.parent.name}/{checkpoint.name}"
        self._mirrored: set[int] = set()  # steps that this process fetched or kept
        self._file = checkpoint.parent.with_name(f"{checkpoint.parent.name}.steps")

    @property
    def last(self) -> int:
        """The last step that was noted; 0 before the first."""
        if not self._file.is_file():
            return 0
        return max(map(int, self._file.read_text(encoding="ascii").split()), default=0)

    def check(self, step: int) -> None:
        """Raises MechanismError where the checkpoint is at `step` (0: there is none) and more steps
        were kept before: it was lost, or an older one was put back.
        """
        if step < self.last:
            state = f"stands at step {step}" if step else "is gone"
            raise MechanismError(
                f"{self.last} noisy steps were kept once, and {self._checkpoint.name} {state}: to"
                f" run them again would be another charge; put {self._checkpoint.parent.name}/"
                " back as it was, or use a new release id"
            )

    def fetch(self) -> None:
        """The newest checkpoint of the mirror is here when this returns, where it has one. Raises
        MechanismError where it had one and lost it.
        """
        if self._mirror is None or not (newest := self._mirror.newest(self._name)):
            return
        content = self._mirror.find(f"{self._name}.{newest}")
        self._checkpoint.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._checkpoint.with_suffix(".tmp")
        temporary.write_bytes(content or b"")
        _fsync(temporary)
        temporary.replace(self._checkpoint)
        self._mirrored.add(newest)
        self._append(newest)

    def note(self, step: int) -> None:
        """The checkpoint holds this many steps. It is on disk, and in the mirror, before its line
        here is. Raises MechanismError where another process kept other noise of these steps.
        """
        for path in (self._checkpoint, self._checkpoint.parent):
            _fsync(path)
        if self._mirror is not None and step and step not in self._mirrored:
            ours = self._checkpoint.read_bytes()
            if self._mirror.keep(f"{self._name}.{step}", ours) != ours:
                raise MechanismError(
                    f"{self._name}: another process kept step {step} first; it trains this release,"
                    " and this one stops"
                )
            self._mirrored.add(step)
        self._append(step)

    def _append(self, step: int) -> None:
        with self._file.open("a", encoding="ascii") as index:
            index.write(f"{step}\n")
            index.flush()
            os.fsync(index.fileno())
        _fsync(self._file.parent)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
