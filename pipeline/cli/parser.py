"""The command line: one command per stage and per tool. It parses and hands on; the work is in the
modules it names.

Importing this imports nothing heavy: a command's module is loaded when the command runs.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from pipeline.stages import REFUSED, STAGES

Command = Callable[[argparse.Namespace], int | None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code. A stated refusal is one line on standard error and
    exit code 2.
    """
    from pipeline.cli.stage import is_refusal, main_logging, place

    # Read when torch, polars and numpy load. A thread beside a busy core spins and costs more than
    # it brings (measured: six times the CPU).
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) - 1)))
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = parser(whole="simulate" in given[:1]).parse_args(given)
    main_logging()
    # as an exception, so that what was started is stopped
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return options.run(options) or 0
    except KeyboardInterrupt:
        logging.getLogger("pipeline").error("stopped by the keyboard")
        return 130
    except Exception as error:
        if os.environ.get("SYNDASERA_DEBUG"):
            raise
        logging.getLogger("pipeline").error(
            "%s",
            error if is_refusal(error) else f"{type(error).__name__} at {place(error)}: {error}",
        )
        return REFUSED if is_refusal(error) else 1
    except (SystemExit, GeneratorExit):
        raise
    # a panic of compiled code: its message may hold a patient's value
    except BaseException as error:
        logging.getLogger("pipeline").error("%s at %s", type(error).__name__, place(error))
        return 1


