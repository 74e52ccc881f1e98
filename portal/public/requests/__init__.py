"""What researchers ask for, and how far it is."""

from portal.public.requests.routes import router

__all__ = ["router"]
