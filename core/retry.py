"""How long to wait before trying again."""

from __future__ import annotations

import random
from collections.abc import Iterator


def backoff(
    first_s: float = 0.2, top_s: float = 15.0, *, jitter: random.Random | None = None
) -> Iterator[float]:
    """Endless waits in seconds: doubling from ``first_s`` to ``top_s``, each between half of it and all of it.

    >>> from itertools import islice
    >>> all(w <= 1.0 for w in islice(backoff(0.5, 1.0), 5))
    True
    """
    source = jitter or random.Random()
    wait = first_s
    while True:
        yield wait * (0.5 + source.random() / 2)
        wait = min(wait * 2, top_s)
