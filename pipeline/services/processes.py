"""Starts and stops services, each in a process group of its own, and remembers them in `state/`."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import psutil

from pipeline import environment, files
from pipeline.catalog import Home
from pipeline.refusal import Refusal

USER = "admin"
STOP_SECONDS = 20
SECRETS = (
    *("airflow_password", "airflow_portal_password", "airflow_session_key", "airflow_jwt_key"),
    *("mlflow_password", "mlflow_session_key"),
)
PORTS = {  # which variable chooses the port of a service
    "airflow-api": environment.AIRFLOW_PORT_VARIABLE,
    "mlflow": environment.MLFLOW_PORT_VARIABLE,
    "portal-public": environment.PORTAL_PORT_VARIABLE,
    "portal-custodian": environment.CUSTODIAN_PORT_VARIABLE,
}
# without any progress: a machine whose cores are busy takes minutes for what a free one does in
# seconds
STALL_SECONDS = 900


@dataclass(frozen=True, kw_only=True)
class Service:
    """One process to start. `port` is the one it listens on, where it listens."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    port: int | None = None


def secret(home: Home, name: str) -> str:
    """A password or key that is drawn once and kept in `state/secrets.json`, readable by its owner
    only. Where keys are mounted it is read there, and never drawn.
    """
    mounted = home.deployment.keys
    path = (home.state if mounted is None else home.keys) / "secrets.json"
    values = files.read_json(path) or {}
    if name not in values:
        if mounted is not None:
            raise Refusal(f"secrets.json in {mounted} lacks {name}: the hosts share their secrets")
        values[name] = _new_secret(name)
        files.write_json(path, values)
        path.chmod(0o600)
    return str(values[name])


def draw_secrets() -> dict[str, str]:
    """Every secret of the services, for hosts that share them."""
    return {name: _new_secret(name) for name in SECRETS}


def _new_secret(name: str) -> str:
    return secrets.token_urlsafe(16 if name.endswith("password") else 64)


def start(home: Home, services: Iterable[Service]) -> list[str]:
    """Starts what does not run yet; returns the names started. Raises Refusal before starting
    anything where a port is taken.
    """
    missing = _missing(home, services)
    for service in missing:
        _refuse_foreign_port(service.name, service.port)
    for service in missing:
        process = _spawn(home, service)
        _remember(home, service.name, process)
    return [service.name for service in missing]


def check_ports(home: Home, services: Mapping[str, int]) -> None:
    """Raises Refusal where a service that does not run yet (name to port) would find its port
    taken: before anything is made for it.
    """
    running = running_services(home)
    for name, port in services.items():
        if name not in running:
            _refuse_foreign_port(name, port)


def _missing(home: Home, services: Iterable[Service]) -> list[Service]:
    running = running_services(home)
    return [service for service in services if service.name not in running]


def _refuse_foreign_port(name: str, port: int | None) -> None:
    if port is not None and not port_is_free(port):
        raise Refusal(
            f"port {port} for {name} is used by another program; choose another with"
            f" {PORTS[name.partition('-server')[0]]}=..."
        )


def _spawn(home: Home, service: Service) -> psutil.Process:
    logs = home.state / "logs"
    files.private_folder(logs)
    folder = home.state / "services" / service.name  # some write beside where they start
    files.private_folder(folder.parent)
    files.private_folder(folder)
    with (logs / f"{service.name}.log").open("ab") as out:
        child = subprocess.Popen(
            service.command,
            umask=0o077,
            cwd=folder,
            env=dict(service.environment),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    return psutil.Process(child.pid)


def stop(home: Home, prefix: str = "") -> list[str]:
    """Stops what was started (only names that begin with `prefix`), gently and then not; returns
    the names stopped.
    """
    stopped = []
    for name, process in running_services(home).items():
        if not name.startswith(prefix):
            continue
        family = [process, *_children(process)]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        _, alive = psutil.wait_procs([process], timeout=STOP_SECONDS)
        # tasks run in groups of their own and may outlive their parent
        for member in [*alive, *family]:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family, timeout=5)
        stopped.append(name)
    _write_remembered(
        home, {name: entry for name, entry in _remembered(home).items() if name not in stopped}
    )
    return stopped


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def running_services(home: Home) -> dict[str, psutil.Process]:
    """Name to process of what runs. A process id that was given to somebody else since does not
    count.
    """
    running = {}
    for name, entry in _remembered(home).items():
        try:
            process = psutil.Process(int(entry["pid"]))
            if (
                abs(process.create_time() - entry["created"]) < 1
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                running[name] = process
        except psutil.NoSuchProcess:
            continue
    return running


def remembered_names(home: Home) -> set[str]:
    """Of what was started and not stopped, whether it still runs or not."""
    return set(_remembered(home))


def _remembered(home: Home) -> dict[str, dict[str, float]]:
    return files.read_json(home.state / "services.json") or {}


def _write_remembered(home: Home, entries: Mapping[str, Mapping[str, float]]) -> None:
    files.write_json(home.state / "services.json", entries)


def _remember(home: Home, name: str, process: psutil.Process) -> None:
    _write_remembered(
        home, {**_remembered(home), name: {"pid": process.pid, "created": process.create_time()}}
    )


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_for(
    home: Home, ready: Callable[[], bool], names: Iterable[str], progress: Callable[[], object]
) -> None:
    """Waits until `ready()` is true, for as long as `progress()` goes on changing.

    Raises RuntimeError, naming the log, where one of `names` ends before, or `progress()` stays the
    same for STALL_SECONDS.
    """
    names, last, since = list(names), progress(), time.monotonic()
    while not ready():
        if dead := [name for name in names if name not in running_services(home)]:
            raise RuntimeError(f"{dead[0]} ended by itself; its log is state/logs/{dead[0]}.log")
        if (now := progress()) != last:
            last, since = now, time.monotonic()
        if time.monotonic() - since > STALL_SECONDS:
            raise RuntimeError(
                f"{', '.join(names)}: not ready, and nothing has moved for {STALL_SECONDS} s; the"
                " logs are in state/logs/"
            )
        time.sleep(0.5)


def log_size(home: Home, name: str) -> int:
    """Bytes that a service has written to its log."""
    path = home.state / "logs" / f"{name}.log"
    return path.stat().st_size if path.is_file() else 0
