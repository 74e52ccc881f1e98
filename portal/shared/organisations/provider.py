"""An organisation's OpenID provider, as this process asks it (OpenID Connect Core 1.0; PKCE of
RFC 7636; the answer's issuer of RFC 9207).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from pipeline.refusal import Refusal
from portal.shared.organisations.attempts import Attempt, Tokens
from portal.shared.organisations.settings import Organisation, is_safe_address

logger = logging.getLogger(__name__)
SECONDS = 10  # for one answer
LEEWAY = 60  # seconds that clocks may differ
LARGEST = 1 << 20  # bytes of a document
SIGNED_BY = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
FAULTS = (requests.RequestException, AuthlibBaseError, JoseError, ValueError, KeyError, TypeError)


@dataclass(frozen=True)
class Person:
    """Who signed in there, as the organisation says."""

    subject: str  # issuer and the organisation's own id of the person
    email: str  # empty: it says none
    is_verified: bool  # that the address is the person's
    name: str


class Provider:
    """One organisation's provider, with the redirect address that it knows this process by."""

    def __init__(self, organisation: Organisation, secret: str | None, redirect: str) -> None:
        self._organisation = organisation
        self._session = OAuth2Session(
            organisation.client_id,
            secret,
            token_endpoint_auth_method="client_secret_basic" if secret else "none",
            scope="openid email profile",
            redirect_uri=redirect,
            code_challenge_method="S256",
            default_timeout=SECONDS,
        )
        self._session.max_redirects = 0

    def address(self, tokens: Tokens, attempt: Attempt) -> str:
        """Where the person signs in. Raises Refusal where the provider does not answer as one."""
        with self._words():
            where, _ = self._session.create_authorization_url(
                self._discover()["authorization_endpoint"],
                state=tokens.state,
                nonce=attempt.nonce,
                code_verifier=attempt.verifier,
            )
            return str(where)

    def person(self, code: str, attempt: Attempt) -> Person:
        """Who came back with this code. Raises Refusal for a code that is not good, and for a
        token of another issuer, for another client, with another nonce, out of date, or not signed
        by a key of the provider.
        """
        with self._words():
            facts = self._discover()
            token = self._session.fetch_token(
                facts["token_endpoint"], code=code, code_verifier=attempt.verifier
            )
            claims = claims_of(
                token, self._document(facts["jwks_uri"]), self._organisation, attempt.nonce
            )
            if "email" not in claims and "userinfo_endpoint" in facts:
                claims = {**self._userinfo(facts["userinfo_endpoint"], claims["sub"]), **claims}
        return Person(
            subject=f"{self._organisation.issuer}|{claims['sub']}",
            email=str(claims.get("email", "")),
            is_verified=claims.get("email_verified") is True,
            name=str(claims.get("name", "")),
        )

    def _discover(self) -> Mapping[str, Any]:
        issuer = self._organisation.issuer
        facts = self._document(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if facts["issuer"] != issuer:
            raise ValueError("another issuer")
        for name in (*ENDPOINTS, "userinfo_endpoint"):
            if name in (*ENDPOINTS, *facts) and not is_safe_address(facts[name]):
                raise ValueError(f"{name} is not encrypted")
        return facts

    def _userinfo(self, where: str, subject: str) -> Mapping[str, Any]:
        facts = self._document(where, withhold_token=False)
        if facts["sub"] != subject:
            raise ValueError("another subject")
        return facts

    def _document(self, where: str, *, withhold_token: bool = True) -> Any:
        answer = self._session.request("GET", where, withhold_token=withhold_token, stream=True)
        with answer:
            answer.raise_for_status()
            text = answer.raw.read(LARGEST + 1, decode_content=True)
        if len(text) > LARGEST:
            raise ValueError("too large")
        return json.loads(text)

    @contextmanager
    def _words(self) -> Iterator[None]:
        """Faults become a refusal that says nothing of what was sent; the log has their kind."""
        try:
            yield
        except FAULTS as error:
            logger.warning("sign-in at %s: %s", self._organisation.id, type(error).__name__)
            raise Refusal(
                f"the sign-in at {self._organisation.name} did not work: try once more, and tell"
                " the administrator if it stays so"
            ) from None


def claims_of(
    token: Mapping[str, Any], keys: Any, organisation: Organisation, nonce: str
) -> Mapping[str, Any]:
    """The claims of an ID token that is what it has to be (OpenID Connect Core 1.0, 3.1.3.7).

    Raises JoseError for any other, KeyError where there is none.
    """
    signed = jwt.decode(token["id_token"], KeySet.import_key_set(keys), algorithms=SIGNED_BY)
    claims = CodeIDToken(
        signed.claims,
        signed.header,
        {
            "iss": {"essential": True, "value": organisation.issuer},
            "aud": {"essential": True, "value": organisation.client_id},
        },
        {
            "nonce": nonce,
            "client_id": organisation.client_id,
            "access_token": token.get("access_token"),
        },
    )
    claims.validate(leeway=LEEWAY)
    return dict(claims)
