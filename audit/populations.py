"""The same rows under a second population: refused, by whatever path they are named
(privacy_rules.md 4 and 16).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from audit import people
from audit.findings import Check, Finding
from pipeline import files, params
from pipeline.catalog import Home, Workspace, project_root
from pipeline.environment import at_home
from pipeline.restricted.ingest import stage
from pipeline.runs import sources, workspace
from pipeline.runs.source_claims import TRUTH
from pipeline.schema.reader import read_schema

OTHER = "second_people"


def _paths(rows: Path, folder: Path) -> dict[str, Path]:
    """Ways to name the same rows."""
    link, links, above = folder / "a link", folder / "links", rows.parent
    link.symlink_to(rows, target_is_directory=True)
    links.mkdir()
    for file in rows.iterdir():
        (links / file.name).symlink_to(file)
    # so that nothing but the rows' owner speaks against it
    (above / TRUTH).write_text("{}", encoding="utf-8")
    return {
        "the folder": rows,
        "the folder, another spelling": rows / ".." / rows.name,
        "a link to it": link,
        "a folder of links": links,
        "the folder above": above,
        "a file in it": rows / "people.csv",
    }


def _ask(home: Home, folder: Path) -> dict[str, Callable[[Path], object]]:
    """Ways to give a source to a population: a run's workspace, and a stage in a workspace whose
    params somebody wrote by hand.
    """
    schema = read_schema(home.root / "datasets" / f"{OTHER}.yaml")
    defaults = params.load(project_root() / "params.yaml")

    def by_run(path: Path) -> object:
        return workspace.make(
            home,
            workspace.Request(
                release_id="second-1",
                dataset=OTHER,
                source=str(path),
                label="a label",
                extract_date=people.EXTRACT,
            ),
        )

    def by_declared_source(path: Path) -> object:
        sources.declare(
            home,
            OTHER,
            sources.Source(path=str(path), label="a label", extract_date=people.EXTRACT),
        )
        return workspace.make(home, workspace.Request(release_id="second-2", dataset=OTHER))

    def by_hand(path: Path) -> None:
        release = dataclasses.replace(
            defaults.release, dataset=OTHER, source=str(path), extract_date=people.EXTRACT
        )
        stage.run(
            Workspace(folder / "by hand"), dataclasses.replace(defaults, release=release), schema
        )

    return {"a run": by_run, "a declared source": by_declared_source, "params by hand": by_hand}


def _second_population(folder: Path) -> Finding:
    home, rows = Home(folder / "home"), people.extract(5, 1).write(folder / "sources" / "rows")
    for name in (people.DATASET, OTHER):
        files.write_text(
            home.root / "datasets" / f"{name}.yaml",
            people.DECLARATION.replace(people.DATASET, name),
        )
    with at_home(home.root):
        first = workspace.make(
            home,
            workspace.Request(
                release_id="first-1",
                dataset=people.DATASET,
                source=str(rows),
                label="a label",
                extract_date=people.EXTRACT,
            ),
        )
        # before that the claim is no more than a word: a slip of the dataset's name closes no path
        stage.run(first, params.load(first.params), read_schema(first.dataset))
        breaches = [
            f"{path} by {way}"
            for path, place in _paths(rows, folder).items()
            for way, ask in _ask(home, folder).items()
            if not _refused(ask, place)
        ]
    if breaches:
        return Finding(
            holds=False,
            message=f"rows of one population were taken for another: {'; '.join(breaches[:4])}",
        )
    return Finding(
        holds=True,
        message="rows of one population are refused to another by 6 paths and 3 ways of asking",
        figures={"tried": 18},
    )


def _refused(ask: Callable[[Path], object], path: Path) -> bool:
    """Whether it was refused because the rows belong to others; any other reason would hide the
    answer.
    """
    try:
        ask(path)
    except ValueError as error:
        return "rows belong to one population" in str(error)
    return False


CHECKS: tuple[Check, ...] = (
    Check(
        name="a second population",
        family="adaptive adversary",
        run=_second_population,
        asks=(
            "rows that belong to one population are refused to another one, by whatever path and"
            " whatever command"
        ),
    ),
)
