"""The dashboard on a released extract."""

from portal.public.explore.routes import router

__all__ = ["router"]
