"""How many threads linear algebra takes: one where matrices are small.

The libraries behind numpy and scipy share every product among all cores, and those that have
nothing to do wait by spinning. A triangular factor of a few hundred columns takes two idle cores
two to three times as long as one, and where something else keeps them busy twenty times.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import scipy.linalg  # noqa: F401  its library has to be there before it can be found
from threadpoolctl import ThreadpoolController

LARGE = 1500
"""Columns of a matrix from which on several threads are faster."""


@contextmanager
def threads_for(columns: int) -> Iterator[None]:
    """Linear algebra with matrices of so many columns: one thread, unless they are large."""
    if columns >= LARGE:
        yield
    else:
        with _libraries().limit(limits=1, user_api="blas"):
            yield


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()
