"""The public process knows the released zone only: read from its imports."""

from __future__ import annotations

from imports import MODULES, imports

# What may lie under the public process. Nothing of it reads patients' rows, keys or the ledger.
ALLOWED = {
    "adapters",  # pure functions on the tables they are given; Explore reads extracts with them
    "catalog",
    "draw_plan",
    "environment",
    "files",
    "options",
    "params",
    "plan_options",
    "plan_slices",
    "population_limits",
    "portal_params",
    "refusal",
    "schema",
    "stages",
}


def reached(start: str) -> set[str]:
    """Every module of ours that a package's modules load, however far below."""
    found = {name for name in MODULES if name == start or name.startswith(start + ".")}
    todo = list(found)
    while todo:
        for other in imports(todo.pop()) - found:
            found.add(other)
            todo.append(other)
    return found


def test_the_public_process_reaches_released_facts_only():
    names = reached("portal.public")
    assert {name.split(".")[1] for name in names if name.startswith("pipeline.")} <= ALLOWED
    assert not [name for name in names if name.startswith("portal.custodian")]


def test_the_pipeline_knows_nothing_of_the_portal():
    users = [name for name in MODULES if name.split(".")[0] in ("pipeline", "audit")]
    assert not [n for n in users if any(o.startswith("portal") for o in imports(n))]


DECRYPTS = "pipeline.runs.uploads.decryption"


def test_only_stages_and_the_check_of_uploads_decrypt():
    """The custodian process asks for neither: it starts a pipeline process that checks."""
    users = {name for name in MODULES if DECRYPTS in imports(name)}
    check = "pipeline.restricted.uploads.checking"
    assert users == {"pipeline.restricted.ingest.source_files", check}
    assert {name for name in MODULES if check in imports(name)} == {"pipeline.cli.uploads"}
    keys = {name for name in MODULES if "pipeline.runs.uploads.keys" in imports(name)}
    assert keys == {
        f"pipeline.runs.uploads.{one}" for one in ("reception", "decryption", "deletion")
    }


def test_a_forbidden_import_is_found():
    assert any(name.startswith("pipeline.services") for name in reached("portal.custodian"))
