"""TLS: by the processes themselves, or by a proxy before them; never a password as clear text."""

from __future__ import annotations

import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI
from starlette.requests import Request
from starlette.testclient import TestClient

from pipeline.portal_params import PortalParams
from pipeline.refusal import Refusal
from portal.__main__ import settings
from portal.shared.limits import Limits


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 and its key, as files."""
    folder = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "portal")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "portal.crt", folder / "portal.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def pages() -> FastAPI:
    """One page that tells by which scheme it was asked for; our headers on it."""
    app = FastAPI()
    app.add_middleware(Limits)

    @app.get("/")
    def page(request: Request) -> dict[str, str]:
        return {"scheme": request.url.scheme}

    return app


@contextmanager
def served(portal: PortalParams) -> Iterator[int]:
    """The port, for as long as the block runs."""
    server = uvicorn.Server(settings(pages(), 0, portal))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def test_the_processes_speak_tls_by_themselves(certificate):
    chain, key = map(str, certificate)
    with served(PortalParams(certificate=chain, certificate_key=key)) as port:
        trusted = ssl.create_default_context(cafile=chain)
        with urllib.request.urlopen(f"https://127.0.0.1:{port}/", context=trusted) as answer:
            assert answer.read() == b'{"scheme":"https"}'
            assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        with pytest.raises(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10)


@pytest.mark.parametrize(
    ("proxies", "scheme"), [((), "https"), (("127.0.0.0/8",), "https"), (("10.1.2.3",), "http")]
)
def test_only_a_proxy_that_is_named_says_that_it_was_https(proxies, scheme):
    """Without a name, this machine itself is the one."""
    with served(PortalParams(proxies=proxies)) as port:
        headers = {"X-Forwarded-Proto": "https"}
        request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers=headers)
        with urllib.request.urlopen(request) as answer:
            assert answer.read() == f'{{"scheme":"{scheme}"}}'.encode()
            assert ("Strict-Transport-Security" in answer.headers) == (scheme == "https")


@pytest.mark.parametrize(
    ("client", "scheme", "path", "status"),
    [
        ("10.2.3.4", "http", "/", 403),
        ("10.2.3.4", "https", "/", 200),
        ("10.2.3.4", "http", "/health", 200),
        ("127.0.0.1", "http", "/", 200),
    ],
)
def test_who_comes_past_the_proxy_by_http_is_turned_away(client, scheme, path, status):
    app = pages()
    app.add_api_route("/health", lambda: "well")
    app = settings(app, 0, PortalParams(listen="0.0.0.0", proxies=["10.9.9.9"])).app
    visitor = TestClient(app, base_url=f"{scheme}://portal", client=(client, 5))
    assert visitor.get(path).status_code == status


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"listen": "0.0.0.0"}, "clear text"),
        ({"listen": "::"}, "clear text"),
        ({"listen": "portal.example.org"}, "no address"),
        ({"certificate": "/nowhere.crt"}, "go together"),
        ({"certificate_key": "/nowhere.key"}, "go together"),
        ({"certificate": "/no.crt", "certificate_key": "/no.key"}, "no file /no.crt"),
        ({"proxies": "10.0.0.1"}, "must be a list"),
        ({"proxies": ["anybody"]}, "no address"),
        ({"proxies": ["*"]}, "no address"),
        ({"proxies": ["0.0.0.0/0"]}, "names everybody"),
        ({"listen": "127.0.0.0/8"}, "must be one address"),
    ],
)
def test_what_would_be_clear_text_or_cannot_be_read_is_refused(given, complaint):
    with pytest.raises(Refusal, match=complaint):
        PortalParams(**given)


def test_behind_a_named_proxy_every_address_may_be_listened_on():
    assert PortalParams(listen="0.0.0.0", proxies=["10.0.0.0/8"]).proxies == ("10.0.0.0/8",)
