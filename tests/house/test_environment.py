"""What the surroundings say is read in one place, pipeline/environment.py."""

from __future__ import annotations

import ast
from pathlib import Path

from pipeline import environment

ROOT = Path(__file__).parents[2]
NAMES = {"environ", "getenv", "putenv", "environb"}


def uses(text: str) -> bool:
    """Whether a module reads or sets an environment variable: `os.environ`, `from os import`..."""
    nodes = list(ast.walk(ast.parse(text)))
    attributes = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
    imports = {
        f"os.{alias.name}"
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module == "os"
        for alias in node.names
    }
    return bool((attributes | imports) & {f"os.{name}" for name in NAMES})


def test_no_other_module_reads_the_environment():
    paths = [
        path
        for top in ("pipeline", "audit", "dags", "portal")
        for path in ROOT.glob(f"{top}/**/*.py")
    ]
    users = {str(path.relative_to(ROOT)) for path in paths if uses(path.read_text("utf-8"))}
    assert users == {"pipeline/environment.py"}


def test_a_use_is_found():
    assert uses("import os\nx = os.environ['A']") and uses("from os import getenv\n")
    assert not uses("environ = 1\n")


def test_a_home_of_its_own_hides_every_variable_of_this_project(monkeypatch, tmp_path):
    monkeypatch.setenv(environment.HOME_VARIABLE, "/before")
    monkeypatch.setenv(environment.LEDGER_VARIABLE, "postgresql://host/ledger")
    with environment.at_home(tmp_path):
        assert environment.home_folder() == str(tmp_path)
        assert environment.ledger_url() is None
    assert environment.home_folder() == "/before"
    assert environment.ledger_url() == "postgresql://host/ledger"


def test_git_knows_nothing_of_the_repository_that_this_process_runs_in(monkeypatch):
    monkeypatch.setenv("GIT_DIR", "/somewhere/.git")
    assert "GIT_DIR" not in environment.for_git()
    assert environment.for_git()["GIT_TERMINAL_PROMPT"] == "0"
