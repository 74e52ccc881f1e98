"""The stated reasons why a command stops: a refusal, and a service that does not answer now."""

from __future__ import annotations


class Refusal(ValueError):
    """Raised where we refuse: bad input, no budget, not approved. Once more would be refused, too.

    The message is shown to the person who asked and stands in task logs, so it says what is wrong,
    where, and what to do, and never quotes a value of a patient's row. Whoever raises it vouches
    for that; a library's exception, whatever its type, is never a refusal.
    """


class Unavailable(RuntimeError):
    """Raised where a database, a store or a server does not answer now, or lost a race: once more
    may succeed, so a task is tried again. The message is shown as that of a Refusal is.
    """
