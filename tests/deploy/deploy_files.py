"""What deploy/Dockerfile copies into an image, and the pods and policies of deploy/kubernetes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.catalog import project_root

DEPLOY = project_root() / "deploy"
ZONE = "syndasera/zone"


def copied(dockerfile: str, target: str) -> list[tuple[list[str], str]]:
    """(sources, place) of every COPY of the project's own files in the stage `target`."""
    stage = re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)
    mine = next(text for text in stage if text.splitlines()[0].endswith(f" AS {target}"))
    lines = re.findall(r"^COPY (?!--from)(.+)$", mine, flags=re.MULTILINE)
    return [(words[:-1], words[-1]) for words in (line.split() for line in lines)]


def build(dockerfile: str, target: str, folder: Path) -> None:
    """The project's files of an image, in `folder`, as `docker build` lays them."""
    for sources, place in copied(dockerfile, target):
        for source in sources:
            for path in sorted(project_root().glob(source)):
                there = folder / place
                if path.is_dir():
                    ignore = shutil.ignore_patterns("__pycache__")
                    shutil.copytree(path, there, dirs_exist_ok=True, ignore=ignore)
                else:
                    there.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, there)


def documents(text: str) -> list[Mapping[str, Any]]:
    return [one for one in YAML(typ="safe").load_all(text) if one]


def pods(documents: list[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name, and the pod (labels and spec), of whatever runs pods."""
    for one in documents:
        if one["kind"] == "Pod":
            yield one["metadata"]["name"], one
        elif one["kind"] == "Deployment":
            yield one["metadata"]["name"], one["spec"]["template"]


def may_reach(
    policies: list[Mapping[str, Any]], source: Mapping[str, str], target: Mapping[str, str]
) -> bool:
    """Whether policies of one namespace let a pod with the labels `source` open a connection to one
    with the labels `target`: both ends must allow it (Kubernetes, *Network policies*).
    """
    return _allows(policies, source, target, "egress", "to") and _allows(
        policies, target, source, "ingress", "from"
    )


def _allows(
    policies: list[Mapping[str, Any]],
    pod: Mapping[str, str],
    other: Mapping[str, str],
    direction: str,
    peers: str,
) -> bool:
    mine = [
        policy["spec"]
        for policy in policies
        if direction.title() in policy["spec"]["policyTypes"]
        and _selects(policy["spec"]["podSelector"], pod)
    ]
    rules = [rule for spec in mine for rule in spec.get(direction, [])]
    return not mine or any(
        peers not in rule or any(_is_peer(peer, other) for peer in rule[peers]) for rule in rules
    )


def _is_peer(peer: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Pods of other namespaces are none of ours."""
    if "namespaceSelector" in peer or "podSelector" not in peer:
        return False
    return _selects(peer["podSelector"], labels)


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    wanted = selector.get("matchLabels", {})
    expressions = selector.get("matchExpressions", [])
    assert {one["operator"] for one in expressions} <= {"In"}
    return all(labels.get(name) == value for name, value in wanted.items()) and all(
        labels.get(one["key"]) in one["values"] for one in expressions
    )
