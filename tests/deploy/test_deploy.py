"""The files of deploy/: their linters, each with a fixture that must fail, and what keeps the
released side off the restricted one.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from deploy_files import DEPLOY, ZONE, build, copied, documents, may_reach, pods
from ruamel.yaml import YAML

from pipeline.catalog import project_root
from pipeline.catalog.deployment import of as deployment_of
from pipeline.restricted.ingest.holdout import KEY_NAME

TOOLS = Path(sys.executable).parent
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = YAML(typ="safe").load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
MANIFESTS = ("network-policy.yaml", "pod-template.yaml", "portal.yaml")
POLICIES = documents((DEPLOY / "kubernetes" / "network-policy.yaml").read_text(encoding="utf-8"))
RESTRICTED = {ZONE: "restricted"}
PUBLIC = {"app": "portal-public", ZONE: "released"}
CUSTODIAN = {"app": "portal-custodian", ZONE: "restricted"}
EXCHANGE = {ZONE: "exchange"}


def lint(*command: str) -> subprocess.CompletedProcess[str]:
    tool, *arguments = command
    return subprocess.run(
        [str(TOOLS / tool), *arguments], capture_output=True, text=True, check=False
    )


def of_dockerfile(path: Path) -> subprocess.CompletedProcess[str]:
    return lint("hadolint", "--config", str(DEPLOY / ".hadolint.yaml"), str(path))


def of_compose(path: Path) -> subprocess.CompletedProcess[str]:
    return lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(path))


def of_manifest(path: Path) -> subprocess.CompletedProcess[str]:
    return lint("kubernetes-validate", "--strict", "-k", "1.32", str(path))


def test_the_linters_find_nothing():
    results = [of_dockerfile(DEPLOY / "Dockerfile"), of_compose(DEPLOY / "compose.yaml")]
    results += [of_manifest(DEPLOY / "kubernetes" / name) for name in MANIFESTS]
    assert [one.stdout + one.stderr for one in results if one.returncode != 0] == []


@pytest.mark.parametrize(
    ("linter", "text", "complaint"),
    [
        (of_dockerfile, "FROM python\nRUN cd /tmp && pip install x\nCMD python\n", "DL3006"),
        (of_compose, "services: {portal: {imagee: syndasera-released}}\n", "imagee"),
        (
            of_manifest,
            "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n"
            "spec: {containers: [{name: x, imagee: y}]}\n",
            "imagee",
        ),
    ],
    ids=["Dockerfile", "compose", "manifest"],
)
def test_a_linter_fails_where_something_is_wrong(linter, text, complaint, tmp_path):
    path = tmp_path / "fault.yaml"
    path.write_text(text, encoding="utf-8")
    result = linter(path)
    assert result.returncode != 0
    assert complaint in result.stdout + result.stderr


def test_the_released_image_holds_no_code_of_the_restricted_zone_and_its_portal_starts(tmp_path):
    build(DOCKERFILE, "released", tmp_path)
    ours = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.py")}
    closed = ("pipeline/restricted", "pipeline/ledger", "pipeline/dp", "portal/custodian", "dags")
    assert not [name for name in ours if name.startswith(closed)]
    home = tmp_path / "home"
    (home / "state" / "released" / "extracts").mkdir(parents=True)
    command = "from portal.public.app import make_app; make_app(); import sys;"
    command += "print([name for name in ('torch', 'airflow', 'mlflow') if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-P", "-c", command],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "SYNDASERA_HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout.strip()) == (0, "[]"), result.stderr


def test_a_module_that_the_released_image_lacks_is_found(tmp_path):
    build(DOCKERFILE.replace("COPY pipeline/schema ./pipeline/schema\n", ""), "released", tmp_path)
    result = subprocess.run(
        [sys.executable, "-P", "-c", "import portal.public.app"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "SYNDASERA_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "No module named 'pipeline.schema'" in result.stderr


def test_what_an_image_copies_exists_and_is_let_through():
    let_through = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    for target in ("restricted", "released", "restricted-packages", "released-packages"):
        for source in [one for sources, _ in copied(DOCKERFILE, target) for one in sources]:
            assert list(project_root().glob(source)), source
            assert any(f"!{source}".startswith(line) for line in let_through), source


def test_the_released_packages_are_those_of_the_one_lock():
    def pinned(path: Path) -> set[str]:
        lines = path.read_text(encoding="utf-8").splitlines()
        return {line for line in lines if line and not line.startswith("#")}

    released = pinned(DEPLOY / "requirements-released.lock")
    assert released <= pinned(project_root() / "requirements.lock")
    names = {line.partition("==")[0] for line in released}
    assert not names & {"torch", "mlflow", "apache-airflow", "dvc", "pyrage"}


def test_the_public_portal_of_compose_reaches_no_restricted_network_and_holds_no_secret_of_it():
    public = COMPOSE["services"]["portal-public"]
    assert public["networks"] == ["released"]
    assert public["secrets"] == ["portal-pgpass", "certificate", "certificate-key"]
    assert all(volume.endswith(":ro") for volume in public["volumes"])


def test_only_the_workers_of_restricted_queues_hold_the_source_and_the_key():
    keys = {
        name
        for name, service in COMPOSE["services"].items()
        if "holdout-key" in str(service.get("secrets")) or "/srv/sources" in str(service)
    }
    assert keys == {"worker-restricted"}


def test_the_deployment_of_compose_is_read_and_its_places_are_mounted(tmp_path):
    deployment = deployment_of(tmp_path, str(DEPLOY / "deployment.yaml"))
    assert deployment.is_shared and deployment.airflow.executor == "CeleryExecutor"
    worker = COMPOSE["services"]["worker-restricted"]
    mounted = [volume.split(":")[1] for volume in worker["volumes"]]
    for place in (deployment.stores.restricted, deployment.stores.released):
        assert any(str(place).startswith(f"{folder}/") for folder in mounted)
    targets = [one["target"] for one in worker["secrets"] if isinstance(one, dict)]
    assert targets == [f"{deployment.keys}/{KEY_NAME}"]
    taken = " ".join(str(service.get("command")) for service in COMPOSE["services"].values())
    queues = deployment.airflow.queues
    assert all(name in taken for name in (queues.restricted, queues.train, queues.released))


PASSWORD = re.compile(r"://[^/@\s]+:[^/@\s]+@|PASSWORD\b(?!_FILE)|_KEY\b(?!_CMD)[:=]")


def test_no_password_stands_in_a_file_of_deploy():
    for path in (one for one in DEPLOY.rglob("*") if one.is_file()):
        assert not PASSWORD.search(path.read_text(encoding="utf-8")), path.name
    assert PASSWORD.search("postgresql://portal:abc@database/portal")
    assert PASSWORD.search("POSTGRES_PASSWORD: abc")
    assert PASSWORD.search("AWS_SECRET_ACCESS_KEY: abc")


@pytest.mark.parametrize("target", [RESTRICTED, CUSTODIAN, {"app": "airflow", **RESTRICTED}, {}])
def test_the_released_side_reaches_nothing_of_the_restricted_one(target):
    assert not may_reach(POLICIES, PUBLIC, target)


def test_each_side_reaches_what_it_needs():
    assert may_reach(POLICIES, PUBLIC, EXCHANGE)
    assert may_reach(POLICIES, CUSTODIAN, EXCHANGE)
    assert may_reach(POLICIES, CUSTODIAN, RESTRICTED)
    assert not may_reach(POLICIES, RESTRICTED, EXCHANGE)
    assert not may_reach(POLICIES, EXCHANGE, RESTRICTED)


def test_a_policy_that_opens_the_restricted_side_is_found():
    everything = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    open_door = {"spec": {**everything, "ingress": [{}], "egress": [{}]}}
    assert may_reach([*POLICIES, open_door], PUBLIC, RESTRICTED)
    assert may_reach([], PUBLIC, RESTRICTED)


def test_every_pod_has_a_zone_that_fits_its_image():
    for name in ("pod-template.yaml", "portal.yaml"):
        text = (DEPLOY / "kubernetes" / name).read_text(encoding="utf-8")
        for pod_name, pod in pods(documents(text)):
            [container] = pod["spec"]["containers"]
            zone = pod["metadata"]["labels"][ZONE]
            assert container["image"].startswith(f"syndasera-{zone}:"), pod_name
            volumes = str(pod["spec"]["volumes"])
            assert zone == "restricted" or "syndasera-keys" not in volumes
