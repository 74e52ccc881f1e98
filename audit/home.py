"""A home of its own for an audit: nothing that the machine's environment says of the real one
reaches it, its ledger least of all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from pipeline.catalog import HOME_VARIABLE

OURS = "SYNDASERA_"


@contextmanager
def at_home(root: Path) -> Iterator[None]:
    """`root` is the home while the block runs; every other variable of this project is unset, and
    comes back after.
    """
    with patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith(OURS)]:
            del os.environ[name]
        os.environ[HOME_VARIABLE] = str(root)
        yield
