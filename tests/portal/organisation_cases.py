"""A small OpenID provider that really runs: on a port of its own, with keys of its own. It holds to
OpenID Connect Core 1.0 and PKCE, unless a test makes it break a rule.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey

CLIENT, SECRET = "portal", "what the two of them know"


@dataclass
class Server:
    """The provider, and what a test changes about it."""

    address: str = ""
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", auto_kid=True))
    secret: str | None = SECRET
    person: dict[str, Any] = field(
        default_factory=lambda: {
            "sub": "248",
            "name": "Ann Example",
            "email": "ann@example.org",
            "email_verified": True,
        }
    )
    wrong: dict[str, Any] = field(default_factory=dict)  # claims instead of the right ones
    signs_with: ECKey | None = None  # another key than the published one
    is_unsigned: bool = False
    says_issuer: str | None = None  # in its own description
    only_userinfo: bool = False  # e-mail and name are not in the token
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def describe(self) -> dict[str, str]:
        return {
            "issuer": self.says_issuer or self.address,
            "authorization_endpoint": f"{self.address}/authorize",
            "token_endpoint": f"{self.address}/token",
            "jwks_uri": f"{self.address}/keys",
            "userinfo_endpoint": f"{self.address}/userinfo",
        }

    def authorize(self, query: dict[str, str]) -> str:
        """The person is there and agrees: the way back."""
        assert query["response_type"] == "code" and query["code_challenge_method"] == "S256"
        assert query["client_id"] == CLIENT and "openid" in query["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        back = {"code": code, "state": query["state"], "iss": self.address}
        return f"{query['redirect_uri']}?{urlencode(back)}"

    def token(self, form: dict[str, str], authorization: str | None) -> dict[str, str] | None:
        """None: the code is not good, or was asked for by somebody else."""
        query = self.codes.pop(form.get("code", ""), None)
        if query is None or form.get("redirect_uri") != query["redirect_uri"]:
            return None
        if self.secret is not None:
            right = base64.b64encode(f"{CLIENT}:{self.secret}".encode()).decode()
            if authorization != f"Basic {right}":
                return None
        challenge = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(challenge).decode().rstrip("=") != query["code_challenge"]:
            return None
        return {
            "access_token": f"access {self.person['sub']}",
            "token_type": "Bearer",
            "id_token": self._id_token(query["nonce"]),
        }

    def _id_token(self, nonce: str) -> str:
        now = int(time.time())
        person = {"sub": self.person["sub"]} if self.only_userinfo else self.person
        claims = {
            "iss": self.address,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            **person,
            **self.wrong,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.is_unsigned:
            parts = ({"alg": "none"}, claims)
            texts = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode() for p in parts]
            return ".".join(text.rstrip("=") for text in texts) + "."
        header = {"alg": "ES256", "kid": self.key.kid}
        return jwt.encode(header, claims, self.signs_with or self.key)


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/authorize":
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                self.send_response(302)
                self.send_header("Location", server.authorize(query))
                self.end_headers()
                return
            answers = {
                "/.well-known/openid-configuration": server.describe(),
                "/keys": {"keys": [server.key.as_dict(private=False)]},
                "/userinfo": server.person,
            }
            self.answer(200 if parts.path in answers else 404, answers.get(parts.path))

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(text).items()}
            found = server.token(form, self.headers.get("Authorization"))
            self.answer(200 if found else 400, found or {"error": "invalid_grant"})

        def answer(self, status: int, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    return Handler


@contextmanager
def running() -> Iterator[Server]:
    """The provider, for as long as the block runs."""
    server = Server()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(server)) as http:
        server.address = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        http.shutdown()
        thread.join()
