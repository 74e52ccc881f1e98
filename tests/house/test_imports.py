"""Who may import whom, read from the source (docs/architecture.md)."""
import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(ROOT.glob("pipeline/**/*.py"))
# Rank: a module imports only from its own unit or from units of a lower rank.
RANKS = {
    "files": 0, "catalog": 0, "codes": 0, "declaration": 0, "dp": 0,
    "codes_relations": 1,
    "schema": 1, "schema_fields": 1, "schema_events": 1, "schema_reader": 1, "params": 1, "sources": 1, "source_paths": 1, "stages": 1,
    "registry_tables": 2, "registries": 2, "rules": 3, "models": 3, "simulator": 3,
    "ledger_chain": 1, "ledger_values": 2, "ledger_refusals": 3, "ledger": 4,
    "tracking": 4, "evaluation": 4, "expectations": 4, "checks": 4, "workspace": 5, "draws": 6, "synthetic_gate": 5, "budget": 5,
    "released": 6, "restricted": 7, "services": 7, "airflow_api": 7, "audit": 8, "commands": 9, "cli": 10, "__main__": 11, "__init__": 0,
}
LAZY = {("schema", "schema_reader")}  # schema.load is the front door of its own reader


def unit(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    """Absolute names of everything of ours that a file imports, at top level or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "pipeline" else {node.module or ""}
    return {name for name in found if name.split(".")[0] == "pipeline"}


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_imports_only_what_stands_below_it(path):
    own = unit(module_name(path))
    assert own in RANKS, f"pipeline/{own} has no place in the house yet: give it a rank here and in docs/architecture.md"
    for name in imports(path):
        other = unit(name)
        beside = RANKS[other] == RANKS[own] and other.startswith(("schema", "codes"))
        assert other == own or (own, other) in LAZY or RANKS[other] < RANKS[own] or beside, f"{module_name(path)} imports {name}"


@pytest.mark.parametrize("path", [p for p in MODULES if "released" in p.parts], ids=module_name)
def test_released_never_imports_restricted(path):
    reached, todo = set(), [module_name(path)]
    while todo:
        name = todo.pop()
        for one in imports_of(name) - reached:
            reached.add(one)
            todo.append(one)
    assert not [name for name in reached if name.startswith("pipeline.restricted")]


def imports_of(name: str) -> set[str]:
    path = ROOT.joinpath(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.exists():
            return imports(candidate)
    parent = name.rpartition(".")[0]
    return imports_of(parent) if parent else set()


@pytest.mark.parametrize("path", [p for p in MODULES if "dp" in p.parts], ids=module_name)
def test_dp_is_a_library_of_its_own(path):
    assert all(name.startswith("pipeline.dp") for name in imports(path))


def test_only_tracking_knows_mlflow_and_no_model_knows_ctgan():
    users = {name: {module_name(p) for p in MODULES if _imports_top(p, name)} for name in ("mlflow", "ctgan", "airflow")}
    assert users["mlflow"] <= {"pipeline.tracking"}
    assert users["ctgan"] == users["airflow"] == set()


def _imports_top(path: Path, package: str) -> bool:
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    names = {a.name for node in tree if isinstance(node, ast.Import) for a in node.names}
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    names |= {node.module or "" for node in tree if isinstance(node, ast.ImportFrom)}
    return any(name.split(".")[0] == package for name in names)
