"""The finished model of a training on its way to other hosts: in the mirror before the ledger notes
its hash, so that a host that is lost takes no charge with it.
"""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

from pipeline import files
from pipeline.catalog import Checkpoints
from pipeline.dp.errors import MechanismError
from pipeline.dp.mirror import Mirror

NAME = "model.tar"
_TAPE = "tape.json"


def keep(checkpoints: Checkpoints, mirror: Mirror | None) -> None:
    """The model and its tape are in the mirror when this returns. Where another host's lie there,
    that one is the model, here as well.
    """
    if mirror is None:
        return
    ours = _packed(checkpoints)
    if (there := mirror.keep(NAME, ours)) != ours:
        shutil.rmtree(checkpoints.model)
        _unpack(there, checkpoints)


def fetch(checkpoints: Checkpoints, mirror: Mirror | None) -> None:
    """The model that was finished on another host is here when this returns."""
    if mirror is None or checkpoints.model.is_dir():
        return
    if (there := mirror.find(NAME)) is not None:
        _unpack(there, checkpoints)


def _packed(checkpoints: Checkpoints) -> bytes:
    """The same bytes for the same files, whenever and by whomever they were written."""
    paths = sorted(path for path in checkpoints.model.rglob("*") if path.is_file())
    members = {f"model/{path.relative_to(checkpoints.model)}": path for path in paths}
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in {**members, _TAPE: checkpoints.tape}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = path.stat().st_size, 0o600
            with path.open("rb") as file:
                archive.addfile(entry, file)
    return content.getvalue()


def _unpack(content: bytes, checkpoints: Checkpoints) -> None:
    """The tape first: a model without one would not be handed out."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        parts = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        texts = {name: part.read() for name, part in parts.items() if part is not None}
    if not texts or any(".." in Path(name).parts or name.startswith("/") for name in texts):
        raise MechanismError(f"{NAME} of the checkpoint store is no model that we packed")
    files.write_text(checkpoints.tape, texts.pop(_TAPE).decode("utf-8"))
    with files.replacing_folder(checkpoints.model) as folder:
        for name, text in texts.items():
            path = folder / Path(name).relative_to("model")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text)
