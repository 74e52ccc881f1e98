"""What a charge binds of the extract that is drawn under it: the one model, and the seed. Otherwise
somebody who has read the restricted report could choose among noises and draws. And whose rows its
card says they were.
"""

from __future__ import annotations

from pathlib import Path

from pipeline import files
from pipeline.catalog import Home
from pipeline.ledger import Ledger
from pipeline.params import Params
from pipeline.refusal import Refusal
from pipeline.schema.values import Schema


def check_draw(home: Home, params: Params, model: Path) -> None:
    """Raises Refusal where a run is about to draw, or to publish, from another model or by another
    seed than its charge binds. A draw from a published release is free to choose its seed; its
    model is the published one.
    """
    release_id, drawn_from = str(params.release.id), params.release.drawn_from
    ledger = Ledger(home.ledger)
    if drawn_from is not None:
        _refuse_unpublished_model(ledger, drawn_from, model)
        return
    reservation = ledger.reservation(release_id)
    if reservation is None or ledger.state(release_id) not in ("reserved", "released"):
        raise Refusal(
            f"{release_id} is {ledger.state(release_id) or 'not charged'} in the ledger, so nothing"
            " was published; use a new release id"
        )
    if reservation.seed not in (None, params.sample.seed):
        raise Refusal(
            f"{release_id} was charged for a draw with the seed {reservation.seed}, and params.yaml"
            f" says {params.sample.seed}: put sample.seed back; nothing was drawn or published"
        )
    trained = ledger.trained_model(release_id)
    if trained is None and ledger.state(release_id) == "released":
        return  # published before models were noted
    if trained is None:
        raise Refusal(
            f"{release_id}: the ledger notes no model of this charge; run the stage train again (it"
            " gives out the model that it trained, and notes it)"
        )
    if files.folder_sha256(model) != trained:
        raise Refusal(
            f"{release_id}: the model in {model.name}/ is not the one that was trained under the"
            " charge; run the stage train again, which gives that one out. Nothing was drawn or"
            " published"
        )


def _refuse_unpublished_model(ledger: Ledger, drawn_from: str, model: Path) -> None:
    """The card of a draw cites the charge of a published release: it must be that one's model."""
    if (state := ledger.state(drawn_from)) != "released":
        raise Refusal(
            f"release.drawn_from in params.yaml: {drawn_from} is {state or 'not charged'} in the"
            " ledger; only a published release can be drawn from. Nothing was drawn or published"
        )
    trained = ledger.trained_model(drawn_from)  # None of one published before models were noted
    if trained is not None and files.folder_sha256(model) != trained:
        raise Refusal(
            f"the model in {model.name}/ is not that of {drawn_from}, whose charge the card would"
            " cite: take release.drawn_from out of params.yaml, or draw with `python -m pipeline"
            " draw`. Nothing was drawn or published"
        )


def check_names(home: Home, params: Params, schema: Schema) -> None:
    """Raises Refusal where a run is about to draw, or to put a card together, for another
    population, other cohorts or another state of the source than were charged.
    """
    release = params.release
    reservation = Ledger(home.ledger).reservation(str(release.drawn_from or release.id))
    if reservation is None:
        return
    names: dict[str, tuple[object, object]] = {
        "population.name in dataset.yaml": (schema.population.name, reservation.population),
        "release.source_label in params.yaml": (release.source_label, reservation.source_label),
    }
    if release.drawn_from is None:  # a draw has no cohorts of its own: the card says the charge's
        names["release.cohorts in params.yaml"] = (list(release.cohorts), list(reservation.cohorts))
    changes = [
        f"{name} says {now!r}, and the charge {charged!r}"
        for name, (now, charged) in names.items()
        if now != charged
    ]
    if changes:
        raise Refusal(
            f"{release.id}: {'; '.join(changes)}. The extract would say of others what was"
            " charged for these: put it back. Nothing was drawn or published"
        )
