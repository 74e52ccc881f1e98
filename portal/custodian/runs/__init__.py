"""Every run, stage by stage, for staff."""

from portal.custodian.runs.routes import router

__all__ = ["router"]
