"""The URL of a database file, for programs that take nothing else."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from pipeline.refusal import Refusal


def sqlite_url(path: Path) -> str:
    """The URL by which Airflow and MLflow find a database file. Not escaped: they make folders by
    the text itself. Raises Refusal where SQLAlchemy would read another path from it.
    """
    url = f"sqlite:///{path.absolute()}"
    if sa.make_url(url).database != str(path.absolute()):
        raise Refusal(f"{str(path)!r} cannot be written as a URL: choose another home")
    return url
