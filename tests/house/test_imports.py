"""Who may import whom, read from the source (docs/architecture.md)."""

from __future__ import annotations

import pytest
from imports import (
    MODULES,
    ROOT,
    cycle,
    graph,
    imported_names,
    imports,
    layers,
    longest_chain,
    module_of,
    package,
    packages,
)

MAX_LAYERS = 9  # of packages, from the lowest to the command line
MAX_DEPTH = 11  # modules of pipeline/ that one import loads one after the other


def test_no_package_imports_itself_by_a_detour():
    assert cycle(packages()) == []


def test_no_module_imports_itself_by_a_detour():
    """Imports inside functions count too."""
    edges = {name: imports(name) for name in MODULES}
    assert cycle(edges) == []


def test_a_cycle_is_found():
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_there_are_few_layers():
    chain = longest_chain(packages())
    assert len(chain) <= MAX_LAYERS, " > ".join(chain)


def test_import_chains_are_short():
    chain = longest_chain(graph("pipeline", top_level=True))
    assert len(chain) <= MAX_DEPTH, " > ".join(chain)


def test_the_pipeline_never_imports_its_audit():
    users = {
        name
        for name in MODULES
        if package(name) != "audit"
        for other in imports(name)
        if package(other) == "audit"
    }
    assert users <= {"pipeline.cli.audit"}


@pytest.mark.parametrize("module", [name for name in MODULES if package(name) == "released"])
def test_released_never_imports_restricted(module):
    reached, todo = set(), [module]
    while todo:
        for other in imports(todo.pop()) - reached:
            reached.add(other)
            todo.append(other)
    assert not [name for name in reached if package(name).startswith("restricted")]


def test_nobody_goes_past_the_public_names_of_the_ledger():
    """But for its audit, which patches the code that it checks."""
    scripts = [path for top in ("dags", "bench") for path in ROOT.glob(f"{top}/**/*.py")]
    outsiders = {
        name: MODULES[name] for name in MODULES if package(name) not in ("ledger", "audit")
    }
    past = [
        f"{name}: {other}"
        for name, path in (outsiders | {str(path): path for path in scripts}).items()
        for other in imported_names(path)
        if (module_of(other) or "").startswith("pipeline.ledger.")
    ]
    assert not past, past


@pytest.mark.parametrize("module", [name for name in MODULES if package(name) == "dp"])
def test_dp_is_a_library_of_its_own(module):
    assert all(package(other) == "dp" for other in imports(module))


def test_only_tracking_knows_mlflow_and_one_module_knows_ctgan():
    users = {
        library: {
            name
            for name, path in MODULES.items()
            if any(one.split(".")[0] == library for one in imported_names(path))
        }
        for library in ("mlflow", "ctgan", "airflow")
    }
    assert {name.rpartition(".")[0] for name in users["mlflow"]} == {"pipeline.services.tracking"}
    # no model that may be released knows it
    assert users["ctgan"] == {"pipeline.models.table.fit.without_privacy"}
    assert users["airflow"] == set()


def test_the_architecture_shows_the_layers_as_they_are():
    lines = [f"{layer}  {', '.join(names)}" for layer, names in layers(packages()).items()]
    picture = "\n".join(reversed(lines))
    assert picture in (ROOT / "docs" / "architecture.md").read_text("utf-8"), (
        f"docs/architecture.md does not show the layers as they are; write there\n{picture}"
    )
