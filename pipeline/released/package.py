"""The folders in which people who know the Simulacrum look for an extract: `Data/` and
`Documents/`, with a README and a quick start. All of it comes from the declaration, the public code
lists and the extract's own files.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.catalog import Release
from pipeline.released.start_pages import write_start_pages
from pipeline.released.workbooks import write_dictionary_workbook, write_lookup_workbook
from pipeline.schema.values import Schema


def write_package(schema: Schema, release: Release, card: dict[str, Any]) -> None:
    """Everything beside the extract for a reader of `release`, whose extract and card are there."""
    link_folder(release.extract.csv, release.data)
    release.documents.mkdir()
    write_dictionary_workbook(schema, release.dictionary_workbook)
    write_lookup_workbook(schema, release.lookup_workbook)
    write_start_pages(schema, release, card)


def link_folder(source: Path, folder: Path) -> None:
    """The files of `source` in `folder`, too, without taking the disk twice where it can be."""
    folder.mkdir()
    for file in sorted(source.iterdir()):
        _link(file, folder / file.name)


def copy_with_links(source: Path, target: Path) -> None:
    """Copies a folder; what is one file under two names there is one in the copy as well."""
    copies: dict[tuple[int, int], str] = {}

    def copy(file: str, place: str) -> None:
        state = Path(file).stat()
        first = copies.setdefault((state.st_dev, state.st_ino), place)
        if first == place:
            shutil.copy2(file, place)
        else:
            _link(Path(first), Path(place))

    shutil.copytree(source, target, copy_function=copy, dirs_exist_ok=True)


def link_tree(source: Path, target: Path) -> None:
    """The files of a folder in another, too, without taking the disk twice where it can be. For
    files that nobody writes to any more.
    """
    shutil.copytree(
        source,
        target,
        copy_function=lambda file, place: _link(Path(file), Path(place)),
        dirs_exist_ok=True,
    )


def _link(file: Path, place: Path) -> None:
    with suppress(OSError):  # a file system without links
        os.link(file, place)
        return
    shutil.copy2(file, place)
