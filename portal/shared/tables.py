"""The tables of the portal's databases.

`IDENTITY` stands in both: each process has accounts and sessions of its own, so that whoever gets
hold of the public process still has no staff account. `EXCHANGE` stands in the public database
alone: what researchers ask for, and what the custodian process answers.
"""

from __future__ import annotations

import sqlalchemy as sa

IDENTITY = sa.MetaData()
EXCHANGE = sa.MetaData()
EMAIL = 254  # characters: the longest address of e-mail


def _time(name: str, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable)


accounts = sa.Table(
    "accounts",
    IDENTITY,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("email", sa.String(EMAIL), nullable=False, unique=True),  # in lower case
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("organisation", sa.String(200), nullable=False, server_default=""),
    sa.Column("role", sa.String(20), nullable=False),
    sa.Column("password", sa.Text),  # an argon2 hash; none for an account of an organisation
    sa.Column("subject", sa.Text, unique=True),  # issuer and subject of OpenID Connect
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    _time("locked_until", nullable=True),
    _time("created_at"),
    sa.Column("disabled", sa.Boolean, nullable=False, server_default=sa.false()),
)
invitations = sa.Table(
    "invitations",
    IDENTITY,
    sa.Column("token", sa.String(64), primary_key=True),  # SHA-256 of what the link holds
    sa.Column("email", sa.String(EMAIL), nullable=False),
    sa.Column("role", sa.String(20), nullable=False),
    sa.Column("invited_by", sa.String(EMAIL), nullable=False),
    _time("expires_at"),
    _time("used_at", nullable=True),
)
sessions = sa.Table(
    "sessions",
    IDENTITY,
    sa.Column("token", sa.String(64), primary_key=True),  # SHA-256 of what the cookie holds
    sa.Column("account", sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    sa.Column("csrf", sa.String(64), nullable=False),
    _time("created_at"),
    _time("seen_at"),
)
# A sign-in that goes on at an organisation: a row each, for minutes, taken once.
attempts = sa.Table(
    "sign_in_attempts",
    IDENTITY,
    sa.Column("state", sa.String(64), primary_key=True),  # SHA-256 of what the address holds
    sa.Column("browser", sa.String(64), nullable=False),  # SHA-256 of what the cookie holds
    sa.Column("organisation", sa.String(30), nullable=False),
    sa.Column("nonce", sa.String(64), nullable=False),
    sa.Column("verifier", sa.String(128), nullable=False),  # of PKCE
    sa.Column("next", sa.Text, nullable=False),  # the page that was asked for
    _time("expires_at"),
)
actions = sa.Table(
    "actions",
    IDENTITY,
    sa.Column("id", sa.Integer, primary_key=True),
    _time("at"),
    sa.Column("email", sa.String(EMAIL), nullable=False),  # empty: nobody signed in
    sa.Column("role", sa.String(20), nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("action", sa.String(60), nullable=False),
    sa.Column("subject", sa.String(200), nullable=False),
)
requests = sa.Table(
    "requests",
    EXCHANGE,
    sa.Column("id", sa.String(32), primary_key=True),
    _time("created_at"),
    sa.Column("email", sa.String(EMAIL), nullable=False),  # who asks
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("organisation", sa.String(200), nullable=False),
    sa.Column("kind", sa.String(10), nullable=False),  # draw, training
    sa.Column("dataset", sa.String(100), nullable=False),
    sa.Column("model_of", sa.String(41)),  # the release whose model is drawn from
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("epsilon", sa.Float),  # of a new training
    sa.Column("plan", sa.Text, nullable=False, server_default=""),  # YAML, docs/plans.md
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),  # portal/shared/states.py
    _time("state_at"),
    sa.Column("stage", sa.String(40)),  # live, of simulated and public populations only
    sa.Column("quote", sa.Text),  # what it would cost, in words, by the custodian process
    sa.Column("release_id", sa.String(41)),  # what came of it
)
messages = sa.Table(
    "messages",
    EXCHANGE,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("request", sa.ForeignKey("requests.id"), nullable=False, index=True),
    _time("at"),
    sa.Column("email", sa.String(EMAIL), nullable=False),
    sa.Column("role", sa.String(20), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)
uses = sa.Table(
    "uses",
    EXCHANGE,
    sa.Column("id", sa.Integer, primary_key=True),
    _time("at"),
    sa.Column("email", sa.String(EMAIL), nullable=False),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("organisation", sa.String(200), nullable=False),
    sa.Column("release_id", sa.String(41), nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
)
