"""Planted faults of stages and of what stands between rows and noise, for tests alone: what
somebody careless would write.

Most are edits of a function's own text: the old lines must be there, or the fault is out of date
and says so.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from textwrap import dedent
from typing import Any

import polars as pl
import pytest

from pipeline.dp.marginals import MeasurementStore
from pipeline.dp.noise import NoiseStream
from pipeline.ledger import chain
from pipeline.models.pathway.fit import calibration, train
from pipeline.models.synthesizer import fit
from pipeline.models.table.measure import columns, measurer, pairs
from pipeline.models.table.plan.plan import TablePlan
from pipeline.released import publish
from pipeline.restricted import approve, validate
from pipeline.restricted.ingest import batches, stage, typed_parts
from pipeline.transparency import making

# the package's own `fit` is the function
fitting = importlib.import_module("pipeline.models.table.fit.fit")
SAMPLE_POPULATION, REGISTRY, NEIGHBOURS, STABLE = (
    "a sample population, frozen",
    "a registry, frozen",
    "neighbours of a sample population",
    "one more in a sample population",
)
SECRETS, SECOND = "no secret is left behind", "a second population"
SAVES = "            _save(checkpoint / CHECKPOINT, state, mechanism)\n"
SAMPLES = "        sampled = mechanism.sample(log.n_patients, noise)\n"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A mistake that somebody could make. `caught_by` names the check that finds it; `patch` plants
    it. long: it takes whole runs.

    found_as: words of the finding, so that a fault which merely breaks the program is not taken for
        one that was found.
    """

    name: str
    caught_by: str
    patch: Callable[[pytest.MonkeyPatch], None]
    found_as: str
    long: bool = False


def edited(
    patch: pytest.MonkeyPatch, owner: Any, name: str, *changes: tuple[str, str], **names: Any
) -> Any:
    """Puts a function in the place of `owner.name` that differs by these changes of its text.
    known: names that the new text uses.
    """
    text = dedent(inspect.getsource(getattr(owner, name)))
    for old, new in changes:
        if not inspect.ismodule(owner):  # a method's text stands further left now
            old, new = (re.sub(r"^    ", "", part, flags=re.MULTILINE) for part in (old, new))
        assert text.count(old) == 1, f"{name} has changed: plant the fault anew in place of {old!r}"
        text = text.replace(old, new)
    module = owner if inspect.ismodule(owner) else sys.modules[owner.__module__]
    for key, value in names.items():
        patch.setattr(module, key, value, raising=False)
    namespace: dict[str, Any] = {}
    exec(
        compile(f"from __future__ import annotations\n{text}", f"<planted in {name}>", "exec"),
        vars(module),
        namespace,
    )
    patch.setattr(owner, name, namespace[name])
    return namespace[name]


def three_tumours(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fit, "first_row_each", lambda patients: patients)
    encode = edited(
        patch,
        columns,
        "encode_rows",
        ('patients = patients.unique(ID, keep="first", maintain_order=True)', "pass"),
    )
    patch.setattr(fitting, "encode_rows", encode)


def realised_depth(patch: pytest.MonkeyPatch) -> None:
    """Trees seldom grow down to their leaves, so the last level is neither charged nor told."""

    def is_deepest(plan_or_reader: Any, name: str) -> bool:
        return (
            name.startswith("tree/")
            and f"{name.rpartition('/')[0]}/{int(name.rpartition('/')[2]) + 1}"
            not in plan_or_reader
        )

    edited(
        patch,
        TablePlan,
        "counts_event",
        (
            "for mechanism in self.counts(scale).values()]",
            (
                "for name, mechanism in self.counts(scale).items() "
                "if not is_deepest(self.counts(scale), name)]"
            ),
        ),
        is_deepest=is_deepest,
    )
    edited(
        patch,
        measurer.Measurer,
        "_result",
        (
            "self._tape.append(mechanism.dp_event)",
            (
                "is_deepest(self._mechanisms, mechanism.name) or"
                " self._tape.append(mechanism.dp_event)"
            ),
        ),
        is_deepest=is_deepest,
    )


