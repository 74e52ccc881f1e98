"""The format of a stored model: what another version of the code wrote is refused."""

from __future__ import annotations

from pipeline.refusal import Refusal


def require_format(what: str, version: object, readable: int) -> None:
    """Raises Refusal where `what` was written in another format than this version reads."""
    if version != readable:
        raise Refusal(
            f"{what} has format {version}, this version reads {readable}: draw with the version of"
            " the code on the release's card, or make a new release"
        )
