"""Where things live that several hosts share: `deployment.yaml` in the home, or the file that
SYNDASERA_DEPLOYMENT names. Without it everything lies in the home, on one host.

No password stands in it: libpq, AWS's libraries, git and MLflow have files of their own for them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.refusal import Refusal

NAME = "deployment.yaml"
_SECRET = re.compile(r"password|passwd|secret|token|credential|access_key", re.IGNORECASE)
_TOKEN = re.compile(r"gh[opsur]_|github_pat_|glpat-")  # which git hosts take as a user's name
_TOGETHER = (
    *("stores.restricted", "stores.released", "remotes.restricted", "remotes.released"),
    *("checkpoints", "keys"),
)


@dataclass(frozen=True, kw_only=True)
class Stores:
    """The two version stores: URLs of git, or absolute paths of bare repositories."""

    restricted: str | None = None
    released: str | None = None


@dataclass(frozen=True, kw_only=True)
class Remotes:
    """DVC's remotes of the two stores: `s3://bucket/prefix`, or absolute paths. `endpoint`: the URL
    of a server of S3 that is not Amazon's, for the checkpoints, too.
    """

    restricted: str | None = None
    released: str | None = None
    endpoint: str | None = None


@dataclass(frozen=True, kw_only=True)
class Queues:
    """The queues of Airflow's tasks: those that read patients' rows or the ledger, the training,
    and those that read the released zone. A worker takes the queues that it is started with.
    """

    restricted: str = "default"
    train: str = "default"
    released: str = "default"


@dataclass(frozen=True, kw_only=True)
class AirflowPlaces:
    """`database`: Airflow's own, by URL; None: a file in the home. `executor`: its class. `url`:
    where workers reach the API server; None: this host. `broker`: Celery's, by URL.
    """

    database: str | None = None
    executor: str = "LocalExecutor"
    url: str | None = None
    broker: str | None = None
    queues: Queues = field(default_factory=Queues)


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """Where things live. None: in the home, as on one host."""

    database: str | None = None  # PostgreSQL: ledger, registers, locks
    stores: Stores = field(default_factory=Stores)
    remotes: Remotes = field(default_factory=Remotes)
    checkpoints: str | None = None  # s3://bucket/prefix, or a folder: what a training leaves
    workspaces: str | None = None  # a folder of this host: where runs have their workspaces
    keys: str | None = None  # the folder of the permanent keys, mounted; never made there
    mlflow: str | None = None  # MLflow's tracking server, or its database, by URL
    airflow: AirflowPlaces = field(default_factory=AirflowPlaces)
    portal: str | None = None  # PostgreSQL: the public portal's database
    custodian: str | None = None  # PostgreSQL: the custodian's portal's database

    def __post_init__(self) -> None:
        places = {name: _at(self, name) for name in _TOGETHER}
        missing = [name for name, value in places.items() if value is None]
        if len(missing) not in (0, len(places)):
            raise Refusal(
                f"{NAME}: {missing[0]} is missing: {', '.join(places)} are for several hosts and"
                " come together, or none of them"
            )
        if self.is_shared and self.database is None:
            raise Refusal(
                f"{NAME}: database is missing: several hosts need one PostgreSQL database"
            )

    @property
    def is_shared(self) -> bool:
        """Whether a run's stages may run on different hosts."""
        return self.checkpoints is not None


def of(root: Path, named: str | None) -> Deployment:
    """The deployment of the home at `root`, by the file `named` or the home's own. Raises Refusal
    for a file that names what nobody knows, or holds a password.
    """
    path = Path(named) if named else root / NAME
    if not path.is_file():
        if named:
            raise Refusal(f"SYNDASERA_DEPLOYMENT: there is no file {named}")
        return Deployment()
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _read(path: Path, _changed: int) -> Deployment:
    try:
        value = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        raise Refusal(f"{path.name} is no YAML: {str(error).splitlines()[0]}") from None
    values = _plain(value or {}, path.name, "")
    airflow = _plain(values.get("airflow") or {}, path.name, "airflow.")
    return _block(
        Deployment,
        values
        | {
            "stores": _part(Stores, values, path.name, "stores"),
            "remotes": _part(Remotes, values, path.name, "remotes"),
            "airflow": _block(
                AirflowPlaces,
                airflow | {"queues": _part(Queues, airflow, path.name, "queues", "airflow.")},
                path.name,
                "airflow.",
            ),
        },
        path.name,
        "",
    )


def _part(kind: type, values: Mapping[str, Any], file: str, name: str, above: str = "") -> Any:
    where = f"{above}{name}."
    return _block(kind, _plain(values.get(name) or {}, file, where), file, where)


def _plain(value: Any, file: str, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise Refusal(f"{file}: {where.rstrip('.') or 'the file'} must be names with values")
    return dict(value)


def _block(kind: type, values: Mapping[str, Any], file: str, where: str) -> Any:
    """The value of a block. Raises Refusal for a name that nobody knows, and for a bad value."""
    names = {one.name for one in fields(kind)}
    for name, value in values.items():
        if _SECRET.search(str(name)):
            raise Refusal(
                f"{file}: {where}{name}: no password or key stands here; PGPASSFILE, AWS's shared"
                " credentials file and git's credential helpers hold them"
            )
        if name not in names:
            raise Refusal(f"{file}: {where}{name} is unknown; known are {', '.join(sorted(names))}")
        if isinstance(value, str):
            _check(f"{file}: {where}{name}", f"{where}{name}", value)
        elif value is not None and not hasattr(value, "__dataclass_fields__"):
            raise Refusal(f"{file}: {where}{name} must be text, is {value!r}")
    return kind(**values)


def _check(place: str, name: str, value: str) -> None:
    """Raises Refusal for text that is no URL or path of the kind that `name` takes."""
    if has_password(value):
        raise Refusal(
            f"{place} holds a password, which logs and pages would show: leave it to PGPASSFILE,"
            " AWS's shared credentials file or git's credential helpers"
        )
    if name in ("database", "portal", "custodian") and not value.startswith("postgresql://"):
        raise Refusal(f"{place} must be postgresql://USER@HOST:PORT/DATABASE, is {value!r}")
    if name in ("workspaces", "keys") and not value.startswith("/"):
        raise Refusal(f"{place} must be an absolute path, is {value!r}")
    if name in ("remotes.restricted", "remotes.released", "checkpoints") and not re.match(
        r"s3://[^/]+|/", value
    ):
        raise Refusal(f"{place} must be s3://BUCKET/PREFIX or an absolute path, is {value!r}")


def has_password(url: str) -> bool:
    """Whether a password or a token stands in a URL. A user's name alone is none."""
    if "://" not in url:  # as libpq writes it: host=... password=...
        return re.search(rf"(?:{_SECRET.pattern})\s*=", url, re.IGNORECASE) is not None
    try:
        parts = urlsplit(url)
        names = parse_qs(parts.query)
    except ValueError:
        return True
    is_token = _TOKEN.match(parts.username or "") is not None
    return bool(parts.password) or is_token or any(_SECRET.search(name) for name in names)


def _at(deployment: Deployment, name: str) -> Any:
    value: Any = deployment
    for part in name.split("."):
        value = getattr(value, part)
    return value
