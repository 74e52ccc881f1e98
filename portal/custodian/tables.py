"""What the custodian process notes of requests and answers, in its own database. Restricted."""

from __future__ import annotations

import sqlalchemy as sa

from portal.shared.tables import EMAIL

RESTRICTED = sa.MetaData()

# One approved request as it was approved: whatever the public database says later, this is sent.
dispatches = sa.Table(
    "dispatches",
    RESTRICTED,
    sa.Column("id", sa.String(32), primary_key=True),  # of the request, and of the run in Airflow
    sa.Column("email", sa.String(EMAIL), nullable=False),  # who asks
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("dataset", sa.String(100), nullable=False),
    sa.Column("model_of", sa.String(41)),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("epsilon", sa.Float),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("release_id", sa.String(41), nullable=False),
    sa.Column("approved_by", sa.String(EMAIL), nullable=False),
    sa.Column("approved_at", sa.BigInteger, nullable=False),
    sa.Column("is_live", sa.Boolean, nullable=False),  # else it is shown by the coarse clock
    sa.Column("step", sa.String(10), nullable=False),  # approved, sent, ended, void
    sa.Column("state", sa.String(20), nullable=False),  # what is so: portal/shared/states.py
    sa.Column("state_at", sa.BigInteger, nullable=False),
    sa.Column("stage", sa.String(40)),
    sa.Column("is_told", sa.Boolean, nullable=False, server_default=sa.false()),  # of the end
)
# Why a person said yes or no to a release. It stays here and in the run's restricted folder.
reasons = sa.Table(
    "reasons",
    RESTRICTED,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("release_id", sa.String(41), nullable=False, index=True),
    sa.Column("task", sa.String(40), nullable=False),
    sa.Column("answer", sa.String(10), nullable=False),
    sa.Column("email", sa.String(EMAIL), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)
