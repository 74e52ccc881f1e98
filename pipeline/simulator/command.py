"""`python -m pipeline simulate`: its arguments, which pipeline/cli/arguments/tools.py adds to the
command, and its call, which pipeline/cli/tools.py makes.
"""

import argparse
import logging
from pathlib import Path

from pipeline.options import count, day, seed
from pipeline.refusal import Refusal
from pipeline.simulator import DEFAULT_EXTRACT

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--patients",
        type=count,
        required=True,
        metavar="N",
        help="patients registered by the default extract date, 2022-12-31",
    )
    parser.add_argument(
        "--seed",
        type=seed,
        default=1,
        metavar="S",
        help="the same seed and N give the same patients (default 1)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for the CSV files and truth.json; replaced whole",
    )
    parser.add_argument(
        "--extract-date",
        type=day,
        default=DEFAULT_EXTRACT,
        metavar="D",
        help=(
            "what an extract of that day shows; a later day continues the same patients (default"
            " 2022-12-31)"
        ),
    )
    parser.add_argument("--clean", action="store_true", help="no dirt: every rule holds")
    parser.add_argument(
        "--dirt",
        choices=["default", "every-rule"],
        default="default",
        help="every-rule: each F rule broken once, by a patient of its own",
    )


def run(args: argparse.Namespace) -> int:
    from pipeline.simulator.simulate import simulate

    if args.clean and args.dirt == "every-rule":
        raise Refusal("simulate: --clean and --dirt every-rule exclude each other")
    simulate(
        args.patients,
        args.seed,
        args.out,
        args.extract_date,
        clean=args.clean,
        every_rule=args.dirt == "every-rule",
        progress=logger.info,
    )
    return 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="simulate", description="Write a simulated Simulacrum v2.1 extract."
    )
    add_arguments(parser)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return run(parser.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
