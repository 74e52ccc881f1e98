"""README.txt, START.md and the quick start of a release, from the files of `templates/`.

`<<name>>` in a template stands for a fact of the release, or for another file of the package, so
that START.md shows the very text of the programs beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.catalog import Release, project_root
from pipeline.refusal import Refusal
from pipeline.schema.values import Column, Schema, Table

PLACE = re.compile(r"<<([\w./]+)>>")
DOCUMENTS = {
    "all_z_lookup_tables.xlsx": "An Excel workbook with every code list",
    "data_dictionary.xlsx": "An Excel workbook with the data dictionary of each table",
    "v1_views.sql": "Two tables of Simulacrum v1, as views",
}


def write_start_pages(schema: Schema, release: Release, card: Mapping[str, Any]) -> None:
    """Last of a package: README.txt lists what is there. `card`: its facts."""
    kind = "registry" if schema.layout == "registry" else "tables"
    folder = project_root() / "templates"
    facts = _facts(schema, card)
    release.quick_start.mkdir()
    for template in sorted((folder / kind / "quickstart").iterdir()):
        name, text = template.name.removesuffix(".template"), _filled_in(template, facts)
        files.write_text(release.quick_start / name, text)
        facts[f"quickstart/{name}"] = text.rstrip("\n")
    files.write_text(release.start_page, _filled_in(folder / kind / "START.md", facts))
    if kind == "registry":
        files.write_text(release.older_views, _filled_in(folder / kind / "v1_views.sql", facts))
    facts |= {
        "data": _listing(release.data),
        "documents": _listing(release.documents),
        "quickstart": _listing(release.quick_start),
    }
    files.write_text(release.readme, _filled_in(folder / "README.txt", facts))


def _filled_in(template: Path, facts: Mapping[str, str]) -> str:
    """The template with its facts. Raises Refusal where it asks for another one."""
    text = template.read_text(encoding="utf-8")
    if unknown := set(PLACE.findall(text)) - set(facts):
        raise Refusal(f"templates/{template.name}: there is no fact {min(unknown)!r}")
    return PLACE.sub(lambda place: facts[place[1]], text)


def _facts(schema: Schema, card: Mapping[str, Any]) -> dict[str, str]:
    table, column = _first_look(schema)
    header = column.header or column.name
    return {
        "release_id": str(card["release_id"]),
        "title": schema.title,
        "source": schema.source,
        "rows": f"{card['synthetic_patients']:,}",
        "citation": schema.citation or "none is declared",
        "licence": schema.licence or "none is declared; ask whoever gave you the extract",
        "python_tables": repr([one.file for one in schema.tables.values()]),
        "python_table": repr(table.file),
        "python_column": repr(header),
        "sql_table": _identifier(table.file),
        "sql_column": _identifier(header),
    }


def _first_look(schema: Schema) -> tuple[Table, Column]:
    """The column that is counted: the first target with categories; where there is none, the first
    column with some, or else the first of all.
    """
    columns = [
        (table, column) for table in schema.tables.values() for column in table.columns.values()
    ]
    targets = [pair for name in schema.targets for pair in columns if pair[1].name == name]
    with_categories = [pair for pair in targets + columns if pair[1].categories]
    return (with_categories or columns)[0]


def _listing(folder: Path) -> str:
    """The names in a folder, a line each."""
    return "".join(
        f"  {path.name}{f': {DOCUMENTS[path.name]}' if path.name in DOCUMENTS else ''}\n"
        for path in sorted(folder.iterdir())
    )


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
