"""Where the declarations of datasets lie."""

from __future__ import annotations

from pathlib import Path

from pipeline.catalog import Home, project_root
from pipeline.refusal import Refusal


def declaration_path(dataset: str) -> Path:
    """The declaration of a dataset: in the home's own `datasets/` where it has one, else the
    project's. Raises Refusal naming those there are.
    """
    own = Home.find().datasets
    folder = own if own.is_dir() else project_root() / "datasets"
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    if dataset not in names:
        raise Refusal(
            f"there is no dataset {dataset!r} in datasets/; there are {', '.join(names) or 'none'}"
        )
    return folder / f"{dataset}.yaml"
