"""Every environment variable that is read, and the environments of the programs we start.

No other module of `pipeline/`, `audit/` or `dags/` reads os.environ
(tests/house/test_environment.py): whoever wants to know what the surroundings say asks one of these
functions, and whoever starts a program takes its environment from here.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.refusal import Refusal

OURS = "SYNDASERA_"
HOME_VARIABLE = (  # where state/, runs/ and mlruns/ lie; default: the project's folder
    "SYNDASERA_HOME"
)
LEDGER_VARIABLE = "SYNDASERA_LEDGER"  # URL of a PostgreSQL database that holds the ledger
DEPLOYMENT_VARIABLE = "SYNDASERA_DEPLOYMENT"  # path of deployment.yaml where the home has none
DEBUG_VARIABLE = (  # an unexpected error shows its traceback; it may quote a patient's value
    "SYNDASERA_DEBUG"
)
ANSWER_VARIABLE = "SYNDASERA_ANSWER"  # of the approval task in Airflow: Approve or Reject
ANSWERED_BY_VARIABLE = "SYNDASERA_ANSWERED_BY"
AIRFLOW_RUN_VARIABLE = "AIRFLOW_CTX_DAG_RUN_ID"  # Airflow sets it for every task
AIRFLOW_PORT_VARIABLE, MLFLOW_PORT_VARIABLE = "AIRFLOW_PORT", "MLFLOW_PORT"
PORTAL_PORT_VARIABLE, CUSTODIAN_PORT_VARIABLE = "PORTAL_PORT", "CUSTODIAN_PORT"
PORTAL_VARIABLE = "SYNDASERA_PORTAL"  # URL of a PostgreSQL database of the public portal
CUSTODIAN_VARIABLE = "SYNDASERA_CUSTODIAN"  # URL of the one of the custodian's portal
THREADS_VARIABLE = "OMP_NUM_THREADS"

IDENTITY = {
    "GIT_AUTHOR_NAME": "Syndasera",
    "GIT_AUTHOR_EMAIL": "syndasera@localhost",
    "GIT_COMMITTER_NAME": "Syndasera",
    "GIT_COMMITTER_EMAIL": "syndasera@localhost",
}
_OF_THE_PUBLIC_PORTAL = frozenset(
    (
        *(HOME_VARIABLE, DEPLOYMENT_VARIABLE, PORTAL_VARIABLE, PORTAL_PORT_VARIABLE),
        *("PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "SHLVL", THREADS_VARIABLE),
        *("PYTHONPATH", "PYTHONUNBUFFERED", "VIRTUAL_ENV", "LD_LIBRARY_PATH"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),  # sign-in at organisations
        *("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"),
    )
)
# Of the services alone: Airflow's keys and databases, the portal's databases, MLflow's passwords.
_OF_THE_SERVICES = ("AIRFLOW", "_AIRFLOW", "__AIRFLOW", "MLFLOW_AUTH_", "MLFLOW_FLASK_")
_OF_A_TASK = ("AIRFLOW_CTX_", AIRFLOW_PORT_VARIABLE)  # no secrets
# Nothing is sent to anybody, whatever a tool does by default.
NO_TELEMETRY = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
}


@dataclass(frozen=True)
class Answer:
    """What a person answered in Airflow's approval task."""

    is_approval: bool
    by: str


def home_folder() -> str | None:
    """The home's path, absolute. A relative one is made so once, from where the first program was
    started, and stays so for every program that this one starts, wherever that runs.
    """
    _settle_paths()
    return os.environ.get(HOME_VARIABLE) or None


def absolute_home() -> str | None:
    """The home's path as `home_folder` will give it; nothing is settled by asking."""
    path = os.environ.get(HOME_VARIABLE)
    return str(_without_tilde(path).absolute()) if path else None


def is_home_relative() -> bool:
    """Whether the home's path depends on where this program was started."""
    path = os.environ.get(HOME_VARIABLE)
    return bool(path) and not _without_tilde(str(path)).is_absolute()


def ledger_url() -> str | None:
    """The ledger's URL; where it is a file's path, absolute as the home's is."""
    _settle_paths()
    return os.environ.get(LEDGER_VARIABLE) or None


def deployment_file() -> str | None:
    """The path of the file that says where things live for several hosts; None: the home's own.
    Nothing is settled by asking.
    """
    path = os.environ.get(DEPLOYMENT_VARIABLE)
    return str(_without_tilde(path).absolute()) if path else None


def _settle_paths() -> None:
    for variable in (HOME_VARIABLE, LEDGER_VARIABLE, DEPLOYMENT_VARIABLE):
        path = os.environ.get(variable)
        if path and "://" not in path:
            os.environ[variable] = str(_without_tilde(path).absolute())


def _without_tilde(path: str) -> Path:
    return Path(path).expanduser() if path.startswith("~/") or path == "~" else Path(path)


