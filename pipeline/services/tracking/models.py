"""Released models in MLflow's model registry, each with a `pyfunc` flavour that draws: nothing is
pickled.

The flavour is a file `MLmodel` that names our loader (pipeline/released/pyfunc.py). It stands in
MLflow's copy of the model only, so that a release's files, its manifest and its checksums know
nothing of MLflow.
"""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from pipeline import params
from pipeline.catalog import Home
from pipeline.refusal import Refusal
from pipeline.services.tracking.client import client_of
from pipeline.services.tracking.release_runs import sync

if TYPE_CHECKING:
    from mlflow import MlflowClient

ALIAS = "released"
LOADER = "pipeline.released.pyfunc"
DESCRIPTION = """The released models of `{name}`, a version per release; the alias `{alias}`
stands on the newest. To draw from them is free: nothing is charged.

Draw by the command line, from the release's own files:

    python -m pipeline draw --model state/released/extracts/RELEASE/model --rows 1000 --out synth

or in Python, in this project's environment and folder:

    import mlflow, pandas
    mlflow.set_tracking_uri("sqlite:///mlruns/mlflow.db")
    model = mlflow.pyfunc.load_model("models:/{name}@{alias}")
    tables = model.predict(pandas.DataFrame({{"rows": [1000]}}), params={{"seed": 1}})

`tables` holds a data frame for each table. Other params: `where`, `begins` and `share`, lists of
what the command takes, `plan`, the text of a plan's file, and `extract_date`. A model is
safetensors and JSON; it needs this project's code, and no pickle.
"""
VERSION_DESCRIPTION = (
    "The model of release `{release}`. To draw from it: `python -m pipeline draw --model "
    "state/released/extracts/{release}/model --rows 1000 --out synth`, or "
    "`mlflow.pyfunc.load_model(...).predict(...)` as the model's page says."
)


def publish_model(release_id: str, model: Path) -> str:
    """Registers the released model under its dataset's name and moves the alias `released` to it;
    returns the version.

    The same release twice keeps its version. Raises Refusal where the release has no workspace.
    """
    home = Home.find()
    workspace = home.workspace(release_id)
    if not workspace.params.is_file():
        raise Refusal(f"release {release_id} has no workspace to register its model from")
    run, client = sync(home, workspace), client_of(home)
    release = params.load(workspace.params).release
    name = str(release.dataset)
    _describe(client, name)
    versions = client.search_model_versions(f"name = '{name}'")
    same = [one for one in versions if one.tags.get("release_id") == release_id]
    if same:
        version = str(same[0].version)
    else:
        last_day = release.extract_date.isoformat() if release.extract_date else ""
        _log_model(client, run, model, last_day)
        registration = client.create_model_version(
            name,
            f"{client.get_run(run).info.artifact_uri}/model",
            run_id=run,
            tags={"release_id": release_id},
            description=VERSION_DESCRIPTION.format(release=release_id),
        )
        version = str(registration.version)
    client.set_registered_model_alias(name, ALIAS, version)
    client.set_tag(run, "published", "yes")
    return version


def _describe(client: MlflowClient, name: str) -> None:
    """The registered model, which is made where it is missing, says how it is drawn from."""
    text = DESCRIPTION.format(name=name, alias=ALIAS)
    if client.search_registered_models(filter_string=f"name = '{name}'"):
        client.update_registered_model(name, text)
    else:
        client.create_registered_model(name, description=text)


def _log_model(client: MlflowClient, run: str, model: Path, last_day: str) -> None:
    """The model's files with `MLmodel` beside them."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "model"
        shutil.copytree(model, copy)
        with (copy / "MLmodel").open("w", encoding="utf-8") as file:
            YAML().dump(flavour(last_day), file)
        client.log_artifacts(run, str(copy), "model")


def flavour(last_day: str) -> dict[str, Any]:
    """The content of `MLmodel`. `last_day`: the public last day of observation of the release,
    empty where it has none.

    Nothing in it depends on when or where it was written.
    """
    options = [
        {"name": "seed", "type": "long", "default": 1, "shape": None},
        {"name": "extract_date", "type": "string", "default": last_day, "shape": None},
        {"name": "where", "type": "string", "default": [], "shape": [-1]},
        {"name": "begins", "type": "string", "default": [], "shape": [-1]},
        {"name": "share", "type": "string", "default": [], "shape": [-1]},
        {"name": "plan", "type": "string", "default": "", "shape": None},
    ]
    return {
        "flavors": {
            "python_function": {
                "loader_module": LOADER,
                "python_version": platform.python_version(),
            }
        },
        "signature": {
            "inputs": json.dumps([{"type": "long", "name": "rows", "required": True}]),
            "params": json.dumps(options),
        },
    }
