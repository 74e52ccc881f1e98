"""Where the declarations of datasets lie."""

from __future__ import annotations

from pathlib import Path

from pipeline.catalog import Home
from pipeline.refusal import Refusal


def declaration_path(dataset: str) -> Path:
    """The declaration of a dataset: in the home's own `datasets/` where it has one, else the
    project's. Raises Refusal naming those there are.
    """
    names = dataset_names()
    if dataset not in names:
        raise Refusal(
            f"there is no dataset {dataset!r} in datasets/; there are {', '.join(names) or 'none'}"
        )
    return Home.find().declarations / f"{dataset}.yaml"


def dataset_names() -> list[str]:
    """Of every declaration there is."""
    return sorted(path.stem for path in Home.find().declarations.glob("*.yaml"))
