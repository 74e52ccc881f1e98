"""Stages of the command line = dvc.yaml = DAG; every setting is explained where it stands."""

from __future__ import annotations

import re

import pytest
from ruamel.yaml import YAML

from pipeline.catalog import project_root
from pipeline.cli.parser import parser
from pipeline.params import BLOCKS
from pipeline.stages import STAGES

DVC = YAML(typ="safe").load((project_root() / "dvc.yaml").read_text())["stages"]
PARAMS = (project_root() / "params.yaml").read_text().splitlines()


def commands() -> dict:
    action = next(
        action
        for action in parser()._actions
        if action.dest == "==SUPPRESS==" or (hasattr(action, "choices") and action.choices)
    )
    return dict(action.choices)


def test_dvc_yaml_and_the_command_line_have_the_same_stages_in_the_same_order():
    assert list(DVC) == list(STAGES)
    assert [name for name in commands() if name in STAGES] == list(STAGES)
    assert all(DVC[name]["cmd"] == f"python -m pipeline {name}" for name in STAGES)


@pytest.mark.parametrize("name", ["reserve", "approve", "publish"])
def test_what_charges_approves_and_publishes_always_runs(name):
    assert DVC[name]["always_changed"] is True


def test_stages_name_only_params_that_there_are():
    assert {block for stage in DVC.values() for block in stage.get("params", [])} <= set(BLOCKS)


def test_no_output_holds_the_checkpoints_which_repro_would_delete():
    outs = [out for stage in DVC.values() for out in stage.get("outs", [])]
    assert not any(out.startswith("restricted/checkpoints") or out == "restricted" for out in outs)


def test_restricted_stages_live_in_restricted():
    for stage in STAGES.values():
        assert stage.module.split(".")[:2] in (["pipeline", "restricted"], ["pipeline", "released"])
        assert not (stage.reads_rows and stage.module.startswith("pipeline.released"))


@pytest.mark.parametrize(
    "line",
    [line for line in PARAMS if re.match(r"^  +[a-z_]+:", line)],
    ids=lambda line: line.split(":")[0].strip(),
)
def test_every_setting_has_a_comment(line):
    assert re.search(r"# .{10,}", line), f"params.yaml: {line.strip()} says nothing about itself"


@pytest.mark.parametrize("name", list(commands()))
def test_every_command_and_option_has_help(name):
    def check(command):
        assert command.description
        for action in command._actions:
            if hasattr(action, "choices") and isinstance(action.choices, dict):
                for below in action.choices.values():
                    check(below)
            elif action.dest != "help":
                assert action.help, f"{name} {action.dest}"

    check(commands()[name])