def is_debugging() -> bool:
    return bool(os.environ.get(DEBUG_VARIABLE))


def airflow_run() -> str | None:
    """The id of the Airflow run that this process is a task of; None outside Airflow."""
    return os.environ.get(AIRFLOW_RUN_VARIABLE)


def approval_answer() -> Answer | None:
    """The answer that the approval task hands to the stage approve; None where nobody was asked in
    Airflow.
    """
    text = os.environ.get(ANSWER_VARIABLE)
    if not text:
        return None
    return Answer(text == "Approve", os.environ.get(ANSWERED_BY_VARIABLE) or "a person in Airflow")


def airflow_port() -> int:
    return _port(AIRFLOW_PORT_VARIABLE, 8080)


def mlflow_port() -> int:
    return _port(MLFLOW_PORT_VARIABLE, 5000)


def portal_port() -> int:
    return _port(PORTAL_PORT_VARIABLE, 8000)


def custodian_port() -> int:
    return _port(CUSTODIAN_PORT_VARIABLE, 8001)


def portal_url() -> str | None:
    """The URL of the public portal's database; None: the file in the home."""
    return os.environ.get(PORTAL_VARIABLE) or None


def custodian_url() -> str | None:
    """The URL of the database of the custodian's portal; None: the file in the home."""
    return os.environ.get(CUSTODIAN_VARIABLE) or None


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise Refusal(f"{variable} must be a port from 1 to 65535, is {text!r}")
    return int(text)


def limit_threads() -> None:
    """One thread fewer than there are cores, unless the variable says otherwise. torch, polars and
    numpy read it when they load.

    A thread beside a busy core spins and costs more than it brings (measured: six times the CPU).
    """
    os.environ.setdefault(THREADS_VARIABLE, str(max(1, (os.cpu_count() or 2) - 1)))


def no_core_dump() -> None:
    """Where this process, or a program that it starts, is killed by a fault, nothing of its memory
    is written to a disk: no key, no row.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def silence_mlflow() -> None:
    """Before mlflow is imported: it sends nothing and logs warnings only."""
    os.environ |= NO_TELEMETRY | {"MLFLOW_LOGGING_LEVEL": "WARNING"}


def silence_great_expectations() -> None:
    """Before great_expectations is imported: it sends nothing."""
    os.environ |= NO_TELEMETRY


@contextmanager
def at_home(root: Path) -> Iterator[None]:
    """`root` is the home while the block runs; every other variable of this project is unset, and
    comes back after.
    """
    before = {name: value for name, value in os.environ.items() if name.startswith(OURS)}
    _replace_ours({HOME_VARIABLE: str(root)})
    try:
        yield
    finally:
        _replace_ours(before)


def _replace_ours(values: Mapping[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith(OURS)]:
        del os.environ[name]
    os.environ.update(values)


def for_git() -> dict[str, str]:
    """git as Syndasera: nothing of a repository that this process runs in, and it never asks for a
    password.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return inherited | IDENTITY | {"GIT_TERMINAL_PROMPT": "0"}


def for_stages() -> dict[str, str]:
    """dvc and the stages that it starts: our own interpreter's folder first on the path, so that
    `python` is this one. They run in another folder than this program.
    """
    _settle_paths()
    return {**without_service_secrets(os.environ), **IDENTITY, **NO_TELEMETRY, "PATH": _path()}


def for_home_commands(home: Path) -> dict[str, str]:
    """A command of the pipeline on the home at `home`, which another process of ours starts."""
    return {**for_stages(), HOME_VARIABLE: str(home.absolute())}


def without_service_secrets(variables: Mapping[str, str]) -> dict[str, str]:
    """What of these variables a command that reads a custodian's files gets: no key, password or
    database of Airflow, of MLflow's server or of the portal.
    """
    return {
        name: value
        for name, value in variables.items()
        if name.startswith(_OF_A_TASK)
        or not (name.startswith(_OF_THE_SERVICES) or name in (PORTAL_VARIABLE, CUSTODIAN_VARIABLE))
    }


def for_services(home: Path) -> dict[str, str]:
    """Airflow and MLflow, which look after the home at `home`."""
    _settle_paths()
    # SHLVL: a first-level bash whose standard input is a socket (every Airflow task's is) takes
    # itself for a remote login and reads ~/.bashrc, which may put another python first.
    return {
        **os.environ,
        **NO_TELEMETRY,
        "PATH": _path(),
        "SHLVL": "1",
        HOME_VARIABLE: str(home.absolute()),
        "PYTHONUNBUFFERED": "1",
    }


def for_public_portal(home: Path) -> dict[str, str]:
    """The public portal: what it needs by name, and nothing else. Passwords and tokens of the
    account that starts it (PGPASSWORD of the source, say) are not its own.
    """
    return {
        name: value
        for name, value in for_services(home).items()
        if name in _OF_THE_PUBLIC_PORTAL or name.startswith("LC_")
    }


def _path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
