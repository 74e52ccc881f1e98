"""The format of a stored model: what another version of the code wrote is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.refusal import Refusal


def require_format(what: str, version: object, readable: int) -> None:
    """Raises Refusal where `what` was written in another format than this version reads."""
    if version != readable:
        raise Refusal(
            f"{what} has format {version}, this version reads {readable}: draw with the version of"
            " the code on the release's card, or make a new release"
        )


@contextmanager
def whole(folder: Path, *names: str) -> Iterator[None]:
    """Raises Refusal where one of these files in a model's folder is absent, or where what is read
    from them in the block is damaged.
    """
    for name in names:
        if not (folder / name).is_file():
            raise Refusal(f"no whole model in {folder}: {name} is not there; {_REMEDY}")
    try:
        yield
    except Refusal as refusal:
        raise Refusal(f"{folder.name}/{' or '.join(names)}: {refusal}") from None
    except Exception as error:  # of safetensors, torch, JSON, or a part that is missing
        raise Refusal(
            f"the model in {folder} is damaged: {' or '.join(names)} cannot be read"
            f" ({type(error).__name__}); {_REMEDY}"
        ) from None


_REMEDY = (
    "fetch it again from the released version store (`dvc get`), or run the stage train again,"
    " which gives out the model that it trained"
)
