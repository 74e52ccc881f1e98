"""Writes an extract: all files under a temporary folder beside the target, then one rename."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from pipeline import files
from pipeline.refusal import Refusal


def write_extract(tables: Mapping[str, pl.DataFrame], truth: Mapping[str, Any], out: Path) -> None:
    """CSV files in latin-1 (the registry's trap: plain ASCII but for a few cells) and truth.json.

    An extract that is already there is replaced whole; a folder with anything else in it is refused
    (ValueError).
    """
    out = Path(out)
    if out.exists() and any(out.iterdir()) and not (out / "truth.json").exists():
        raise Refusal(
            f"simulate: {out} holds files that the simulator did not write; give an empty or new"
            " folder"
        )
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        for name, table in tables.items():
            _write_csv(table, temporary / f"{name}.csv")
        (temporary / "truth.json").write_text(
            json.dumps(truth, indent=1, sort_keys=True) + "\n", encoding="utf-8"
        )
        files.replace_folder(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
