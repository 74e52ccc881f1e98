"""Deletes what is due, once a day and when the process starts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from portal.custodian.uploads import checks

DAY_SECONDS = 24 * 3600


@asynccontextmanager
async def deleting_daily(app: FastAPI) -> AsyncIterator[None]:
    """While the application runs, a pipeline process deletes every day what is due."""
    task = asyncio.create_task(_every_day(app))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _every_day(app: FastAPI) -> None:
    while True:
        await run_in_threadpool(checks.run, app.state.home, "delete-due")
        await asyncio.sleep(DAY_SECONDS)
