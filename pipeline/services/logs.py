"""Logs stay small: a service's long log is turned over. (Logs of tasks go by `tidy`.)"""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.catalog import Home
from pipeline.night_params import LogsParams


def keep_small(home: Home, settings: LogsParams) -> None:
    """Turns over the logs of services that are longer than `most_mb`. Services may run
    meanwhile.
    """
    for path in sorted((home.state / "logs").glob("*.log")):
        if path.stat().st_size > settings.most_mb * 1e6:
            _turn_over(path, settings.copies)


def _turn_over(path: Path, copies: int) -> None:
    """`x.log` becomes `x.log.1`, that `x.log.2`, and so on; the oldest goes.

    The service goes on writing to `x.log`, which it appends to: it is copied, and then emptied.
    Lines that it writes between the two are lost. On a full disk nothing is copied: the log is
    emptied all the same, and the copies before stay.
    """
    first, *_ = names = [path.with_name(f"{path.name}.{number + 1}") for number in range(copies)]
    draft = path.with_name(f".{path.name}.tmp")
    try:
        shutil.copyfile(path, draft)
    except OSError:
        draft.unlink(missing_ok=True)
    else:
        for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
            if newer.exists():
                newer.replace(older)
        draft.replace(first)
        first.chmod(0o600)
    with path.open("r+b") as log:
        log.truncate()