def sigma_from_bins(patch: pytest.MonkeyPatch) -> None:
    """A block that has fewer cells than were declared gets less noise."""
    edited(
        patch,
        measurer.Measurer,
        "__call__",
        (
            "self._result(self._mechanisms[name], counts)",
            "self._result(smaller(self._mechanisms[name], counts()), counts)",
        ),
        smaller=lambda mechanism, counts: replace(
            mechanism, sigma=mechanism.sigma * (counts.size / mechanism.cells) ** 0.5
        ),
    )


def choice_off_the_tape(patch: pytest.MonkeyPatch) -> None:
    """The choice gives out no number, so it is not entered."""
    edited(
        patch,
        measurer.Measurer,
        "choose",
        (
            "self._result(self._choice, scores)",
            "self._store.get_or_measure(self._choice, scores, self._noise)",
        ),
    )


def choice_not_charged(patch: pytest.MonkeyPatch) -> None:
    """Neither charged nor entered, so that the tape fits the charge."""
    choice_off_the_tape(patch)
    edited(patch, TablePlan, "counts_event", ("([choice.dp_event] if choice else [])", "[]"))


def scores_of_two_counts(patch: pytest.MonkeyPatch) -> None:
    """Beside each pair's cells those of its first column: one patient is in both."""
    cells = "int(np.abs(counts - expected).sum())"
    more = f"{cells} + int(np.abs((counts - expected).sum(1)).sum())"
    edited(patch, pairs, "_scores", (cells, more))


def expectation_of_rows(patch: pytest.MonkeyPatch) -> None:
    """As many patients are expected as there are."""
    edited(patch, pairs, "_scores", ("size * expectation(", "len(groups[a]) * expectation("))


def learned_categories(patch: pytest.MonkeyPatch) -> None:
    """The categories are those that are found."""

    def seen_in(plan: TablePlan, patients: pl.DataFrame) -> TablePlan:
        texts = [name for name in patients.columns if patients.schema[name] == pl.String]
        categories = {name: tuple(sorted(patients[name].drop_nulls().unique())) for name in texts}
        return replace(
            plan,
            columns=tuple(
                replace(one, categories=categories.get(one.name, ())) for one in plan.columns
            ),
        )

    reads = "    cells = encode_rows("
    edited(
        patch,
        fitting,
        "fit",
        (reads, f"    plan = seen_in(plan, patients)\n{reads}"),
        seen_in=seen_in,
    )


def counted_divisor(patch: pytest.MonkeyPatch) -> None:
    edited(
        patch,
        train,
        "train_weights",
        (
            "    while state.step < mechanism.steps:\n",
            (
                "    mechanism = replace(mechanism, expected_batch_size=max(log.n_patients / 5,"
                " 1.0))\n    while state.step < mechanism.steps:\n"
            ),
        ),
    )


def counted_size(patch: pytest.MonkeyPatch) -> None:
    """The calibration is told how many patients there are."""
    encode, n = train.encode_log, []

    def counting(*arguments: Any) -> Any:
        log = encode(*arguments)
        n.append(log.n_patients)
        return log

    patch.setattr(train, "encode_log", counting)
    patch.setattr(calibration, "population", lambda noisy, sigmas: max(float(n[-1]), 1.0))


def best_checkpoint(patch: pytest.MonkeyPatch) -> None:
    """Of the checkpoints, the one with the lowest loss on the patients."""

    def judged(best: list[Any], model: Any, log: Any, network: Any, state: Any) -> None:
        train._load(dict(network.named_parameters()), state.weights)
        everybody = train.batch_of(
            model.coding, log, train.np.arange(log.n_patients), train.torch.device("cpu")
        )
        with train.torch.no_grad():
            loss = float(network.row_losses(everybody).sum())
        if not best or loss < best[0][0]:
            best[:] = [(loss, {name: value.clone() for name, value in state.weights.items()})]

    loop = "    while state.step < mechanism.steps:\n"
    edited(
        patch,
        train,
        "train_weights",
        (loop, f"    best = []\n{loop}"),
        (SAVES, SAVES + "            judged(best, model, log, network, state)\n"),
        ("_load(parameters, state.average)", "_load(parameters, best[0][1])"),
        judged=judged,
    )


