"""The first page of staff: what waits for whom."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from portal.shared.accounts import Account
from portal.shared.guard import require
from portal.shared.pages import render

router = APIRouter()


@router.get("/")
def show_desk(request: Request, account: Annotated[Account, Depends(require())]) -> Response:
    return render(request, "desk.html")
