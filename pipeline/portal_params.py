"""The portal's settings: the blocks `portal` and `sign_in` of params.yaml, which may be left out.
They are of no run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.refusal import Refusal

LOCAL_ADDRESS = "127.0.0.1"


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
    listen: str = LOCAL_ADDRESS  # the address on which both processes answer
    certificate: str | None = None  # a file: TLS by the processes themselves, with the key beside
    certificate_key: str | None = None
    proxies: tuple[str, ...] = ()  # addresses or networks of proxies that end TLS before us

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
        if isinstance(self.proxies, str):
            raise Refusal(f"portal.proxies must be a list of addresses, is {self.proxies!r}")
        object.__setattr__(self, "proxies", tuple(self.proxies))
        self._check_tls()

    def _check_tls(self) -> None:
        """Raises Refusal where passwords would cross a network as clear text."""
        pair = [self.certificate, self.certificate_key]
        if any(pair) and not all(pair):
            raise Refusal(
                "portal.certificate and portal.certificate_key are two files that go together: name"
                " both, or neither"
            )
        for path in filter(None, pair):
            if not Path(path).is_file():
                raise Refusal(f"portal.certificate: there is no file {path}")
        if "/" in self.listen:
            raise Refusal(f"portal.listen must be one address, is {self.listen!r}")
        for address in (self.listen, *self.proxies):
            _refuse_no_address(address)
        if any(ip_network(one).prefixlen == 0 for one in self.proxies):
            raise Refusal(
                "portal.proxies names everybody, who could then say to call from anywhere and by"
                " https: name the proxies that end TLS"
            )
        is_local = ip_address(self.listen).is_loopback
        if not is_local and not all(pair) and not self.proxies:
            raise Refusal(
                f"portal.listen is {self.listen}, so passwords would cross the network as clear"
                " text: name portal.certificate and portal.certificate_key, or in portal.proxies"
                " the proxies that end TLS"
            )


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


def _refuse_no_address(text: str) -> None:
    try:
        ip_network(text)
    except ValueError:
        raise Refusal(f"portal: {text!r} is no address or network, such as 10.0.0.0/8") from None


def load(path: Path) -> PortalParams:
    """The settings in a params.yaml. Raises Refusal for an unknown key or a value out of range."""
    return PortalParams(**block_of(path, "portal", PortalParams))


def load_sign_in(path: Path) -> SignInParams:
    """The organisations in a params.yaml. Raises Refusal for an unknown key."""
    return SignInParams(**block_of(path, "sign_in", SignInParams))


def block_of(path: Path, name: str, kind: type) -> Mapping[str, Any]:
    """A block of a params.yaml, empty where it has none. Raises Refusal for a key that `kind`, a
    dataclass, does not know.
    """
    block = (YAML(typ="safe").load(path.read_text(encoding="utf-8")) or {}).get(name) or {}
    if not isinstance(block, Mapping):
        raise Refusal(f"{path.name}: {name} must be a mapping, is {block!r}")
    names = [field.name for field in fields(kind)]
    if unknown := [str(key) for key in block if key not in names]:
        raise Refusal(f"{path.name}: unknown key {name}.{f', {name}.'.join(unknown)}")
    return block
