"""Whether every place that the deployment names can be reached and is as it must be: one line each,
with what to do.
"""

from __future__ import annotations

import importlib.util
import stat
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from pipeline import databases
from pipeline.catalog import Home
from pipeline.ledger import Ledger
from pipeline.refusal import Refusal, Unavailable
from pipeline.runs import registers
from pipeline.runs.object_store import S3Store, checkpoint_store
from pipeline.runs.programs import git

KEY_NAMES = ("holdout.key", "secrets.json", "airflow-fernet.key")
_SECONDS = 10


@dataclass(frozen=True)
class Place:
    """One place: its name in deployment.yaml, whether it is as it must be, and what was found."""

    name: str
    is_well: bool
    words: str


def check(home: Home) -> list[Place]:
    """Every place, in the order of the file. On one host there is nothing to check."""
    deployment = home.deployment
    questions: dict[str, tuple[object, Callable[[Home], str]]] = {
        "database": (deployment.database, _database),
        "stores.restricted": (deployment.stores.restricted, lambda h: _store(h, "restricted")),
        "stores.released": (deployment.stores.released, lambda h: _store(h, "released")),
        "remotes.restricted": (deployment.remotes.restricted, lambda h: _remote(h, "restricted")),
        "remotes.released": (deployment.remotes.released, lambda h: _remote(h, "released")),
        "checkpoints": (deployment.checkpoints, _checkpoints),
        "workspaces": (deployment.workspaces, _workspaces),
        "keys": (deployment.keys, _keys),
        "mlflow": (deployment.mlflow, _mlflow),
        "airflow.database": (deployment.airflow.database, _airflow_database),
        "airflow.executor": (deployment.airflow.executor, _executor),
        "portal": (deployment.portal, lambda h: _connected(str(h.deployment.portal))),
        "custodian": (deployment.custodian, lambda h: _connected(str(h.deployment.custodian))),
    }
    return [_place(home, name, ask) for name, (value, ask) in questions.items() if value]


def refuse_faults(home: Home) -> None:
    """Raises Refusal with a line for each place that is not as it must be."""
    faults = [f"{place.name}: {place.words}" for place in check(home) if not place.is_well]
    if faults:
        raise Refusal("the deployment is not ready:\n  " + "\n  ".join(faults))


def _place(home: Home, name: str, ask: Callable[[Home], str]) -> Place:
    try:
        return Place(name, True, ask(home))
    except (Refusal, Unavailable, RuntimeError, OSError, requests.RequestException) as error:
        words = str(error).splitlines() or [type(error).__name__]
        return Place(name, False, words[0])


def _database(home: Home) -> str:
    with registers.transaction(home):
        pass
    return f"answers; the ledger has {len(Ledger(home.ledger).entries())} entries"


def _connected(url: str) -> str:
    engine = databases.engine_of(databases.url_of(url, "the database"))
    with databases.connection_to(engine, "the database", "See to its rights"):
        return "answers"


def _store(home: Home, zone: str) -> str:
    url = str(getattr(home.deployment.stores, zone))
    heads = git("ls-remote", "--heads", url, cwd=Path("/")).splitlines()
    return f"answers, {len(heads)} branches" if heads else "answers, empty: the first use begins it"


def _remote(home: Home, zone: str) -> str:
    place = str(getattr(home.deployment.remotes, zone))
    if place.startswith("/"):
        return _folder(Path(place))
    _refuse_missing("dvc_s3", "DVC's remote")
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    S3Store(bucket, prefix, home.deployment.remotes.endpoint).names("files/md5/00")
    return "answers"


def _checkpoints(home: Home) -> str:
    """A store that ignores conditions would let two hosts keep different noise."""
    store = checkpoint_store(home)
    first = store.put_once("check/once", uuid.uuid4().bytes)
    if store.put_once("check/once", uuid.uuid4().bytes) != first or (
        store.get("check/once") != first
    ):
        raise Refusal(
            "the store replaces objects that were to be written once: it ignores If-None-Match;"
            " use another store"
        )
    return "answers, and keeps what was written first"


def _workspaces(home: Home) -> str:
    return _folder(home.runs)


def _folder(path: Path) -> str:
    path.mkdir(parents=True, exist_ok=True)
    probe = path / f".probe-{uuid.uuid4().hex[:8]}"
    probe.write_bytes(b"")
    probe.unlink()
    return "is there, and can be written"


def _keys(home: Home) -> str:
    missing = [name for name in KEY_NAMES if not (home.keys / name).is_file()]
    if missing:
        raise Refusal(
            f"{missing[0]} is missing in {home.keys}: mount the folder of the first host's keys, or"
            " make one for a new deployment (`python -m pipeline deployment new-keys FOLDER`)"
        )
    open_ones = [
        name for name in KEY_NAMES if stat.S_IMODE((home.keys / name).stat().st_mode) & 0o077
    ]
    if open_ones:
        raise Refusal(f"{open_ones[0]} can be read by others: chmod 600")
    return "are there, for their owner alone"


def _mlflow(home: Home) -> str:
    url = str(home.deployment.mlflow)
    if not url.startswith(("http://", "https://")):
        return _connected(url)
    answer = requests.get(f"{url.rstrip('/')}/health", timeout=_SECONDS)
    if not answer.ok:
        raise Unavailable(f"the server says {answer.status_code}")
    return "answers"


def _airflow_database(home: Home) -> str:
    _refuse_missing("asyncpg", "Airflow on PostgreSQL")
    return _connected(str(home.deployment.airflow.database))


def _executor(home: Home) -> str:
    executor = home.deployment.airflow.executor
    if executor == "CeleryExecutor":
        _refuse_missing("airflow.providers.celery", "CeleryExecutor")
        if home.deployment.airflow.broker is None:
            raise Refusal("airflow.broker is missing: CeleryExecutor needs a broker")
    return executor


def _refuse_missing(module: str, whose: str) -> None:
    try:
        is_there = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        is_there = False
    if not is_there:
        raise Refusal(
            f"{whose} needs the packages of requirements-scale.lock: `make environment-scale`, and"
            " run with .venv-scale/bin/python"
        )


def lines(places: list[Place]) -> Iterator[str]:
    """For a person."""
    for place in places:
        yield f"  {'ok ' if place.is_well else 'NO '} {place.name}: {place.words}"
