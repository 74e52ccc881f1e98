"""Small files, no path of a machine, documents that say what is there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_LINES = 300
CODE = sorted(
    [
        *ROOT.glob("pipeline/**/*.py"),
        *ROOT.glob("portal/**/*.py"),
        *ROOT.glob("audit/*.py"),
        *ROOT.glob("dags/*.py"),
        *ROOT.glob("bench/**/*.py"),
    ]
)
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|root|home|opt/wheels)/")


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\n")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("path", CODE, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_holds_one_idea(path):
    n_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert n_lines <= MAX_LINES, f"{n_lines} lines: when a file starts to hold two ideas, split it"


def test_nothing_committed_names_a_path_of_a_machine():
    found = []
    for path in tracked():
        if path.suffix in (".png", ".gz", ".parquet", ".svg") or path == Path(__file__):
            continue
        for number, line in enumerate(
            path.read_text(encoding="utf-8", errors="replace").splitlines(), 1
        ):
            if MACHINE_PATH.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}")
    assert not found, found


def test_no_pickles():
    pickling = re.compile(r"\b(?:import pickle|pickle\.|torch\.save|torch\.load|joblib)\b")
    found = [path.name for path in CODE if pickling.search(path.read_text(encoding="utf-8"))]
    assert not found, f"artefacts are safetensors and JSON: {found}"


def test_every_package_has_a_line_in_the_architecture():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    packages = {p.parent.name for p in ROOT.glob("pipeline/*/__init__.py")} | {
        p.stem for p in ROOT.glob("pipeline/*.py")
    } - {"__init__", "__main__"}
    missing = sorted(name for name in packages if name not in text)
    assert not missing, f"docs/architecture.md does not name {missing}"


def test_we_refuse_by_one_type():
    """A plain ValueError is a fault, whose message is not shown; a person is told by a Refusal."""
    plain = [
        str(path.relative_to(ROOT))
        for path in CODE
        if path.is_relative_to(ROOT / "pipeline") and "raise ValueError(" in path.read_text("utf-8")
    ]
    assert not plain, plain
