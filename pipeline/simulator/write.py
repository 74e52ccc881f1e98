"""Writes an extract: all files under a temporary folder beside the target, then one rename."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from pipeline import files
from pipeline.catalog import TRUTH


def write_extract(tables: Mapping[str, pl.DataFrame], truth: Mapping[str, Any], out: Path) -> None:
    """CSV files in latin-1 (the registry's trap: plain ASCII but for a few cells) and truth.json.

    An extract that is already there is replaced whole. Raises Refusal for a folder that holds
    anything else.
    """
    ours = [TRUTH, *(f"{name}.csv" for name in tables)]

    def foreign(folder: Path) -> list[str]:
        return files.others(folder, ours if (folder / TRUTH).is_file() else ())

    with files.replacing_folder(Path(out), foreign=foreign) as folder:
        for name, table in tables.items():
            _write_csv(table, folder / f"{name}.csv")
        text = json.dumps(truth, indent=1, sort_keys=True) + "\n"
        (folder / TRUTH).write_text(text, encoding="utf-8")


def _write_csv(table: pl.DataFrame, path: Path) -> None:
    table.write_csv(path)
    names = [name for name, kind in table.schema.items() if kind == pl.String]
    if (
        names
        and table.select(
            pl.any_horizontal(pl.col(names).str.len_bytes() != pl.col(names).str.len_chars()).any()
        ).item()
    ):
        path.write_bytes(path.read_bytes().decode("utf-8").encode("latin-1"))
