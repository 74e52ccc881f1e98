"""The address of an upload as a source: upload:<id>."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from pipeline.refusal import Refusal

PREFIX = "upload:"
_ID = re.compile(r"[0-9a-f]{16}")


def new_id() -> str:
    return secrets.token_hex(8)


def address_of(upload_id: str) -> str:
    return f"{PREFIX}{upload_id}"


def is_upload(source: str | Path) -> bool:
    return isinstance(source, str) and source.startswith(PREFIX)


def check_id(text: str) -> str:
    """The id, which may name folders. Raises Refusal for any other text, which is not quoted."""
    if not _ID.fullmatch(text):
        raise Refusal("the id of an upload is 16 of 0-9 and a-f, as `uploads list` shows it")
    return text


def id_of(source: str) -> str:
    """The upload's id. Raises Refusal for an address that is none."""
    return check_id(source.removeprefix(PREFIX))
