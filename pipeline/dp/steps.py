"""How far a DP-SGD came, noted beside its checkpoint: steps that were kept once are never run a
second time with other noise (privacy_rules.md 12).
"""

import os
from pathlib import Path

from pipeline.dp.errors import MechanismError


class StepIndex:
    """The steps whose outcome a checkpoint kept. It lies beside the checkpoint's folder and says
    what must be in it.
    """

    def __init__(self, checkpoint: Path) -> None:
        self._checkpoint = checkpoint
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

    def note(self, step: int) -> None:
        """The checkpoint holds this many steps. It is on disk before its line here is."""
        for path in (self._checkpoint, self._checkpoint.parent):
            _fsync(path)
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
