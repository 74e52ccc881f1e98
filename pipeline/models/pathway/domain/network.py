"""The network: state and static row, one hidden layer, heads for type, code, waiting time and
attributes; a memory where it is recurrent.

Only Linear, Embedding, EmbeddingBag and GhostGru layers hold weights, so that gradients are clipped
per patient without being made (pipeline/dp/ghost.py). Illegal choices get -15 in training (a source
may hold one) and are impossible in sampling.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.dp.recurrent import GhostGru
from pipeline.models.pathway.domain.batch import Batch
from pipeline.models.pathway.domain.coding import Coding
from pipeline.models.pathway.domain.race import race as race_of

ILLEGAL = -15.0
IMPOSSIBLE = -1e9
NEAR_END = 366  # days before the end of observation from which waiting times may pass it
PER_PATIENT = ("statics",)  # layers whose rows are patients


class PathwayNetwork(nn.Module):
    """Logits of the next event, but for codes and attributes that counted heads give. About 90k
    weights on the cancer registry's vocabulary.

    recurrent: a GRU over the states so far joins the hidden layer. It reads what the hidden layer
        reads, so that a row's memory holds the patient's events before the row's own, which is to
        be predicted, and no others.
    """

    def __init__(self, coding: Coding, width: int, recurrent: bool) -> None:
        super().__init__()
        g = coding.grammar
        self.n_types, self.n_tokens, self.n_gaps = g.n_types, g.n_tokens, len(coding.gaps.edges)
        self.learned_attributes = coding.learned_attributes
        self.sizes = [coding.attributes[a].size for a in self.learned_attributes]
        self.events = nn.EmbeddingBag(sum(coding.ranges), width, mode="sum")
        self.statics = nn.EmbeddingBag(
            max(sum(c.size for c in coding.statics), 1), width, mode="sum"
        )
        self.choice = nn.Linear(width, g.n_types + len(coding.learned_tokens))
        self.follows = nn.Embedding(g.n_tokens + 1, g.n_types)
        self.detail = nn.Linear(width, width)
        self.chosen = nn.Embedding(g.n_tokens, width)
        self.values = nn.Linear(width, self.n_gaps + sum(self.sizes))
        self.token_type: Tensor
        self.register_buffer("token_type", torch.from_numpy(g.token_type).long(), persistent=False)
        self.learned_tokens: Tensor
        self.register_buffer(
            "learned_tokens", torch.from_numpy(coding.learned_tokens), persistent=False
        )
        self.rhythms: Tensor  # log chances of waiting times from noisy counts: given, not learned
        self.register_buffer("rhythms", torch.zeros(coding.n_rhythm_rows, self.n_gaps))
        self._hold_returns(coding)
        self.once: Tensor
        self.register_buffer("once", torch.from_numpy(np.flatnonzero(g.once)), persistent=False)
        legal = np.concatenate(
            [np.ones(0, bool), *(coding.attributes[a].legal for a in self.learned_attributes)]
        )
        self.values_legal: Tensor
        self.register_buffer("values_legal", torch.from_numpy(legal), persistent=False)
        self.rhythm_kinds = coding.rhythm_kinds
        last = coding.grammar.last_token if coding.end_offsets else None
        self.last_type = None if last is None else int(g.token_type[last])
        bins = np.stack([coding.gaps.first, coding.gaps.last + 1], axis=1)
        self.bins: Tensor
        self.register_buffer("bins", torch.from_numpy(bins).float(), persistent=False)
        self.steps = {  # attribute -> (its place among the steps, which values are near which)
            s.place: (number, torch.from_numpy(s.near)) for number, s in enumerate(coding.steps)
        }
        for layer in (self.events, self.statics, self.chosen):
            nn.init.normal_(layer.weight, std=0.1)
        nn.init.zeros_(self.follows.weight)
        for head in (self.choice, self.values):
            nn.init.normal_(head.weight, std=0.05)
            nn.init.zeros_(head.bias)
        self.memory: GhostGru | None = None
        if recurrent:  # made last: all other weights start as without it
            self.memory = GhostGru(width, width)

    def _hold_returns(self, coding: Coding) -> None:
        self.returning = list(coding.returns)
        self.returns: Tensor
        if coding.returns:  # shares of returns by their days, from noisy counts: given, not learned
            self.register_buffer("returns", torch.zeros(len(coding.returns), self.n_gaps))

    def hidden(self, features: Tensor, statics: Tensor, owner: Tensor) -> Tensor:
        """[r, width] in training: all rows at once. features [r, F], statics [p, S], owner [r]."""
        state = self.events(features)
        state = state + self.statics(statics)[owner] if statics.shape[1] else state
        return torch.tanh(state if self.memory is None else state + self.memory(state, owner))

    def blank_memory(self, n: int) -> Tensor:
        """The memory of n pathways before their first event, [n, M]; M is 0 where the network is
        not recurrent.
        """
        return torch.zeros(
            n,
            self.memory.hidden_features if self.memory is not None else 0,
            device=self.choice.weight.device,
        )

    def next_hidden(
        self, features: Tensor, condition: Tensor, memory: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(`hidden` of one more row of each of n pathways [n, width], the memory after it [n, M]),
        in drawing.

        features [n, F]; condition [n, width]: the embedded static rows, or zeros [n, 1]; memory [n,
        M] after the pathways' rows before.
        """
        state = self.events(features) + condition
        if self.memory is None:
            return torch.tanh(state), memory
        memory = self.memory.step(state, memory)
        return torch.tanh(state + memory), memory

    def choices(self, hidden: Tensor, before: Tensor, race: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits of types [r, T] and, within a type, of the learned tokens [r, L]. race: see
        `race`.
        """
        types, tokens = self.choice(hidden).tensor_split([self.n_types], dim=1)
        types = types + self.follows(before)
        if race is not None:
            types = types.index_add(
                1, torch.tensor(self.returning, device=types.device), race.logsumexp(2)
            )
        return types, tokens

    @torch.no_grad()
    def race(self, since: Tensor) -> Tensor | None:
        """Log chances [r, R, G] that each type that returns is the next of them, and when; 0 before
        the first event. None where no returns are counted. since [r, R]: days since its last event,
        -1 before the first event.
        """
        if not self.returning:
            return None
        edges = torch.cat([self.bins[:, 0], self.bins[-1:, 1]])
        chances = race_of(self.returns, edges, since.clamp(min=0).long())
        chances = chances - chances.logsumexp((1, 2), keepdim=True)
        return torch.where((since >= 0)[..., None], chances, 0.0)

    @torch.no_grad()
    def end_offsets(
        self,
        types: Tensor,
        legal: Tensor,
        hidden: Tensor,
        days_left: Tensor,
        ahead: Tensor,
        race: Tensor | None,
    ) -> Tensor:
        """What joins the logits of the types [r, T] near the end of observation; 0 far from it.

        A type is chosen before its waiting time. One whose own waiting time would pass the end is
        not seen, and the end is: without this, what comes after the end would crowd before it.
        The offsets are given, not learned: no gradient flows through them.
        """
        answer = torch.zeros(len(hidden), self.n_types, device=hidden.device)
        near = torch.nonzero(days_left < NEAR_END)[:, 0]
        if self.last_type is None or not len(near):
            return answer
        in_time = self._in_time(
            hidden[near], days_left[near], ahead[near], None if race is None else race[near]
        )
        chances = (types[near] + ILLEGAL * ~legal[near]).softmax(1)
        late = (chances * (1 - in_time)).sum(1)
        answer[near] = in_time.log()
        end = torch.log1p(late / chances[:, self.last_type].clamp(min=1e-6))
        answer[near, self.last_type] = torch.where(legal[near, self.last_type], end, 0.0)
        return answer

    def _in_time(
        self, hidden: Tensor, days_left: Tensor, ahead: Tensor, race: Tensor | None
    ) -> Tensor:
        """The chances [r, T] that an event of each type comes before the end of observation, by the
        waiting times of the type's average code; 1 for the end itself.
        """
        sums = torch.zeros(self.n_types, self.chosen.weight.shape[1], device=hidden.device)
        sums.index_add_(0, self.token_type, self.chosen.weight)
        mean = sums / torch.bincount(self.token_type, minlength=self.n_types)[:, None]
        state = F.linear(hidden, self.detail.weight, self.detail.bias)
        both = torch.tanh(state[:, None] + mean)  # [r, T, width]
        gaps = F.linear(both, self.values.weight[: self.n_gaps], self.values.bias[: self.n_gaps])
        for place, kind in enumerate(self.rhythm_kinds):
            gaps[:, kind] += self.rhythms[ahead[:, place]]
        if race is not None:
            gaps[:, self.returning] += race
        first, after = self.bins.unbind(1)
        share = ((days_left[:, None] + 1 - first) / (after - first)).clamp(0, 1)  # [r, G]
        in_time = (gaps.softmax(2) * share[:, None]).sum(2).clamp(min=1e-6)
        in_time[:, self.last_type] = 1.0
        return in_time

    def details(
        self, hidden: Tensor, token: Tensor, rhythm: Tensor, race: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Logits of waiting times [r, G] and of each learned attribute, [r, its size]. rhythm [r]:
        rows of the counted rhythms; race: see `race`.
        """
        gaps, values = self.values(torch.tanh(self.detail(hidden) + self.chosen(token))).split(
            [self.n_gaps, sum(self.sizes)], dim=1
        )
        gaps = gaps + self.rhythms[rhythm]
        if race is not None:
            kind = self.token_type[token]
            for number, t in enumerate(self.returning):
                gaps = gaps + race[:, number] * (kind == t)[:, None]
        return gaps, (
            list((values + ILLEGAL * ~self.values_legal).split(self.sizes, dim=1))
            if self.sizes
            else []
        )

    def row_losses(self, batch: Batch) -> Tensor:
        """Negative log-likelihood of each event times its weight, [r]; parts that are -1, or
        illegal in this row, count nothing.
        """
        hidden = self.hidden(batch.features, batch.statics, batch.owner)
        race = self.race(batch.since)
        types, tokens = self.choices(hidden, batch.before, race)
        legal = batch.types_legal
        types = types + self.end_offsets(types, legal, hidden, batch.days_left, batch.ahead, race)
        kind = self.token_type[batch.token]
        legal_here = batch.types_legal.gather(1, kind[:, None])[:, 0]
        loss = F.cross_entropy(
            types + ILLEGAL * ~batch.types_legal,
            torch.where(legal_here, kind, -100),
            ignore_index=-100,
            reduction="none",
        )
        if len(self.learned_tokens):
            loss = loss + self._code_losses(tokens, batch)
        gaps, values = self.details(hidden, batch.token, batch.rhythm, race)
        loss = loss + F.cross_entropy(
            gaps + ILLEGAL * ~batch.gaps_legal, batch.gap, ignore_index=-1, reduction="none"
        )
        for a, logits in zip(self.learned_attributes, values, strict=True):
            if a in self.steps:
                number, near = self.steps[a]
                logits = logits + ILLEGAL * ~near.to(logits.device)[batch.level[:, number]]
            loss = loss + F.cross_entropy(
                logits, batch.attributes[:, a], ignore_index=-1, reduction="none"
            )
        return loss * batch.weight

    def _code_losses(self, tokens: Tensor, batch: Batch) -> Tensor:
        """[r]; 0 where the type's codes are not learned here."""
        legal = batch.tokens_legal[batch.owner]
        if batch.used_up.shape[1]:
            legal[:, self.once] &= ~batch.used_up
        place = torch.searchsorted(self.learned_tokens, batch.token).clamp(
            max=len(self.learned_tokens) - 1
        )
        learned = (self.learned_tokens[place] == batch.token) & legal.gather(
            1, batch.token[:, None]
        )[:, 0]
        other_type = self.token_type[self.learned_tokens] != self.token_type[batch.token][:, None]
        logits = (tokens + ILLEGAL * ~legal[:, self.learned_tokens]).masked_fill(
            other_type, IMPOSSIBLE
        )
        return F.cross_entropy(
            logits, torch.where(learned, place, -100), ignore_index=-100, reduction="none"
        )
