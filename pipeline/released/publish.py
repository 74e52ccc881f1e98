"""Stage publish: puts a release together and makes it visible, all or nothing.

The tag in the released version store is the moment of release: everything before it can be thrown
away, everything after it is finished by a retry. Each step finds out whether it was done already.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.catalog import Home, Release, Workspace, project_root
from pipeline.draw_plan import plan_of
from pipeline.evaluation.gate_words import gate_warnings
from pipeline.ledger import Ledger
from pipeline.models.declaration import schema_from_plain
from pipeline.models.table.draw.independence import independent_pairs
from pipeline.models.table.draw.model import TableModel
from pipeline.models.table.plan.engines import ENGINES
from pipeline.params import Params
from pipeline.refusal import Refusal
from pipeline.released import card, log_line, manifest, released_log
from pipeline.released.card_limits import ModelFacts
from pipeline.released.charged_draw import check_draw, check_names
from pipeline.released.dictionary import write_dictionary, write_lookups
from pipeline.released.estimates import write_estimates
from pipeline.released.evidence_facts import EvidenceFacts
from pipeline.released.package import copy_with_links, link_tree, write_package
from pipeline.released.plan_facts import plan_facts
from pipeline.released.privacy_facts import privacy_facts
from pipeline.released.small_sample import write_small_sample
from pipeline.runs import chain_heads, programs, release_commits, released_trees, version_stores
from pipeline.schema.values import Schema
from pipeline.services import tracking
from pipeline.transparency.commitments import Line

logger = logging.getLogger(__name__)
TRACKED_BY_DVC = ("extract", "Data", "sample", "model", "estimates")


def run(workspace: Workspace, params: Params, schema: Schema) -> None:
    """Publishes the release of this workspace. Raises Refusal where the approval is missing; a
    retry finishes what was begun.
    """
    home, release_id = Home.find(), str(params.release.id)
    approval = files.read_json(workspace.restricted.approval) or {}
    if not approval.get("approved"):
        raise Refusal(
            f"{release_id} is not approved: run the stage approve first; nothing was published"
        )
    check_names(home, params, schema)  # before a card says it
    release = workspace.released.release
    version_stores.reach(home)
    release_commits.in_turn(
        partial(_publish_next, workspace, params, schema, home, approval),
        partial(version_stores.head, home.released_store),
    )
    _copy(release, Release(_folder_of(home.published, release_id)))
    files.open_to_readers(home.released)
    tracking.publish_model(release_id, release.model)
    if params.release.drawn_from is None:
        Ledger(home.ledger).commit(
            release_id, facts={"manifest": manifest.sha256(release.manifest)}
        )
        chain_heads.note(home, release_id)
    logger.info("publish: %s is published", release_id)


def _publish_next(
    workspace: Workspace, params: Params, schema: Schema, home: Home, approval: dict[str, Any]
) -> None:
    """Puts the release together as the next one of the transparency log, and tags it. Raises
    Refusal, or RuntimeError, also where another release was faster.
    """
    release_id, release = str(params.release.id), workspace.released.release
    is_tagged = version_stores.is_tagged(home.released_store, release_id)
    log = released_log.before(home, release_id)
    if is_tagged:
        _take_tagged(home, release, release_id)
    elif not release.manifest.exists() or log_line.is_outdated(release, log):
        check_draw(home, params, workspace.released.model)
        logger.info("publish: putting the release together")
        _assemble(workspace, params, schema, home, approval, log)
    faults = manifest.differences(release.root)
    if faults:
        raise Refusal(
            f"{release_id}: the assembled release does not fit its manifest: {faults[0]}; delete"
            f" {release.root.name}/ and publish again"
        )
    check_draw(home, params, release.model)
    logger.info("publish: tagging %s in the released version store", release_id)
    _tag(home, release, release_id, schema.dataset, log)


def _model_facts(folder: Path, workspace: Workspace, evidence: EvidenceFacts | None) -> ModelFacts:
    """What the card says of the model that lies in the folder, and of what was drawn from it."""
    model = TableModel.load(folder / "table")
    declaration = schema_from_plain(files.read_json(folder / "schema.json"))
    size = model.notes.get("size_estimate")
    return ModelFacts(
        independent=independent_pairs(model),
        noisy_size=size,
        published=declaration.known,
        # the gate reads synthetic rows only, so a card may print it (privacy_rules.md 4)
        warnings=[str(one) for one in gate_warnings(tracking.gate_result(workspace))],
        evidence=evidence,
        engine=ENGINES[model.engine].title,
    )


def _assemble(
    workspace: Workspace,
    params: Params,
    schema: Schema,
    home: Home,
    approval: dict[str, Any],
    log: Sequence[Line],
) -> None:
    """Everything of the release in one folder; the manifest is written last. `log`: the
    transparency log that it follows.
    """
    released, settings = workspace.released, params.release
    privacy = privacy_facts(Ledger(home.ledger), settings.drawn_from or str(settings.id), log)
    with files.replacing_folder(released.release.root) as folder:
        out = Release(folder)
        link_tree(released.extract.root, out.extract.root)
        shutil.copytree(released.model, out.model)
        shutil.copyfile(workspace.dataset, out.dataset)
        evidence = write_estimates(schema, out.model, released.synthetic, out.estimates)
        model = _model_facts(out.model, workspace, evidence)
        facts = card.facts(
            schema,
            release_id=str(settings.id),
            source_label=settings.source_label,
            rows=settings.rows,
            privacy=privacy,
            extract_date=settings.extract_date.isoformat() if settings.extract_date else None,
            code_version=programs.code_version(project_root()),
            approval=_public_approval(approval),
            drawn_from=settings.drawn_from,
            plan=plan_facts(out.model, plan_of(params.drawn_plan), settings.rows),
            model=model,
        )
        write_small_sample(
            schema,
            released.synthetic,
            out.sample,
            params.publish.sample_patients,
            settings.extract_date,
        )
        write_dictionary(schema, out.dictionary, model.published)
        write_lookups(schema, out.lookups)
        files.write_json(out.card, facts)
        files.write_text(out.card_page, card.markdown(facts))
        write_package(schema, out, facts)
        manifest.write(folder, _lineage(params, facts, approval))


def _public_approval(approval: dict[str, Any]) -> dict[str, Any]:
    """What the card says of the approval: no e-mail address of a custodian."""
    facts = {key: value for key, value in approval.items() if key in ("self_approved", "by")}
    return facts | {"by": "a custodian"} if "@" in str(facts.get("by")) else facts


def _lineage(params: Params, facts: dict[str, Any], approval: dict[str, Any]) -> dict[str, Any]:
    """What the manifest says of where the release comes from. facts: of its card."""
    settings, privacy = params.release, facts["privacy"]
    return {
        "release_id": settings.id,
        "dataset": facts["dataset"],
        "data_id": settings.data_id,
        "source_label": settings.source_label,
        "drawn_from": settings.drawn_from,
        "code_version": facts["code_version"],
        "charge": privacy["charge"],
        "log_entry": privacy["log_entry"],
        "chain_head": privacy["chain_head"],
        "self_approved": bool(approval.get("self_approved")),
        "seed": params.sample.seed,
        "partition_rows": params.sample.partition_rows,
        "plan": plan_of(params.drawn_plan).to_json(),
    }


def _tag(home: Home, release: Release, release_id: str, dataset: str, log: Sequence[Line]) -> None:
    """One commit and tag in the released version store, with the release's line of the transparency
    log. The data is pushed first; nobody finds it before the tag is there.
    """
    version_stores.ensure(home)
    if version_stores.is_tagged(home.released_store, release_id):
        return
    with tempfile.TemporaryDirectory(dir=home.state) as scratch:
        tree = Path(scratch) / "tree"
        version_stores.clone(home.released_store, tree)
        folder = _folder_of(tree, dataset)
        shutil.rmtree(folder, ignore_errors=True)
        link_tree(release.root, folder)
        version_stores.share_objects(tree)
        log_line.add_line(home, tree, Release(folder), log)
        version_stores.dvc(
            "add",
            "--quiet",
            *[f"{dataset}/{name}" for name in TRACKED_BY_DVC if (folder / name).exists()],
            cwd=tree,
        )
        version_stores.dvc("push", "--quiet", cwd=tree)
        tag_message = f"manifest sha256 {manifest.sha256(Release(folder).manifest)}"
        release_commits.push_release(
            tree, message=f"Release {release_id}", tag=release_id, tag_message=tag_message
        )
        _bring_back(Release(folder), release)


def _take_tagged(home: Home, release: Release, release_id: str) -> None:
    """The release is what its tag holds, also where the attempt that tagged it stopped before it
    had brought that back, or was made on another host.
    """
    _, tagged = released_trees.find(home, release_id)
    if not release.manifest.exists() or manifest.read(release.root) != tagged:
        logger.info("publish: it is tagged already; that one is the release")
        released_trees.fetch(home, release_id, release.root)


def _bring_back(tagged: Release, release: Release) -> None:
    """The two files that the place in the log decides, as the tag has them."""
    for source, place in (
        (tagged.transparency, release.transparency),
        (tagged.manifest, release.manifest),
    ):
        if source.exists():
            with files.replacing(place) as temporary:
                shutil.copyfile(source, temporary)


def _folder_of(root: Path, name: str) -> Path:
    """The folder of that name right in `root`, which may be removed or replaced. Raises Refusal
    for a name that leads elsewhere.
    """
    folder = root / name
    if not name or Path(name).name != name or name.startswith(".") or folder.is_symlink():
        raise Refusal(
            f"{name!r} is no name of a folder in {root.name}/: nothing was removed or published."
            " A dataset and a release are called by plain names"
        )
    return folder


def _copy(release: Release, published: Release) -> None:
    """A plain copy for people who do not use DVC."""
    if published.manifest.exists() and not manifest.differences(published.root):
        return

    def foreign(folder: Path) -> list[str]:
        return [] if Release(folder).manifest.exists() else files.everything(folder)

    with files.replacing_folder(published.root, foreign=foreign) as folder:
        copy_with_links(release.root, folder)
        _give_back_to_owner(folder)
        _take_clock_away(folder)


def _give_back_to_owner(folder: Path) -> None:
    """DVC takes the right to write from the files that it shares, and a database whose owner may
    not write it does not open in every program.
    """
    for path in folder.rglob("*"):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


def _take_clock_away(folder: Path) -> None:
    """All files and folders bear the same moment: the times at which they were written would tell
    how long stages took.
    """
    moment = version_stores.MOMENT.timestamp()
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (moment, moment))
