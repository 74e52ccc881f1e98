"""The files of expectations/: the suites of every declaration, written once and compared."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline import files
from pipeline.checks.expectations.suites import Suite, suites
from pipeline.schema.document import base_of
from pipeline.schema.reader import read_schema

BASE = "_base.json"  # of a dataset that extends another: which suites are the same there


def text(suite: Suite) -> str:
    """The file of a suite: one expectation per line."""
    lines = ",\n".join(
        "  " + json.dumps(expectation, ensure_ascii=False) for expectation in suite["expectations"]
    )
    return (
        f'{{"name": {json.dumps(suite["name"])}, "meta": {json.dumps(suite["meta"])},'
        f' "expectations": [\n{lines}\n]}}\n'
    )


def committed(datasets: Path) -> dict[str, str]:
    """What expectations/ should hold for all declarations in `datasets`: relative path -> text.

    A dataset that extends another has files for the suites in which it differs, and `_base.json`,
    which names the other dataset and the suites that are the same there.
    """
    texts = {
        path.stem: {name: text(suite) for name, suite in suites(read_schema(path)).items()}
        for path in sorted(datasets.glob("*.yaml"))
    }
    content: dict[str, str] = {}
    for dataset, own in texts.items():
        base = base_of(datasets / f"{dataset}.yaml")
        same = [
            name for name in own if base is not None and texts.get(base, {}).get(name) == own[name]
        ]
        content |= {f"{dataset}/{name}.json": own[name] for name in own if name not in same}
        if same:
            content[f"{dataset}/{BASE}"] = (
                json.dumps({"base": base, "suites": same}, indent=1) + "\n"
            )
    return content


def write(datasets: Path, folder: Path) -> int:
    """Writes every file and removes those that nothing declares. Returns the number of files."""
    texts = committed(datasets)
    for name, content in texts.items():
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != content:
            files.write_text(folder / name, content)
    for path in folder.glob("*/*.json"):
        if str(path.relative_to(folder)) not in texts:
            path.unlink()
    return len(texts)


def stale(datasets: Path, folder: Path) -> list[str]:
    """The suites that differ from what the declarations and rules say, or are missing, or declared
    by nothing.
    """
    texts = committed(datasets)
    present = {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in folder.glob("*/*.json")
    }
    return sorted(
        name for name in texts.keys() | present.keys() if texts.get(name) != present.get(name)
    )
