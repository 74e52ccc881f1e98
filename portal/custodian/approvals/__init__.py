"""Releases that wait for a person."""

from portal.custodian.approvals.routes import router

__all__ = ["router"]
