"""What a charge binds of the extract that is drawn under it: the one model, and the seed. Otherwise
somebody who has read the restricted report could choose among noises and draws.
"""

from __future__ import annotations

from pathlib import Path

from pipeline import files
from pipeline.catalog import Home
from pipeline.ledger import Ledger
from pipeline.params import Params
from pipeline.refusal import Refusal


def check_draw(home: Home, params: Params, model: Path) -> None:
    """Raises Refusal where a run is about to draw, or to publish, from another model or by another
    seed than its charge binds. A published draw is free to choose its seed, and its model was
    published.
    """
    release_id = str(params.release.id)
    if params.release.drawn_from is not None:
        return
    ledger = Ledger(home.ledger)
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
