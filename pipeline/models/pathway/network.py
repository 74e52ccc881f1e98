"""The network: state and static row, one hidden layer, heads for type, code, waiting time and attributes.

Only Linear, Embedding and EmbeddingBag layers hold weights, so that gradients are clipped per patient without being made
(pipeline/dp/ghost.py). Illegal choices get -15 in training (a source may hold one) and are impossible in sampling.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.models.pathway.state import Coding

ILLEGAL = -15.0
IMPOSSIBLE = -1e9
PER_PATIENT = ("statics",)  # layers whose rows are patients


@dataclass(frozen=True)
class Batch:
    """Events of some patients, r rows; the masks are True where legal. Sensitive."""

    features: Tensor  # int64 [r, F]
    statics: Tensor   # int64 [p, S]
    owner: Tensor     # int64 [r], patient in [0, p)
    before: Tensor    # int64 [r] token before, V for none
    token: Tensor     # int64 [r]
    gap: Tensor       # int64 [r], -1: not drawn (the anchor's day is fixed), or not legal
    attributes: Tensor  # int64 [r, A], -1: none
    types_legal: Tensor   # bool [r, T]
    tokens_legal: Tensor  # bool [p, V]
    gaps_legal: Tensor    # bool [r, G]


class PathwayNetwork(nn.Module):
    """Logits of the next event. 54k weights on the prototype's vocabulary; about 80k on the cancer registry's."""

    def __init__(self, coding: Coding, width: int) -> None:
        super().__init__()
        g = coding.grammar
        self.n_types, self.n_tokens, self.n_gaps = g.n_types, g.n_tokens, len(coding.gaps.edges)
        self.sizes = [c.size for c in coding.attributes]
        self.events = nn.EmbeddingBag(sum(coding.ranges), width, mode="sum")
        self.statics = nn.EmbeddingBag(max(sum(c.size for c in coding.statics), 1), width, mode="sum")
        self.choice = nn.Linear(width, g.n_types + g.n_tokens)
        self.follows = nn.Embedding(g.n_tokens + 1, g.n_types)
        self.detail = nn.Linear(width, width)
        self.chosen = nn.Embedding(g.n_tokens, width)
        self.values = nn.Linear(width, self.n_gaps + sum(self.sizes))
        self.token_type: Tensor
        self.register_buffer("token_type", torch.from_numpy(g.token_type).long(), persistent=False)
        legal = np.concatenate([c.legal for c in coding.attributes]) if coding.attributes else np.ones(0, bool)
        self.values_legal: Tensor
        self.register_buffer("values_legal", torch.from_numpy(legal), persistent=False)
        for layer in (self.events, self.statics, self.chosen):
            nn.init.normal_(layer.weight, std=0.1)
        nn.init.zeros_(self.follows.weight)
        for head in (self.choice, self.values):
            nn.init.normal_(head.weight, std=0.05)
            nn.init.zeros_(head.bias)

    def hidden(self, features: Tensor, statics: Tensor, owner: Tensor) -> Tensor:
        """[r, width]."""
        state = self.events(features)
        return torch.tanh(state + self.statics(statics)[owner] if statics.shape[1] else state)

    def choices(self, hidden: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of types [r, T] and, within a type, of tokens [r, V]."""
        types, tokens = self.choice(hidden).split([self.n_types, self.n_tokens], dim=1)
        return types + self.follows(before), tokens

    def details(self, hidden: Tensor, token: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits of waiting times [r, G] and of each attribute, [r, its size]."""
        gaps, values = self.values(torch.tanh(self.detail(hidden) + self.chosen(token))).split([self.n_gaps, sum(self.sizes)], dim=1)
        return gaps, list((values + ILLEGAL * ~self.values_legal).split(self.sizes, dim=1)) if self.sizes else []

    def row_losses(self, batch: Batch) -> Tensor:
        """Negative log-likelihood of each event, [r]; parts that are -1, or illegal in this row, count nothing."""
        hidden = self.hidden(batch.features, batch.statics, batch.owner)
        types, tokens = self.choices(hidden, batch.before)
        kind = self.token_type[batch.token]
        legal_here = batch.types_legal.gather(1, kind[:, None])[:, 0]
        loss = F.cross_entropy(types + ILLEGAL * ~batch.types_legal, torch.where(legal_here, kind, -100), ignore_index=-100, reduction="none")
        tokens = tokens + ILLEGAL * ~batch.tokens_legal[batch.owner]
        tokens = tokens.masked_fill(self.token_type != kind[:, None], IMPOSSIBLE)
        legal_code = batch.tokens_legal[batch.owner].gather(1, batch.token[:, None])[:, 0]
        loss = loss + F.cross_entropy(tokens, torch.where(legal_code, batch.token, -100), ignore_index=-100, reduction="none")
        gaps, values = self.details(hidden, batch.token)
        loss = loss + F.cross_entropy(gaps + ILLEGAL * ~batch.gaps_legal, batch.gap, ignore_index=-1, reduction="none")
        for a, logits in enumerate(values):
            loss = loss + F.cross_entropy(logits, batch.attributes[:, a], ignore_index=-1, reduction="none")
        return loss
