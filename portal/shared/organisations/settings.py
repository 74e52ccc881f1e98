"""Organisations whose own sign-in the portal takes (OpenID Connect): the block `sign_in` of
params.yaml, checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from pipeline.portal_params import SignInParams
from pipeline.refusal import Refusal

ID = re.compile(r"[a-z0-9][a-z0-9-]{1,29}")
DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class Organisation:
    """One of them. Its secret, where it gives one, is a file (`Home.sign_in_secret`)."""

    id: str  # in addresses, a-z 0-9 and -
    name: str  # on the sign-in page
    issuer: str  # https, exactly as its tokens name it; http on this machine alone
    client_id: str  # what it knows this process by
    domains: tuple[str, ...]  # of e-mail, that it speaks for: no other address is believed
    is_open: bool = False  # its people become researchers without an invitation

    def __post_init__(self) -> None:
        if not ID.fullmatch(self.id):
            raise Refusal(f"sign_in: id {self.id!r} must be 2 to 30 of a-z, 0-9 and -")
        if not is_safe_address(self.issuer):
            raise Refusal(f"sign_in: the issuer of {self.id} must begin with https://")
        object.__setattr__(self, "domains", tuple(str(one).lower() for one in self.domains))
        if not self.domains or not all(DOMAIN.fullmatch(one) for one in self.domains):
            raise Refusal(f"sign_in: domains of {self.id} must be a list such as [example.org]")


def organisations_of(settings: SignInParams, process: str) -> tuple[Organisation, ...]:
    """Those of "public" or "custodian". Raises Refusal for the first that does not fit."""
    values = settings.public if process == "public" else settings.custodian
    every = tuple(_organisation(one) for one in values)
    if len({one.id for one in every}) < len(every):
        raise Refusal(f"sign_in.{process} names an id twice")
    if process == "custodian" and any(one.is_open for one in every):
        raise Refusal("sign_in.custodian: staff come by invitation alone, so none is_open")
    return every


def is_safe_address(address: str) -> bool:
    """Whether what is sent there is encrypted, or stays on this machine."""
    parts = urlsplit(address)
    is_local = parts.scheme == "http" and parts.hostname in LOCAL
    return bool(parts.hostname) and (parts.scheme == "https" or is_local)


def _organisation(value: Any) -> Organisation:
    names = {one.name for one in fields(Organisation)}
    needed = names - {"is_open"}
    if not isinstance(value, Mapping) or not needed <= set(value) <= names:
        raise Refusal(
            f"sign_in: an organisation has {', '.join(sorted(needed))}, and may be is_open"
        )
    if isinstance(value["domains"], str):
        raise Refusal("sign_in: domains must be a list such as [example.org]")
    return Organisation(**value)
