"""Tools for people: simulate a source, fit and draw for benchmarks, write the suites of expectations."""
from __future__ import annotations

import argparse


def simulate(options: argparse.Namespace) -> int:
    from pipeline.simulator import command

    return command.run(options)
