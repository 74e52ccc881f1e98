"""The bridge between requests and Airflow. It alone starts runs for people outside: it reads the
public database, and writes states there, those of confidential data on a coarse fixed clock only
(docs/privacy.md).

Everything that it knows stands in the two databases and in Airflow; it may be killed at any time. A
run in Airflow has the request's id, so that it is started once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence

import sqlalchemy as sa
from sqlalchemy import Engine

from pipeline import portal_params
from pipeline.catalog import Home
from pipeline.portal_params import PortalParams
from pipeline.services import notices
from pipeline.services.airflow_api import AirflowRefusal
from pipeline.services.portal_server import portal_address
from portal.custodian import dispatch, progress
from portal.custodian.airflow import AWAY, Airflow
from portal.custodian.dispatch import APPROVED, ENDED, SENT, RequestRow
from portal.custodian.populations import quote
from portal.custodian.tables import dispatches
from portal.shared import states
from portal.shared.database import now
from portal.shared.tables import requests

logger = logging.getLogger(__name__)
LONGEST_SLEEP = 60.0  # seconds: clocks of machines are set now and then
REFUSED_FORM = 400


class Bridge:
    """`look` is one pass over everything that is open; `tick` shows what is due on the coarse
    clock.
    """

    def __init__(self, home: Home, engine: Engine, exchange: Engine, airflow: Airflow) -> None:
        self._home, self._engine, self._exchange = home, engine, exchange
        self._airflow = airflow
        self._unquotable: set[str] = set()
        self._last_settings = portal_params.load(home.params)

    async def run(self) -> None:
        """Until it is cancelled. The clock waits for nothing, least of all for Airflow."""
        await asyncio.gather(self._look_for_ever(), self._tick_for_ever())

    async def _look_for_ever(self) -> None:
        while True:
            with _noting_errors("look"):
                await asyncio.to_thread(self.look)
            await asyncio.sleep(self._settings().poll_seconds)

    async def _tick_for_ever(self) -> None:
        length = self._settings().status_hours * 3600
        last = now() // length
        while True:
            left = (last + 1) * length - now()
            await asyncio.sleep(min(max(left, 0.2), LONGEST_SLEEP))
            if now() // length > last:
                last = now() // length
                with _noting_errors("tick"):
                    await asyncio.to_thread(self.tick, last * length)

    def look(self) -> None:
        """Quotes new requests, starts what is approved, reads how the runs go, shows live states.
        While Airflow is away, what needs it waits.
        """
        self._quote(is_live=True)
        if self._settings().draws_by_themselves:
            self._approve_draws()
        try:
            _each(self._open(APPROVED), self._send)
            _each(self._open(SENT), self._follow)
        except AWAY as error:
            logger.info("bridge: Airflow is away (%s)", type(error).__name__)
        self._show(is_live=True, at=now())

    def tick(self, at: int) -> None:
        """At a moment of the fixed clock: shows the states of confidential data as they were then,
        without a stage; only here are they ever written.
        """
        self._show(is_live=False, at=at)
        self._quote(is_live=False)

    def _settings(self) -> PortalParams:
        """As they are now; as they were while somebody writes them."""
        with _noting_errors("the settings of the portal"):
            self._last_settings = portal_params.load(self._home.params)
        return self._last_settings

    def _open(self, *steps: str) -> Sequence[RequestRow]:
        with self._engine.begin() as c:
            return c.execute(sa.select(dispatches).where(dispatches.c.step.in_(steps))).all()

    def _requested(self) -> Sequence[RequestRow]:
        with self._exchange.begin() as c:
            return c.execute(sa.select(requests).where(requests.c.state == states.REQUESTED)).all()

    def _quote(self, is_live: bool) -> None:
        """Says in public what new requests would cost. Of confidential data only by the clock: what
        is left tells when other runs were charged.
        """
        new = [row for row in self._requested() if row.quote is None]
        for row in new:
            if row.id in self._unquotable:
                continue
            self._unquotable.add(str(row.id))  # one that cannot be quoted is tried once
            with _noting_errors(f"the quote of request {row.id!r}"):
                words = None
                if dispatch.may_follow(self._home, row) == is_live:
                    words = quote(self._home, dispatch.wish_of(row))
                self._unquotable.discard(str(row.id))
                self._say_quote(row, words)

    def _say_quote(self, row: RequestRow, words: str | None) -> None:
        if words is not None:
            with self._exchange.begin() as c:
                c.execute(sa.update(requests).where(requests.c.id == row.id).values(quote=words))

    def _approve_draws(self) -> None:
        _each([row for row in self._requested() if row.kind == "draw"], self._approve)

    def _approve(self, row: RequestRow) -> None:
        dispatch.approve(self._home, self._engine, self._exchange, row, dispatch.BY_ITSELF)

    def _send(self, row: RequestRow) -> None:
        if not dispatch.settle(self._engine, self._exchange, str(row.id)):
            return
        names = ("kind", "dataset", "model_of", "rows", "epsilon", "approved_by", "release_id")
        form = {name: getattr(row, name) for name in names}
        form |= {"plan": row.plan or None, "asked_by": row.email}
        try:
            self._airflow.trigger("request", form, run_id=str(row.id))
        except AirflowRefusal as refusal:
            if refusal.status == REFUSED_FORM:
                logger.warning("bridge: Airflow refuses the form of request %s", row.id)
                self._note(row, ENDED, states.STOPPED, None)
                return
            if refusal.status != progress.IS_THERE:
                logger.info("bridge: Airflow said %d, trying again later", refusal.status)
                return
        self._note(row, SENT, states.IN_PROGRESS, None)

    def _follow(self, row: RequestRow) -> None:
        state, stage = progress.of(self._airflow, self._home, row)
        self._note(row, ENDED if state in states.ENDS else SENT, state, stage)

    def _note(self, row: RequestRow, step: str, state: str, stage: str | None) -> None:
        if (row.step, row.state, row.stage) == (step, state, stage):
            return
        at = row.state_at if row.state == state else now()
        with self._engine.begin() as c:
            c.execute(
                sa.update(dispatches)
                .where(dispatches.c.id == row.id)
                .values(step=step, state=state, stage=stage, state_at=at)
            )

    def _show(self, *, is_live: bool, at: int) -> None:
        """Brings the public database up to date with what was so at `at`; tells people of ends."""
        due = sa.select(dispatches).where(
            dispatches.c.is_live == is_live,
            dispatches.c.step.in_((SENT, ENDED)),
            dispatches.c.state_at <= at,
            ~dispatches.c.is_told,
        )
        with self._engine.begin() as c:
            rows = c.execute(due).all()
        for row in rows:
            with _noting_errors(f"what is shown of request {row.id}"):
                self._show_one(row, at)

    def _show_one(self, row: RequestRow, at: int) -> None:
        state, stage = progress.outside(row)
        with self._exchange.begin() as c:
            states.move(c, row.id, state, at, stage=stage, release_id=_release(row))
        if state in states.ENDS:
            self._tell(row, state)

    def _tell(self, row: RequestRow, state: str) -> None:
        settings = self._settings()
        page = f"{settings.address or portal_address()}/requests/{row.id}"
        notices.send(
            settings, [str(row.email)], f"Syndasera: request {row.id} is {state}", f"See {page}"
        )
        with self._engine.begin() as c:
            c.execute(sa.update(dispatches).where(dispatches.c.id == row.id).values(is_told=True))


def _release(row: RequestRow) -> str | None:
    return str(row.release_id) if row.state == states.PUBLISHED else None


def _each(rows: Sequence[RequestRow], work: Callable[[RequestRow], None]) -> None:
    """Does the work for every row: one that goes wrong is noted and keeps no other from its turn.
    Raises what says that Airflow is away.
    """
    for row in rows:
        try:
            work(row)
        except AWAY:
            raise
        except Exception as error:
            logger.warning("bridge: request %r met %s", row.id, type(error).__name__)


@contextlib.contextmanager
def _noting_errors(what: str) -> Iterator[None]:
    """An error is noted by its type alone, and the next pass tries again."""
    try:
        yield
    except Exception as error:
        logger.error("bridge: %s met %s", what, type(error).__name__)