def shuffled_split(patch: pytest.MonkeyPatch) -> None:
    edited(
        patch,
        batches,
        "_held_out",
        (
            "patients.select(ID).filter(coins)",
            "patients.select(ID).sample(fraction=share, shuffle=True, seed=1)",
        ),
    )


def stopped_by_a_row(patch: pytest.MonkeyPatch) -> None:
    edited(
        patch,
        typed_parts,
        "type_rows",
        (
            "        account.rows_read",
            "        if typed.faults:\n            raise ValueError('there are rows at fault')\n"
            "        account.rows_read",
        ),
    )


def stopped_by_expectations(patch: pytest.MonkeyPatch) -> None:
    edited(
        patch,
        validate,
        "run",
        (
            '    logger.info("validate: the results',
            (
                "    if not files.read_json(restricted.validation.results)['passed']:\n"
                "        raise ValueError('not as expected')\n"
                '    logger.info("validate: the results'
            ),
        ),
    )


def stopped_by_drops(patch: pytest.MonkeyPatch) -> None:
    """A source of which many patients are dropped is not trusted."""
    edited(
        patch,
        validate,
        "run",
        (
            '    logger.info("validate: running',
            (
                "    found = files.read_json(restricted.ingest_report)\n    if"
                " sum(found['dropped_patients_by_reason'].values()) > 0.1 *"
                " found['patients'].get('kept', 0):\n        raise ValueError('too many were"
                " dropped')\n    logger.info(\"validate: running"
            ),
        ),
    )


def source_hash(patch: pytest.MonkeyPatch) -> None:
    def hashed(source: str) -> str:
        return publish.manifest.sha256(publish.Path(source) / "people.csv")

    edited(
        patch,
        publish,
        "_lineage",
        ('"data_id": settings.data_id', '"data_id": hashed(settings.source)'),
        hashed=hashed,
    )


def counted_rows(patch: pytest.MonkeyPatch) -> None:
    def count(workspace: Any) -> int:
        return pl.read_parquet(workspace.restricted.patients).height

    edited(
        patch,
        publish,
        "_assemble",
        (
            "files.write_json(out.card, facts)",
            'files.write_json(out.card, facts | {"trained_on": count(workspace)})',
        ),
        count=count,
    )


def durations(patch: pytest.MonkeyPatch) -> None:
    edited(
        patch,
        publish,
        "_assemble",
        (
            "manifest.write(folder, _lineage(params, facts, approval))",
            (
                "seconds = [one.seconds for one in tracking.read_notes(workspace)]\n"
                "        manifest.write(folder, _lineage(params, facts, approval) | "
                '{"seconds": seconds})'
            ),
        ),
    )


def logged_batch(patch: pytest.MonkeyPatch) -> None:
    edited(
        patch,
        train,
        "train_weights",
        (SAMPLES, SAMPLES + "        progress(f'a batch of {len(sampled)} patients')\n"),
    )


def approval_by_score(patch: pytest.MonkeyPatch) -> None:
    """The run approves itself where the synthetic rows look well enough beside real ones."""

    def looks_well(workspace: Any) -> bool:
        figures: list[float] = []

        def gather(value: Any) -> None:
            if isinstance(value, dict | list):
                for item in value.values() if isinstance(value, dict) else value:
                    gather(item)
            elif isinstance(value, int | float):
                figures.append(value)

        gather(approve.files.read_json(workspace.restricted.report.figures))
        return sum(figures) / max(len(figures), 1) > 0.5

    edited(
        patch,
        approve,
        "_decide",
        ("    if itself and", "    if itself and looks_well(workspace) and"),
        looks_well=looks_well,
    )


def forgotten_claim(patch: pytest.MonkeyPatch) -> None:
    edited(
        patch,
        stage,
        "run",
        (
            "        source_claims.claim,\n",
            "        (lambda *_, **__: None),\n",
        ),
    )


