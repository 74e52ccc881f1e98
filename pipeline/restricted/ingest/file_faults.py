"""What is wrong with a file as such, in one line for the custodian."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from pipeline.refusal import Refusal

PARQUET = ".parquet"


@contextmanager
def structure(name: str) -> Iterator[None]:
    """Says in one line what is wrong with a damaged file `name`."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise Refusal(
            f"{name} is a truncated or damaged gzip file. Copy it again from its origin."
        ) from None
    except PermissionError:
        raise Refusal(
            f"{name} may not be read by this account. Correct the file's rights."
        ) from None
    except (pa.ArrowException, OSError) as error:
        if not name.lower().endswith(PARQUET):
            raise
        raise Refusal(
            f"{name} is no readable Parquet file ({type(error).__name__}). Copy it again from"
            " its origin."
        ) from None
