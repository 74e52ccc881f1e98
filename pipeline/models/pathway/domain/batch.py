"""What the network reads in training: the events of some patients."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Events of some patients, r rows, each patient's in time order; the masks are True where
    legal. Sensitive.
    """

    features: Tensor  # int64 [r, F]
    statics: Tensor  # int64 [p, S]
    owner: Tensor  # int64 [r], patient in [0, p)
    before: Tensor  # int64 [r] token before, V for none
    token: Tensor  # int64 [r]
    gap: Tensor  # int64 [r], -1: not drawn (the anchor's day is fixed), or not legal
    attributes: Tensor  # int64 [r, A], -1: none
    types_legal: Tensor  # bool [r, T]
    tokens_legal: Tensor  # bool [p, V] by static columns
    weight: Tensor  # float32 [r] in training
    used_up: Tensor  # bool [r, D] of the tokens that a patient has once
    gaps_legal: Tensor  # bool [r, G]
    rhythm: Tensor  # int64 [r] row of the counted rhythms, 0 for none
    level: Tensor  # int64 [r, steps] last known values of attributes with a largest step
    days_left: Tensor  # int64 [r] until the end of observation
    since: Tensor  # int64 [r, R] days since the last event of each type that returns, -1: none
    ahead: Tensor  # int64 [r, types with a rhythm] rows of the counted rhythms, if such a type came
