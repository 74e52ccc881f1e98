"""One command per stage, without arguments; `pipeline/cli/stage.py` runs it in the workspace that
is the current folder.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from pipeline.cli.arguments.command import Commands, add_command
from pipeline.stages import STAGES


@dataclass(frozen=True)
class StageRunner:
    """Runs the stage `name`."""

    name: str

    def __call__(self, options: argparse.Namespace) -> int:
        from pipeline.cli import stage

        return stage.run(self.name)


def add(commands: Commands) -> None:
    for stage in STAGES.values():
        add_command(commands, stage.name, f"stage: {stage.summary}", StageRunner(stage.name))
