"""Writing files whole or not at all, for everybody."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.refusal import Refusal

TEMPORARY, OLDER = ".tmp", ".tmp.old"  # ends of names beside a folder that is replaced
SIGNATURE = ".written-by-syndasera.json"  # in a folder that a person named: what we wrote there
Foreign = Callable[[Path], list[str]]  # the names of what is not ours in a folder


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


def private_umask() -> None:
    """What this process, and every program that it starts, writes from now on is its owner's."""
    os.umask(0o077)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`, which a person named; moves it there when the block
    ends well, removes it otherwise. Raises Refusal where something stands at `path`, before the
    block and again after it: nothing that is there is replaced.
    """
    refuse_existing(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        try:
            os.link(temporary, path)  # fails where something came to stand there meanwhile
        except FileExistsError:
            refuse_existing(path)
        except OSError:  # a file system without links
            refuse_existing(path)
            temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


def refuse_existing(path: Path) -> None:
    """Raises Refusal where a new file could not be put at `path`."""
    if path.is_dir() and not path.is_symlink():
        raise Refusal(f"{path} is a folder: name a file")
    if path.exists() or path.is_symlink():
        raise Refusal(
            f"{path} is there already. Nothing was changed: name a new file, or move that one away"
        )


def private_folder(path: Path) -> None:
    """Makes the folder, or finds it made, and lets nobody but its owner in."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)


def keep_private(root: Path) -> None:
    """Takes all rights in a file or a folder, and in all that lies there, from everybody but the
    owner. Links are not followed; what belongs to somebody else, or goes meanwhile, is left.
    """
    for path in _with_all_below(root):
        _set_mode(path, lambda mode: mode & ~0o077)


def open_to_readers(root: Path) -> None:
    """Lets everybody read a folder and all that lies there, and nobody else write."""
    for path in _with_all_below(root):
        _set_mode(path, lambda mode: (mode | 0o444 | (0o111 if mode & 0o100 else 0)) & ~0o022)


def keep_unlisted(folder: Path) -> None:
    """Nobody but the owner lists a folder or writes there. Who may go through it may still."""
    _set_mode(folder, lambda mode: mode & ~0o066)


def _with_all_below(root: Path) -> Iterator[Path]:
    if root.is_symlink() or not root.exists():
        return
    yield root
    for folder, folders, names in os.walk(root):
        yield from (Path(folder) / name for name in (*folders, *names))


def _set_mode(path: Path, change: Callable[[int], int]) -> None:
    with suppress(FileNotFoundError, PermissionError):
        mode = stat.S_IMODE(path.lstat().st_mode)
        if not path.is_symlink() and change(mode) != mode:
            path.chmod(change(mode))


@contextmanager
def replacing_folder(path: Path, *, foreign: Foreign | None = None) -> Iterator[Path]:
    """Gives an empty folder beside `path`; moves it there when the block ends well, removes it
    otherwise. What a killed attempt left beside `path` is cleared away first.

    foreign: names what is not ours in a folder at `path`; then the folder is not replaced. None:
        a folder of the catalog, where nothing lies but what we wrote. An empty folder always gives
        way. A file or a link at `path` never does.

    Raises Refusal, and leaves `path` as it is, before the block and again after it.
    """
    refuse_foreign(path, foreign)
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{TEMPORARY}")
    temporary.mkdir()
    try:
        with _locked(temporary):
            yield temporary
            refuse_foreign(path, foreign)
            _move_folder(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sign(folder: Path) -> None:
    """Notes in the folder what it holds, so that `unsigned` tells later whether it is as we wrote
    it.
    """
    write_json(folder / SIGNATURE, _checksums(folder))


def unsigned(folder: Path) -> list[str]:
    """The files in the folder that `sign` did not note, or that were changed since then."""
    signature = read_json(folder / SIGNATURE, {})
    return sorted(
        name for name, checksum in _checksums(folder).items() if signature.get(name) != checksum
    )


def others(folder: Path, ours: Collection[str]) -> list[str]:
    """The names in the folder that are not `ours`."""
    return sorted(entry.name for entry in folder.iterdir() if entry.name not in ours)


def everything(folder: Path) -> list[str]:
    """All names in the folder, of which none is ours."""
    return others(folder, ())


def refuse_foreign(path: Path, foreign: Foreign | None) -> None:
    """Raises Refusal where a folder at `path` may not be replaced (as of `replacing_folder`)."""
    if path.is_symlink():
        raise Refusal(f"{path} is a link: name the folder that it leads to, or another one")
    if path.exists() and not path.is_dir():
        raise Refusal(f"{path} is a file: name a folder")
    if foreign is None or not path.is_dir() or not any(path.iterdir()):
        return
    if names := foreign(path):
        raise Refusal(
            f"{path} holds {names[0]}{' and more' if len(names) > 1 else ''}, which this command"
            " did not write. Nothing was changed: name a folder that is new or empty"
        )


def _clear_leftovers(path: Path) -> None:
    """Removes the temporary folders of attempts that were killed, and puts the older folder back
    where one was killed between two moves. Those of an attempt that still runs are locked.
    """
    name = re.compile(
        rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}({re.escape(TEMPORARY)}|{re.escape(OLDER)})"
    )
    for entry in path.parent.iterdir():
        kind = name.fullmatch(entry.name)
        if kind is None or not entry.is_dir():
            continue
        with suppress(BlockingIOError, FileNotFoundError), _locked(entry):
            if kind[1] == OLDER and not path.exists():
                entry.rename(path)
            else:
                shutil.rmtree(entry)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The lock ends with the process, however that ends. BlockingIOError where another holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _move_folder(temporary: Path, path: Path) -> None:
    """An older folder stands aside until the new one is in its place, and returns if that fails."""
    if not path.exists():
        temporary.rename(path)
        return
    older = temporary.with_name(temporary.name.removesuffix(TEMPORARY) + OLDER)
    with _locked(path):
        path.rename(older)
        try:
            temporary.rename(path)
        except BaseException:
            older.rename(path)
            raise
        shutil.rmtree(older, ignore_errors=True)


def _checksums(folder: Path) -> dict[str, str]:
    """Path in the folder -> SHA-256, of every file but the signature; of a link, where it leads."""
    return {
        str(file.relative_to(folder)): _checksum(file)
        for file in sorted(folder.rglob("*"))
        if file.name != SIGNATURE and (file.is_symlink() or not file.is_dir())
    }


def folder_sha256(folder: Path) -> str:
    """One SHA-256 over the paths in a folder and what each file holds."""
    return json_sha256(_checksums(folder))


def _checksum(file: Path) -> str:
    if file.is_symlink():
        return f"link to {file.readlink()}"
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """What was put into the folder, or taken out of it, is so on disk when this returns."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append_line(path: Path, line: str) -> None:
    """A line at the end of a file, on disk when it returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


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
    """The parsed file, or `default` where there is none. Raises Refusal where it is damaged; what
    it holds is not quoted.
    """
    if not path.is_file():
        return default
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise Refusal(
            f"{path.parent.name}/{path.name} is damaged: it is no JSON ({type(error).__name__})."
            " Restore it from the backup; where a stage of a run wrote it, remove it and run that"
            " stage again"
        ) from None
