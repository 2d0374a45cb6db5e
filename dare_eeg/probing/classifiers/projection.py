"""Projection: rows of very many numbers become shorter ones, nearly as far from each other as they were."""

from typing import Any

import numpy as np

from manifests import keyed

MOST = 5000
"""Numbers of a row beyond which it is projected, and those it has then."""

_TIMES = 8  # that each number enters, once in each eighth of the shorter row


def projection(numbers: int) -> Any:
    """Return a keyed sparse matrix, ``numbers`` × `MOST`, float32, by which rows are multiplied from the right.

    Each number enters with a random sign in a random place of every block of places (Kane and Nelson 2014).
    """
    from scipy.sparse import csr_matrix

    drawn = keyed.integers(keyed.key("projection", numbers, MOST), np.arange(numbers * _TIMES))
    block = MOST // _TIMES
    places = (drawn >> np.uint64(1)) % np.uint64(block) + np.tile(np.arange(_TIMES, dtype=np.uint64) * block, numbers)
    signs = np.where(drawn & np.uint64(1), 1.0, -1.0).astype(np.float32) / np.float32(np.sqrt(_TIMES))
    return csr_matrix((signs, places.astype(np.int32), np.arange(numbers + 1) * _TIMES), shape=(numbers, MOST))
