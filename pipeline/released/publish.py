"""Stage publish: puts a release together and makes it visible, all or nothing.

The tag in the released registry is the moment of release: everything before it can be thrown away,
everything after it is finished by a retry. Each step finds out whether it was done already.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.catalog import Home, Workspace, project_root
from pipeline.ledger import Ledger
from pipeline.params import Params
from pipeline.refusal import Refusal
from pipeline.released import card, manifest
from pipeline.released.dictionary import write_dictionary, write_lookups
from pipeline.released.privacy_facts import privacy_facts
from pipeline.released.small_sample import write_small_sample
from pipeline.runs import version_stores
from pipeline.schema.values import Schema
from pipeline.services import tracking

logger = logging.getLogger(__name__)
TRACKED_BY_DVC = ("extract", "sample", "model")


def run(workspace: Workspace, params: Params, schema: Schema) -> None:
    """Publishes the release of this workspace. Raises ValueError where the approval is missing; a
    retry finishes what was begun.
    """
    home, release_id = Home.find(), str(params.release.id)
    approval = files.read_json(workspace.restricted.approval) or {}
    if not approval.get("approved"):
        raise Refusal(
            f"{release_id} is not approved: run the stage approve first; nothing was published"
        )
    staged = workspace.released.release
    if not (staged / manifest.NAME).exists():
        logger.info("publish: putting the release together")
        _assemble(workspace, params, schema, home, approval)
    faults = manifest.differences(staged)
    if faults:
        raise Refusal(
            f"{release_id}: the assembled release does not fit its manifest: {faults[0]}; delete"
            f" {staged.name}/ and publish again"
        )
    if params.release.drawn_from is None and (
        state := Ledger(home.ledger).state(release_id)
    ) not in ("reserved", "released"):
        raise Refusal(
            f"{release_id} is {state or 'not charged'} in the ledger, so nothing was published; use"
            " a new release id"
        )
    logger.info("publish: tagging %s in the released registry", release_id)
    _tag(home, staged, release_id, schema.dataset)
    _copy(staged, home.published / release_id)
    tracking.publish_model(release_id, staged / "model")
    if params.release.drawn_from is None:
        Ledger(home.ledger).commit(
            release_id, facts={"manifest": manifest.sha256(staged / manifest.NAME)}
        )
    logger.info("publish: %s is published", release_id)


def _assemble(
    workspace: Workspace, params: Params, schema: Schema, home: Home, approval: dict[str, Any]
) -> None:
    """Everything of the release in one folder; the manifest is written last and the folder renamed
    when whole.
    """
    released, release = workspace.released, params.release
    temporary = released.release.with_suffix(".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    shutil.copytree(released.extract, temporary / "extract")
    shutil.copytree(released.model, temporary / "model")
    shutil.copyfile(workspace.dataset, temporary / "dataset.yaml")
    write_small_sample(
        schema,
        released.synthetic,
        temporary / "sample",
        params.publish.sample_patients,
        release.extract_date,
    )
    write_dictionary(schema, temporary / "dictionary.csv")
    write_lookups(schema, temporary / "lookups")
    privacy = privacy_facts(Ledger(home.ledger), release.drawn_from or str(release.id))
    code_version = version_stores.code_version(project_root())
    told = card.facts(
        schema,
        release_id=str(release.id),
        source_label=release.source_label,
        rows=release.rows,
        privacy=privacy,
        extract_date=release.extract_date.isoformat() if release.extract_date else None,
        code_version=code_version,
        approval={key: approval[key] for key in ("self_approved", "by") if key in approval},
        drawn_from=release.drawn_from,
    )
    files.write_json(temporary / "card.json", told)
    files.write_text(temporary / "card.md", card.markdown(told))
    manifest.write(
        temporary,
        {
            "release_id": release.id,
            "dataset": schema.dataset,
            "data_id": release.data_id,
            "source_label": release.source_label,
            "drawn_from": release.drawn_from,
            "code_version": code_version,
            "ledger_entry": privacy["ledger_entry"],
            "chain_head": privacy["chain_head"],
            "self_approved": bool(approval.get("self_approved")),
            "seed": params.sample.seed,
            "partition_rows": params.sample.partition_rows,
        },
    )
    files.replace_folder(temporary, released.release)


def _tag(home: Home, staged: Path, release_id: str, dataset: str) -> None:
    """One commit and tag in the released registry. The data is pushed first; nobody finds it before
    the tag is there.
    """
    version_stores.ensure(home)
    if version_stores.is_tagged(home.released_registry, release_id):
        return
    with tempfile.TemporaryDirectory(dir=home.state) as scratch:
        tree = Path(scratch) / "tree"
        version_stores.clone(home.released_registry, tree)
        folder = tree / dataset
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(staged, folder)
        version_stores.dvc(
            "add", "--quiet", *[f"{dataset}/{name}" for name in TRACKED_BY_DVC], cwd=tree
        )
        version_stores.dvc("push", "--quiet", cwd=tree)
        version_stores.commit_all(tree, f"Release {release_id}", has_clock=False)
        version_stores.git(
            "tag",
            "-a",
            release_id,
            "-m",
            f"manifest sha256 {manifest.sha256(staged / manifest.NAME)}",
            cwd=tree,
            has_clock=False,
        )
        version_stores.git("push", "-q", "--atomic", "origin", "main", release_id, cwd=tree)


def _copy(staged: Path, final: Path) -> None:
    """A plain copy for people who do not use DVC, renamed into place when whole."""
    if (final / manifest.NAME).exists() and not manifest.differences(final):
        return
    temporary = final.with_name(f".{final.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(staged, temporary)
    _take_clock_away(temporary)
    files.replace_folder(temporary, final)


def _take_clock_away(folder: Path) -> None:
    """All files and folders bear the same moment: the times at which they were written would tell
    how long stages took.
    """
    moment = version_stores.MOMENT.timestamp()
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (moment, moment))
