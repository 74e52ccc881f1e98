"""Whether a process can do its work: for whatever watches it, without signing in. It says of each
part by its name whether it is well, and nothing else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy import Engine
from starlette.responses import JSONResponse

Check = Callable[[], bool]  # an exception counts as no
SECONDS = 5.0  # for which an answer stands: whoever asks often costs nothing


@dataclass
class Health:
    """`parts`: without which the process does not work. `others`: what it works with; it says how
    they are, and serves without them.
    """

    process: str
    parts: Mapping[str, Check]
    others: Mapping[str, Check]
    _last: tuple[float, dict[str, bool]] | None = field(default=None, repr=False)
    _alone: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def answer(self) -> JSONResponse:
        """200 where every part is well, else 503."""
        states = self._states()
        is_well = all(states[name] for name in self.parts)
        parts = {name: _word(state) for name, state in states.items()}
        body = {"process": self.process, "status": _word(is_well), "parts": parts}
        return JSONResponse(body, 200 if is_well else 503, {"Cache-Control": "no-store"})

    def _states(self) -> dict[str, bool]:
        with self._alone:
            if self._last is None or time.monotonic() - self._last[0] > SECONDS:
                checks = {**self.parts, **self.others}
                states = {name: _is_well(check) for name, check in checks.items()}
                self._last = time.monotonic(), states
            return self._last[1]


def is_database_well(engine: Engine) -> bool:
    """Whether a database answers."""
    with engine.connect() as connection:
        return connection.execute(sa.text("SELECT 1")).scalar() == 1


def _is_well(check: Check) -> bool:
    try:
        return check()
    except Exception:  # its message may name a path or a server
        return False


def _word(state: bool) -> str:
    return "healthy" if state else "unhealthy"
