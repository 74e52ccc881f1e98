"""`deployment`: where things live that several hosts share."""

from __future__ import annotations

import argparse
import os

from pipeline import files
from pipeline.catalog import Home
from pipeline.cli.console import say
from pipeline.refusal import Refusal
from pipeline.services import deployment_check
from pipeline.stages import REFUSED


def check(options: argparse.Namespace) -> int:
    """One line for each place; exit code 2 where one is not as it must be."""
    places = deployment_check.check(Home.find())
    for line in deployment_check.lines(places):
        say(line)
    if not Home.find().deployment.is_shared:
        say("One host: what no line names lies in this home.")
    return 0 if all(place.is_well for place in places) else REFUSED


def fetch(options: argparse.Namespace) -> None:
    """What other hosts made, here: a run with its restricted report, or all published releases."""
    from pipeline.runs import released_trees, travel

    home = Home.find()
    if options.run:
        travel.arrive(home, home.workspace(options.run), "publish")
        say(f"The run is in {home.workspace(options.run).root} (restricted).")
        return
    ids = [one for one in released_trees.tags(home) if released_trees.copy_here(home, one)]
    say(f"Published releases here: {', '.join(ids) or 'none'}")


def new_keys(options: argparse.Namespace) -> None:
    """The secrets of a new deployment, in a folder that is new or empty."""
    from cryptography.fernet import Fernet

    from pipeline.restricted.ingest.holdout import permanent_key
    from pipeline.services.processes import draw_secrets

    folder = options.folder.absolute()
    if folder.is_dir() and any(folder.iterdir()):
        raise Refusal(f"{folder} is not empty: keys that are in use are copied, never made anew")
    files.private_folder(folder)
    permanent_key(folder)
    files.write_json(folder / "secrets.json", draw_secrets())
    files.write_text(folder / "airflow-fernet.key", Fernet.generate_key().decode())
    for path in folder.iterdir():
        path.chmod(0o600)
    os.sync()
    say(f"The keys are in {folder}. Mount it on every host, back it up with the ledger.")


def worker(options: argparse.Namespace) -> int:
    """Airflow's Celery worker for some queues, in the foreground; returns its exit code."""
    import subprocess
    import sys
    from pathlib import Path

    from pipeline.services.airflow_server import airflow_environment

    home = Home.find()
    deployment_check.refuse_faults(home)
    queues = home.deployment.airflow.queues
    names = sorted({getattr(queues, kind) for kind in options.kinds})
    binary = Path(sys.executable).with_name("airflow")
    command = [str(binary), "celery", "worker", "--queues", ",".join(names), "--skip-serve-logs"]
    command += ["--concurrency", str(options.concurrency)]
    return subprocess.run(command, env=airflow_environment(home), check=False).returncode