def links_not_followed(patch: pytest.MonkeyPatch) -> None:
    edited(
        patch,
        stage.source_claims,
        "_places",
        ("inside = path.iterdir() if path.is_dir() else ()", "inside = ()"),
    )


def unsalted_head(patch: pytest.MonkeyPatch) -> None:
    edited(patch, chain.Writer, "append", ("{**facts, SALT: new_salt()}", "facts"))


def unsalted_log(patch: pytest.MonkeyPatch) -> None:
    edited(patch, making._Leaves, "salt", ("self.secret, ", 'b"no secret", '))


def bare_log(patch: pytest.MonkeyPatch) -> None:
    edited(
        patch,
        making._Leaves,
        "hidden_tree",
        ("        capacity = CAPACITY\n", "        capacity = len(leaves)\n"),
    )


KEY = (
    "self._cipher = Cipher(algorithms.AES(os.urandom(32))",
    "self._key = os.urandom(32){}; self._cipher = Cipher(algorithms.AES(self._key)",
)


def logged_key(patch: pytest.MonkeyPatch) -> None:
    text = "; logging.getLogger('pipeline').debug('a key: %s', self._key.hex())"
    edited(patch, NoiseStream, "_rekey", (KEY[0], KEY[1].format(text)), logging=logging)


def saved_key(patch: pytest.MonkeyPatch) -> None:
    """So that a resume goes on with the same noise."""
    edited(patch, NoiseStream, "_rekey", (KEY[0], KEY[1].format("")))
    edited(
        patch,
        train,
        "train_weights",
        (
            SAVES,
            SAVES
            + "            (checkpoint / 'noise.json').write_text(json.dumps(list(noise._key)))\n",
        ),
    )


def saved_noise(patch: pytest.MonkeyPatch) -> None:
    """What was drawn last, for debugging."""
    normal = NoiseStream.normal

    def draw_and_keep(self: NoiseStream, *arguments: Any) -> Any:
        self.last = normal(self, *arguments)
        return self.last

    patch.setattr(NoiseStream, "normal", draw_and_keep)
    edited(
        patch,
        train,
        "train_weights",
        (SAVES, SAVES + "            np.save(checkpoint / 'last_noise.npy', noise.last)\n"),
    )


def saved_noise_of_counts(patch: pytest.MonkeyPatch) -> None:
    draw = NoiseStream.discrete_gaussian

    def draw_and_keep(self: NoiseStream, *arguments: Any) -> Any:
        self.last = draw(self, *arguments)
        return self.last

    patch.setattr(NoiseStream, "discrete_gaussian", draw_and_keep)
    measures = (
        "            self._write_once(file, mechanism, mechanism.measure(counts_fn(), noise))\n"
    )
    edited(
        patch,
        MeasurementStore,
        "get_or_measure",
        (measures, measures + "            np.save(file.with_suffix('.noise.npy'), noise.last)\n"),
    )


