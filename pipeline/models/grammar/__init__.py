"""Legality of an event log, from its declaration alone: what may follow, and what a finished log
breaks.
"""

from pipeline.models.grammar.rules import Grammar
from pipeline.models.grammar.violations import violations
from pipeline.models.grammar.walk import NEVER, Options, Walk, open_tokens, options, start, step

__all__ = [
    "NEVER",
    "Grammar",
    "Options",
    "Walk",
    "open_tokens",
    "options",
    "start",
    "step",
    "violations",
]
