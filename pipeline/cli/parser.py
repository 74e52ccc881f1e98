"""The command line: one command per stage and per tool. It parses and hands on; the commands stand
in `pipeline/cli/arguments/`, the work in the modules that they name.

Importing this imports nothing heavy: a command's module is loaded when the command runs.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Sequence

from pipeline import environment, files
from pipeline.cli.arguments import (
    audit,
    budget,
    datasets,
    deployment,
    estimate,
    ledger,
    runs,
    services,
    sources,
    stages,
    tools,
    upkeep,
    uploads,
)
from pipeline.options import Parser
from pipeline.refusal import Unavailable
from pipeline.stages import REFUSED

logger = logging.getLogger("pipeline")

INTERRUPTED, TERMINATED = 130, 143  # exit codes, as a shell gives them


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code. A refusal is one line on standard error and exit
    code 2.
    """
    from pipeline.cli.stage import main_logging

    environment.limit_threads()
    files.private_umask()
    environment.no_core_dump()
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = parser(with_simulator="simulate" in words[:1]).parse_args(words)
    main_logging()
    # as an exception, so that what was started is stopped
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    return _exit_code(options)


def _exit_code(options: argparse.Namespace) -> int:
    """Runs the command. The panic of compiled code, which is no Exception, is told by type and
    place only: its message may hold a patient's value.
    """
    from pipeline.cli.stage import is_refusal, place
    from pipeline.migrations import current_state

    try:
        with current_state():
            return options.run(options) or 0
    except KeyboardInterrupt:
        logger.error("stopped by the keyboard")
        return INTERRUPTED
    except Exception as error:
        if environment.is_debugging():
            raise
        if is_refusal(error):
            logger.error("%s", error)
            return REFUSED
        if isinstance(error, Unavailable):
            logger.error("%s", error)
        else:
            logger.error("%s at %s: %s", type(error).__name__, place(error), error)
        return 1
    except (SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        logger.error("%s at %s", type(error).__name__, place(error))
        return 1


def parser(with_simulator: bool = True) -> argparse.ArgumentParser:
    """Every command with its options and their help. `with_simulator` loads the simulator for its
    own options.
    """
    top = Parser(
        prog="python -m pipeline",
        description=(
            "Synthetic extracts with a differential-privacy guarantee for a patient's whole"
            " history. A stage runs in its workspace, runs/<release_id>/, without arguments."
        ),
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    stages.add(commands)
    runs.add(commands)
    estimate.add(commands)
    tools.add(commands, with_simulator=with_simulator)
    audit.add(commands)
    ledger.add(commands)
    datasets.add(commands)
    sources.add(commands)
    uploads.add(commands)
    budget.add(commands)
    services.add(commands)
    upkeep.add(commands)
    deployment.add(commands)
    return top