def parser(whole: bool = True) -> argparse.ArgumentParser:
    """Every command with its options and their help. The simulator's options live with the
    simulator; `whole` loads them.
    """
    top = argparse.ArgumentParser(
        prog="python -m pipeline",
        description=(
            "Synthetic extracts with a differential-privacy guarantee for a patient's whole"
            " history. A stage runs in its workspace, runs/<release_id>/, without arguments."
        ),
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for stage in STAGES.values():
        _add(commands, stage.name, f"stage: {stage.summary}", _stage(stage.name))
    _add_runs(commands)
    _add_tools(commands, whole)
    _add_ledger(commands)
    _add_keeping(commands)
    _add_budget(commands)
    _add_services(commands)
    return top


def _add(
    commands: argparse._SubParsersAction, name: str, help_text: str, run: Command
) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(
        name, help=help_text, description=help_text[:1].upper() + help_text[1:] + "."
    )
    made.set_defaults(run=run)
    return made


def _stage(name: str) -> Command:
    """The command of one stage; its module is loaded when it runs."""

    def run(options: argparse.Namespace) -> int | None:
        from pipeline.cli import stage

        return stage.run(name)

    return run


def _lazy(module: str, function: str) -> Command:
    """A command that loads its module when it runs."""

    def run(options: argparse.Namespace) -> int | None:
        import importlib

        done: int | None = getattr(importlib.import_module(f"pipeline.cli.{module}"), function)(
            options
        )
        return done

    return run


def _add_request(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--release-id", required=True, help="name of the release: 3 to 41 of a-z, 0-9 and -"
    )
    command.add_argument(
        "--source",
        type=_given,
        help="folder or file of the source tables; default: what the custodian declared",
    )
    command.add_argument(
        "--label",
        type=_given,
        help="public name of this state of the source; default: the declared one",
    )
    command.add_argument(
        "--extract-date", type=_date, help="public last day of observation, YYYY-MM-DD"
    )
    command.add_argument(
        "--epsilon", type=_number, help="privacy loss of this release; default: params.yaml"
    )
    command.add_argument(
        "--rows", type=_count, help="synthetic patients to draw; default: params.yaml"
    )
    command.add_argument(
        "--cohorts",
        type=_listed,
        default=(),
        metavar="NAME,NAME",
        help=(
            "whose rows the release opens and is charged to, where the population has cohorts;"
            " default: everybody's"
        ),
    )
    command.add_argument(
        "--owner",
        type=_given,
        help="the run that asks (Airflow's run id), so that its retries are known",
    )


def _add_runs(commands: argparse._SubParsersAction) -> None:
    refresh = _add(
        commands,
        "refresh",
        "make a release without Airflow: workspace and all stages",
        _lazy("runs", "refresh"),
    )
    refresh.add_argument("dataset", help="a declaration in datasets/")
    _add_request(refresh)
    prepare = _add(
        commands,
        "prepare",
        "make the workspace of a run and open the population of simulated or public data",
        _lazy("runs", "prepare"),
    )
    prepare.add_argument("--dataset", required=True, help="a declaration in datasets/")
    _add_request(prepare)
    drawn = _add(
        commands,
        "prepare-draw",
        "make the workspace of a draw: a new extract from a published model, free",
        _lazy("runs", "prepare_draw"),
    )
    drawn.add_argument(
        "--model-of", required=True, help="the published release whose model is drawn from"
    )
    drawn.add_argument("--release-id", required=True, help="name of the new release")
    drawn.add_argument(
        "--rows", type=_count, help="synthetic patients to draw; default: params.yaml"
    )
    drawn.add_argument("--owner", type=_given, help="the run that asks (Airflow's run id)")
    record = _add(
        commands,
        "record",
        "commit dvc.lock of the current workspace to the restricted registry",
        _lazy("runs", "record"),
    )
    record.add_argument("stage", choices=list(STAGES), help="the stage that has just run")
    check = _add(
        commands,
        "check-source",
        "say whether a dataset has a source that no release was charged for yet; exit code 99"
        " if not",
        _lazy("runs", "check_source"),
    )
    check.add_argument("--dataset", required=True, help="a declaration in datasets/")
    check.add_argument(
        "--source", type=_given, help="a source named by hand; default: what the custodian declared"
    )
    check.add_argument("--label", type=_given, help="its public label; default: the declared one")
    check.add_argument(
        "--cohorts",
        type=_listed,
        default=(),
        metavar="NAME,NAME",
        help="whose rows it would open; default: everybody's",
    )
    check.add_argument(
        "--release-id",
        type=_given,
        help="the release that asks: it may go on where it was charged and stopped",
    )
    _add(
        commands,
        "gate",
        "in the workspace of a draw: stop where a synthetic row breaks a rule (a refresh does it in"
        " evaluate)",
        _lazy("runs", "gate"),
    )
    _add(
        commands,
        "needs-approval",
        "in a workspace: exit code 0 where a person must approve, 99 where the run may itself",
        _lazy("runs", "needs_approval"),
    )
    _add(
        commands,
        "track",
        "in a workspace: bring MLflow up to date with its stages",
        _lazy("runs", "track"),
    )
    verify = _add(
        commands, "verify", "check a published release: files, tag, ledger", _lazy("runs", "verify")
    )
    verify.add_argument("release", help="release id")


def _add_tools(commands: argparse._SubParsersAction, whole: bool) -> None:
    simulate = _add(
        commands,
        "simulate",
        "write a plausible confidential extract with known truth",
        _lazy("tools", "simulate"),
    )
    if whole:
        from pipeline.simulator import command as simulator

        simulator.add_arguments(simulate)
    fit = _add(
        commands,
        "fit",
        "fit a model for benchmarks, without ledger; public datasets only",
        _lazy("tools", "fit"),
    )
    fit.add_argument(
        "--dataset", type=Path, required=True, help="a declaration, FILE.yaml, with public: true"
    )
    fit.add_argument(
        "--source", type=Path, required=True, help="folder or file of the source tables"
    )
    fit.add_argument("--epsilon", type=float, required=True, help="privacy loss of the model")
    fit.add_argument("--delta", type=float, default=1e-6, help="default 1e-6")
    fit.add_argument(
        "--extract-date",
        type=_date,
        help="public last day of observation, YYYY-MM-DD; datasets of pathways",
    )
    fit.add_argument(
        "--model", type=Path, required=True, help="folder to write the model to; it must not exist"
    )
    draw = _add(
        commands,
        "draw",
        "draw synthetic patients from a finished or published model, free",
        _lazy("tools", "draw"),
    )
    draw.add_argument("--model", type=Path, required=True, help="a model's folder")
    draw.add_argument("--rows", type=_count, required=True, help="synthetic patients to draw")
    draw.add_argument(
        "--out",
        type=Path,
        required=True,
        help="a .csv file for a single table, else a folder for one CSV per table",
    )
    draw.add_argument("--seed", type=int, default=1, help="public seed of the draw, default 1")
    draw.add_argument(
        "--extract-date",
        type=_date,
        help="public last day of observation, YYYY-MM-DD; datasets of pathways",
    )
    draw.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="COLUMN=VALUES",
        help="a prompt that holds exactly: sex=Female,Male or age=30..50; may be given again",
    )
    draw.add_argument(
        "--begins",
        type=_listed,
        default=(),
        metavar="TYPE,TYPE=CODE",
        help=(
            "a prompt on how pathways start: of treatments and types named here these come first,"
            " in order: SURGERY,SACT_REGIMEN"
        ),
    )
    audit = _add(
        commands,
        "audit",
        "check that the conditions of the guarantee hold in this code, on people it makes up; exit"
        " code 1 if not",
        _lazy("audit", "run"),
    )
    audit.add_argument(
        "--long", action="store_true", help="the long checks too: larger samples, an hour or so"
    )
    audit.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="one check by its name; may be given again",
    )
    audit.add_argument("--list", action="store_true", help="only name the checks and what they ask")
    audit.add_argument("--out", type=Path, help="a JSON file for the findings")
    expectations = _add(
        commands,
        "expectations",
        "write the suites of all declarations to expectations/",
        _lazy("tools", "expectations"),
    )
    expectations.add_argument(
        "--check",
        action="store_true",
        help="only say whether the committed suites are stale (exit code 2)",
    )


