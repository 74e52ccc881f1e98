"""The portal's settings: the blocks `portal` and `sign_in` of params.yaml, which may be left out.
They are of no run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.refusal import Refusal


@dataclass(frozen=True, kw_only=True)
class PortalParams:
    """`status_hours`: how coarse the clock is by which researchers learn the state of a request for
    confidential data (privacy.md). `smtp`, `webhook`: where notices go; neither: into the log.
    """

    status_hours: int = 24
    live: bool = True  # whether requests for simulated and public data are followed as they go
    draws_by_themselves: bool = True  # whether a draw from a published model needs no custodian
    poll_seconds: int = 10  # between two looks at Airflow
    address: str | None = None  # of the public portal, in notices; none: this machine's
    smtp: str | None = None  # HOST or HOST:PORT of a mail server that takes our mail as it comes
    mail_from: str = "syndasera@localhost"
    mail_to: tuple[str, ...] = ()  # custodians who are told that a release waits for a person
    webhook: str | None = None

    def __post_init__(self) -> None:
        if type(self.status_hours) is not int or not 1 <= self.status_hours <= 24 * 7:
            raise Refusal(
                "portal.status_hours must be a whole number from 1 to 168, is"
                f" {self.status_hours!r}"
            )
        if not self.poll_seconds >= 1:
            raise Refusal(f"portal.poll_seconds must be at least 1, is {self.poll_seconds}")
        if isinstance(self.mail_to, str):
            raise Refusal(f"portal.mail_to must be a list of addresses, is {self.mail_to!r}")
        object.__setattr__(self, "mail_to", tuple(self.mail_to))
        if self.smtp is not None and not self.smtp.rpartition(":")[2]:
            raise Refusal(f"portal.smtp must be HOST or HOST:PORT, is {self.smtp!r}")
        if self.webhook is not None and not self.webhook.startswith(("https://", "http://")):
            raise Refusal("portal.webhook must begin with https:// or http://")


@dataclass(frozen=True, kw_only=True)
class SignInParams:
    """Organisations whose people sign in to the two processes of the portal through them; the
    portal checks what each of them says.
    """

    public: Sequence[Any] = ()
    custodian: Sequence[Any] = ()

    def __post_init__(self) -> None:
        for name in ("public", "custodian"):
            if not isinstance(getattr(self, name), list | tuple):
                raise Refusal(f"sign_in.{name} must be a list of organisations")


def load(path: Path) -> PortalParams:
    """The settings in a params.yaml. Raises Refusal for an unknown key or a value out of range."""
    return PortalParams(**block_of(path, "portal", PortalParams))


def load_sign_in(path: Path) -> SignInParams:
    """The organisations in a params.yaml. Raises Refusal for an unknown key."""
    return SignInParams(**block_of(path, "sign_in", SignInParams))


def block_of(path: Path, name: str, kind: type) -> Mapping[str, Any]:
    """A block of params.yaml that is no run's; empty where it is left out. Raises Refusal for a key
    that `kind`, a dataclass, does not have.
    """
    block = (YAML(typ="safe").load(path.read_text(encoding="utf-8")) or {}).get(name) or {}
    if not isinstance(block, Mapping):
        raise Refusal(f"{path.name}: {name} must be a mapping, is {block!r}")
    names = [field.name for field in fields(kind)]
    if unknown := [str(key) for key in block if key not in names]:
        raise Refusal(f"{path.name}: unknown key {name}.{f', {name}.'.join(unknown)}")
    return block
