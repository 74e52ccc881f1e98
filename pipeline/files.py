"""Writing files whole or not at all, for everybody."""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`; moves it there when the block ends well, removes it
    otherwise.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def private_folder(path: Path) -> None:
    """Makes the folder, or finds it made, and lets nobody but its owner in."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)


def replace_folder(temporary: Path, final: Path) -> None:
    """Makes a finished folder visible in one step; an older one of the same name gives way. Both
    lie on one file system.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    old = final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}.tmp.old")
    if final.exists():
        final.rename(old)
    temporary.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def json_sha256(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form: the same whether it was read from a file or
    not.
    """
    plain = json.loads(json.dumps(value))
    return hashlib.sha256(
        json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


def read_json(path: Path, default: Any = None) -> Any:
    """The parsed file, or `default` where there is none."""
    if not path.is_file():
        return default
    return json.loads(path.read_text(encoding="utf-8"))