def _add_ledger(commands: argparse._SubParsersAction) -> None:
    ledger = _add(
        commands,
        "ledger",
        "the privacy ledger: what was spent on whom, what a release would cost",
        _lazy("ledger", "show"),
    )
    ledger.set_defaults(population=None)
    actions = ledger.add_subparsers(title="actions", metavar="ACTION")
    show = _add(
        actions,
        "show",
        "balance and entries of every population, or of one",
        _lazy("ledger", "show"),
    )
    show.add_argument("population", nargs="?", help="name of a population")
    quote = _add(
        actions,
        "quote",
        "what a release would cost, and how many like it fit; reads no row, records nothing",
        _lazy("ledger", "quote"),
    )
    quote.add_argument("dataset", help="a declaration in datasets/")
    quote.add_argument(
        "--epsilon", type=_number, help="privacy loss of the release; default: params.yaml"
    )
    quote.add_argument(
        "--cohorts",
        type=_listed,
        default=(),
        metavar="NAME,NAME",
        help="whose rows it would open; default: everybody's",
    )
    quote.add_argument(
        "--extract-date",
        type=_date,
        help="public last day of observation, YYYY-MM-DD; default: the declared one",
    )
    _add(
        actions,
        "verify",
        "check the chain, and that it holds every head noted on cards, in runs and in MLflow",
        _lazy("ledger", "verify"),
    )
    opened = _add(
        actions,
        "open",
        "open the population that a dataset declares",
        _lazy("ledger", "open_population"),
    )
    opened.add_argument("dataset", help="a declaration in datasets/")
    opened.add_argument("--reason", required=True, help="why; kept in the ledger")
    opened.add_argument(
        "--disjoint-from",
        action="append",
        default=[],
        metavar="POPULATION",
        help=(
            "a population proved to hold none of these people; the reason is the proof; may be"
            " given again"
        ),
    )
    raised = _add(
        actions,
        "raise",
        "a larger budget for a population, up to its ceiling: a weaker statement about its people",
        _lazy("ledger", "raise_budget"),
    )
    raised.add_argument("population", help="name of a population")
    raised.add_argument(
        "--epsilon", type=float, required=True, help="the new budget for its whole life"
    )
    raised.add_argument("--reason", required=True, help="why; kept in the ledger")
    abandoned = _add(
        actions,
        "abandon",
        "record that a charged release will not appear; it stays charged",
        _lazy("ledger", "abandon"),
    )
    abandoned.add_argument("release", help="release id")
    abandoned.add_argument("--reason", required=True, help="why; kept in the ledger")
    exported = _add(actions, "export", "every entry as JSON; restricted", _lazy("ledger", "export"))
    exported.add_argument("--out", type=Path, help="a file to write; default: standard output")
    moved = _add(
        actions,
        "move",
        "take the ledger from its file to a database of PostgreSQL, for several hosts",
        _lazy("ledger", "move"),
    )
    moved.add_argument(
        "url", help="postgresql://USER@HOST:PORT/DATABASE; a password may be left to PGPASSFILE"
    )


