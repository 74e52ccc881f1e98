"""What researchers ask for, as custodians see it."""

from portal.custodian.requests.routes import router

__all__ = ["router"]
