"""Two homes that share nothing but a deployment (PostgreSQL, S3, git over a network): the stages of
one run go from one to the other with no step by hand, and a home that is lost takes no charge with
it. `make test-scale` runs this; it takes minutes.
"""

from __future__ import annotations

import gzip
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest
import yaml
from scale_cases import Host, hosts

from pipeline.catalog import Home
from pipeline.environment import HOME_VARIABLE
from pipeline.ledger import Ledger
from pipeline.runs.object_store import checkpoint_store
from pipeline.stages import STAGES

pytestmark = pytest.mark.scale
BEFORE_TRAINING = ("ingest", "validate", "confirm", "reserve")


@pytest.fixture(scope="module")
def both(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, Host]]:
    variables = {
        name: value for name, value in os.environ.items() if name[:4] not in ("SYND", "AWS_")
    }
    with (
        pytest.MonkeyPatch.context() as patch,
        hosts(tmp_path_factory.mktemp("hosts"), postgres, variables) as (one, other),
    ):
        patch.setenv(HOME_VARIABLE, str(one.root))
        for name, value in one.variables.items():
            patch.setenv(name, value)
        yield one, other


def entries(release_id: str) -> list[str]:
    ledger = Ledger(Home.find().ledger)
    return [entry.kind for entry in ledger.entries() if entry.release_id == release_id]


def test_every_place_is_well(both: tuple[Host, Host]) -> None:
    for host in both:
        assert "NO " not in host.run("deployment", "check")


def test_a_run_goes_from_host_to_host_and_is_drawn_from(
    both: tuple[Host, Host], tmp_path: Path
) -> None:
    source = Path(os.environ.get("SYNDASERA_TEST_ADULT", ""))
    if not source.is_file():
        pytest.skip("SYNDASERA_TEST_ADULT names no file of the adult data (csv.gz)")
    folder = tmp_path / "source"
    folder.mkdir()
    lines = gzip.decompress(source.read_bytes()).decode().splitlines()[:2001]
    (folder / "adult_48842_raw.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    one, other = both
    asked = ["--dataset", "adult", "--source", str(folder), "--label", "first", "--epsilon", "1"]
    one.run("prepare", *asked, "--rows", "2000", "--release-id", "adult-1")
    for host, stage in zip(cycle((other, one)), STAGES, strict=False):
        host.run("in-run", "adult-1", stage)
    assert entries("adult-1") == ["reserved", "training", "trained", "released"]
    for host in both:
        assert "adult-1 is sound" in host.run("verify", "adult-1")
    draw = ["--model-of", "adult-1", "--release-id", "adult-2", "--rows", "500"]
    one.run("prepare-draw", *draw)
    for host, command in zip(cycle((other, one)), ("sample", "gate", "publish"), strict=False):
        host.run("in-run", "adult-2", command)
    assert "adult-2 is sound" in one.run("verify", "adult-2")
    assert entries("adult-2") == []


def test_a_host_that_is_lost_in_training_takes_no_charge_with_it(
    both: tuple[Host, Host], tmp_path: Path
) -> None:
    one, other = both
    one.run("simulate", "--patients", "1000", "--seed", "1", "--out", str(tmp_path / "source"))
    asked = ["--dataset", "simulated_pathways", "--source", str(tmp_path / "source"), "--label"]
    asked += ["first", "--extract-date", "2022-12-31", "--rows", "1000"]
    asked += ["--epsilon", "1", "--release-id", "sim-1"]
    settings = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text("utf-8"))
    settings["train"]["checkpoint_steps"] = 5
    for host in both:
        (host.root / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    one.run("prepare", *asked)
    for stage in BEFORE_TRAINING:
        one.run("in-run", "sim-1", stage)
    first = one.start("in-run", "sim-1", "train")
    store = checkpoint_store(Home.find())
    prefix = "sim-1/training/pathway/"
    while not store.names(prefix):
        assert first.poll() is None, first.communicate()[0]
        time.sleep(0.5)
    kill_tree(first.pid)
    kept = {name: store.get(name) for name in store.names("sim-1/training/")}
    # two hosts are given the task that was lost: one trains, the other gives out its model
    both_at_once = [host.start("in-run", "sim-1", "train") for host in (other, one)]
    for process in both_at_once:
        out, _ = process.communicate(timeout=3000)
        assert process.returncode == 0, out[-3000:]
    assert entries("sim-1") == ["reserved", "training", "trained"]
    assert {name: store.get(name) for name in kept} == kept
    steps = store.names(prefix)
    assert max(Counter(steps).values()) == 1 and len(steps) > len(
        [name for name in kept if name.startswith(prefix)]
    )


def kill_tree(pid: int) -> None:
    """As a host dies: all its processes at once, with no word to anybody."""
    import psutil

    parent = psutil.Process(pid)
    for process in [parent, *parent.children(recursive=True)]:
        process.send_signal(signal.SIGKILL)