def _add_keeping(commands: argparse._SubParsersAction) -> None:
    sources = _add(
        commands,
        "sources",
        "declare sources, or show what is declared",
        _lazy("sources", "show_sources"),
    )
    actions = sources.add_subparsers(title="actions", metavar="ACTION")
    _add(actions, "show", "every declared source with its label", _lazy("sources", "show_sources"))
    put = _add(actions, "set", "declare the source of a dataset", _lazy("sources", "set_source"))
    put.add_argument("dataset", help="a declaration in datasets/")
    put.add_argument("--path", required=True, help="folder or file of the source tables")
    put.add_argument(
        "--label", required=True, help="public name of this state of the source, chosen by a person"
    )
    put.add_argument(
        "--extract-date", type=_date, help="public last day of observation, YYYY-MM-DD"
    )
    _add(
        commands,
        "status",
        "services, sources, populations and releases at a glance",
        _lazy("sources", "status"),
    )
    _add(
        commands,
        "clean-check",
        "exit code 2 where the ledger holds a population that is neither simulated nor public",
        _lazy("sources", "clean_check"),
    )


def _add_budget(commands: argparse._SubParsersAction) -> None:
    told = _add(
        commands,
        "budget-report",
        "write how every population's budget was spent: a page, a picture and figures",
        _lazy("budget", "tell"),
    )
    told.add_argument(
        "--out", type=Path, help="a folder for the report alone; default: state/budget"
    )
    told.add_argument(
        "--mlflow", action="store_true", help="put it into MLflow as well, experiment `budget`"
    )
    _add(
        commands,
        "budget-is-low",
        "in a workspace: exit code 0 where its population's budget runs low after the charge, 99"
        " where not",
        _lazy("budget", "is_low"),
    )


def _add_services(commands: argparse._SubParsersAction) -> None:
    _add(
        commands,
        "setup",
        "make the state that a first run needs: registries, remotes, MLflow, Airflow's home",
        _lazy("services", "setup"),
    )
    _add(
        commands,
        "up",
        "start Airflow and MLflow, print addresses and passwords",
        _lazy("services", "up"),
    )
    _add(commands, "down", "stop Airflow and MLflow", _lazy("services", "down"))
    run = _add(
        commands,
        "run",
        "what `make run` does: source, Airflow, the DAG refresh followed to its end",
        _lazy("services", "run"),
    )
    run.add_argument(
        "--dataset", type=_given, help="a declaration in datasets/; default: simulated_pathways"
    )
    run.add_argument(
        "--source",
        type=_given,
        help="source tables; default: what is declared; simulated for simulated_pathways",
    )
    run.add_argument(
        "--label", type=_given, help="public label of the source; default: dataset and today's date"
    )
    run.add_argument("--patients", type=_count, help="patients to simulate, default 5000")
    run.add_argument("--epsilon", type=_number, help="default: params.yaml")
    run.add_argument("--rows", type=_count, help="default: params.yaml")
    run.add_argument("--release-id", type=_given, help="default: dataset and time")
    run.add_argument(
        "--next",
        action="store_true",
        help="`make refresh`: simulate the next extract of the same patients first",
    )
    run.add_argument(
        "--extract-date",
        type=_date,
        help="with --next: its date, YYYY-MM-DD; default: a quarter after the last",
    )


def _given(text: str) -> str | None:
    """An option left empty by a form counts as not given."""
    return text or None


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date, write YYYY-MM-DD") from None


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _number(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None


def _count(text: str) -> int | None:
    if not text:
        return None
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)