FAULTS: tuple[Fault, ...] = (
    Fault(
        name="three tumours in one Gram row",
        caught_by=NEIGHBOURS,
        patch=three_tumours,
        found_as="with one patient more (three tumours",
    ),
    Fault(
        name="realised tree depth charged",
        caught_by=NEIGHBOURS,
        patch=realised_depth,
        found_as="what ran is not what is charged for",
    ),
    Fault(
        name="sigma from learned bins",
        caught_by=NEIGHBOURS,
        patch=sigma_from_bins,
        found_as="not those of the plan",
    ),
    Fault(
        name="a choice left off the tape",
        caught_by=NEIGHBOURS,
        patch=choice_off_the_tape,
        found_as="the tape does not tell what ran",
    ),
    Fault(
        name="a choice that is not charged",
        caught_by=NEIGHBOURS,
        patch=choice_not_charged,
        found_as="what ran is not what is charged for",
    ),
    Fault(
        name="scores of sensitivity 2",
        caught_by=NEIGHBOURS,
        patch=scores_of_two_counts,
        found_as="choice moves by 2",
    ),
    Fault(
        name="expected counts that read rows",
        caught_by=NEIGHBOURS,
        patch=expectation_of_rows,
        found_as="choice moves by",
    ),
    Fault(
        name="a category learned from rows",
        caught_by=NEIGHBOURS,
        patch=learned_categories,
        found_as="cells, but",
    ),
    Fault(
        name="n read from the table",
        caught_by=NEIGHBOURS,
        patch=counted_divisor,
        found_as="not those of the plan",
    ),
    Fault(
        name="n read from the table, in the calibration",
        caught_by=SAMPLE_POPULATION,
        patch=counted_size,
        found_as="depend on rows",
        long=True,
    ),
    Fault(
        name="checkpoint chosen by real loss",
        caught_by=SAMPLE_POPULATION,
        patch=best_checkpoint,
        found_as="depend on rows",
        long=True,
    ),
    Fault(
        name="a shuffled split",
        caught_by=STABLE,
        patch=shuffled_split,
        found_as="move somebody else",
    ),
    Fault(
        name="a run stopped by one row",
        caught_by=STABLE,
        patch=stopped_by_a_row,
        found_as="rows at fault",
    ),
    Fault(
        name="a run stopped by rows that break a rule",
        caught_by=REGISTRY,
        patch=stopped_by_expectations,
        found_as="not as expected",
        long=True,
    ),
    Fault(
        name="a run stopped by dropped patients",
        caught_by=SAMPLE_POPULATION,
        patch=stopped_by_drops,
        found_as="too many were dropped",
        long=True,
    ),
    Fault(
        name="a source hash in a manifest",
        caught_by=SAMPLE_POPULATION,
        patch=source_hash,
        found_as="manifest.json",
        long=True,
    ),
    Fault(
        name="a row count in a card",
        caught_by=SAMPLE_POPULATION,
        patch=counted_rows,
        found_as="card.json",
        long=True,
    ),
    Fault(
        name="durations in a manifest",
        caught_by=SAMPLE_POPULATION,
        patch=durations,
        found_as="manifest.json",
        long=True,
    ),
    Fault(
        name="a Poisson batch size logged",
        caught_by=SAMPLE_POPULATION,
        patch=logged_batch,
        found_as="output line",
        long=True,
    ),
    Fault(
        name="automatic approval on a raw score",
        caught_by=SAMPLE_POPULATION,
        patch=approval_by_score,
        found_as="NotApproved",
        long=True,
    ),
    Fault(
        name="the same rows under a second population",
        caught_by=SECOND,
        patch=forgotten_claim,
        found_as="by params by hand",
    ),
    Fault(
        name="the same rows under a second population, by links",
        caught_by=SECOND,
        patch=links_not_followed,
        found_as="a folder of links",
    ),
    Fault(
        name="moments and reasons in a published hash",
        caught_by="a head tells nothing",
        patch=unsalted_head,
        found_as="whoever guesses",
    ),
    Fault(
        name="moments and reasons in the transparency log",
        caught_by="a log tells nothing",
        patch=unsalted_log,
        found_as="whoever guesses",
    ),
    Fault(
        name="the number of refusals in the transparency log",
        caught_by="a log tells nothing",
        patch=bare_log,
        found_as="tells how many entries",
    ),
    Fault(
        name="a noise key in a log",
        caught_by=SECRETS,
        patch=logged_key,
        found_as="a line that begins",
        long=True,
    ),
    Fault(
        name="a noise key in a checkpoint",
        caught_by=SECRETS,
        patch=saved_key,
        found_as="noise.json holds a key",
        long=True,
    ),
    Fault(
        name="drawn noise in a checkpoint",
        caught_by=SECRETS,
        patch=saved_noise,
        found_as="last_noise.npy holds drawn noise",
        long=True,
    ),
    Fault(
        name="drawn noise of counts in the store",
        caught_by=SECRETS,
        patch=saved_noise_of_counts,
        found_as="npy holds drawn noise",
        long=True,
    ),
)
