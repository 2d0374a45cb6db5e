"""Which tokens of a batch are seen, seen again in a second view, and to be reconstructed.

A token is one electrode in one time patch; its flat number is patch * electrodes + electrode.
"""

from dataclasses import dataclass
from itertools import count
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from manifests import keyed

Masking = Literal["published", "window", "fixed"]
SecondView = Literal["own_patch", "row_number"]

PUBLISHED_KEEP = 0.2
"""The share of the unseen electrodes of visible patches that the published masks reconstruct."""


@dataclass(frozen=True)
class Masks:
    """Flat token numbers: ``mask_x`` and ``mask_x2`` (M, K), a row per visible patch, and ``mask_y`` (Y,).

    Where each window has its own, all have windows (B,) as a further axis, the first.
    """

    mask_x: NDArray[np.int64]
    mask_x2: NDArray[np.int64]
    mask_y: NDArray[np.int64]


@dataclass(frozen=True)
class Rules:
    """How masks are drawn.

    To be reconstructed are at most ``targets[0]`` of the unseen tokens of visible patches and ``targets[1]`` of those
    of hidden patches: hidden ones are nearly unpredictable, and many of them drown what can be learned.
    ``targets=None`` is the published choice: all hidden tokens and a fifth of the unseen ones.

    ``masking`` ``published`` draws one mask; ``window`` one for each of some windows, all with as many visible
    patches, a number drawn as in a published mask, so that they stack; ``fixed`` one in which exactly half of the
    patches are visible, so that shapes never change. ``second_view`` ``row_number`` repeats a published slip: the
    i-th row's new tokens come from time patch i instead of the row's own.
    """

    targets: tuple[int, int] | None = (36, 12)
    masking: Masking = "published"
    second_view: SecondView = "own_patch"


OURS = Rules()


def visible_electrodes(num_electrodes: int) -> int:
    """Return how many electrodes a visible patch shows: 12 of 58, and the same share of any other number."""
    return max(1, round(12 / 58 * num_electrodes))


def draw(key: int, num_patches: int, num_electrodes: int, rules: Rules = OURS, windows: int = 1) -> Masks:
    """Return the masks of a key by some rules: a pure function of its arguments.

    Each time patch is visible with probability one half and then shows a few random electrodes. Masks are drawn again
    where no patch is visible, where no unseen token is a target, or, if patches show all their electrodes, where none
    of several is hidden. Raises ValueError for less than one patch, electrode or target in visible patches, or less
    than none in hidden ones.
    """
    if num_patches < 1 or num_electrodes < 1:
        raise ValueError(f"no masks of {num_patches} patches and {num_electrodes} electrodes")
    if rules.targets is not None and (rules.targets[0] < 1 or rules.targets[1] < 0):
        raise ValueError(f"targets {rules.targets}: at least 1 in visible patches and 0 in hidden ones")
    shape = _Shape(num_patches, num_electrodes, rules)
    if rules.masking == "fixed":
        return _place(key, shape, max(1, num_patches // 2))
    attempts = (_place(keyed.key(int(key), attempt), shape) for attempt in count())
    published = next(masks for masks in attempts if masks is not None)
    if rules.masking == "published":
        return published
    visible = len(published.mask_x)
    each = [_place(keyed.key(int(key), "window", window), shape, visible) for window in range(windows)]
    return Masks(*(np.stack([getattr(one, name) for one in each]) for name in ("mask_x", "mask_x2", "mask_y")))


@dataclass(frozen=True)
class _Shape:
    num_patches: int
    num_electrodes: int
    rules: Rules


@overload
def _place(key: int, shape: _Shape, num_visible: int) -> Masks: ...
@overload
def _place(key: int, shape: _Shape) -> Masks | None: ...
def _place(key: int, shape: _Shape, num_visible: int | None = None) -> Masks | None:
    """Return masks with so many visible patches; where that is left to chance, None if they break a rule of `draw`."""
    num_patches, num_electrodes, targets = shape.num_patches, shape.num_electrodes, shape.rules.targets
    chance_N = keyed.uniforms(keyed.key(key, "visible"), num_patches)
    visible_N = chance_N < 0.5 if num_visible is None else chance_N <= np.sort(chance_N)[num_visible - 1]
    seen = visible_electrodes(num_electrodes)
    nothing_unseen = seen == num_electrodes
    if not visible_N.any() or (nothing_unseen and visible_N.all() and num_patches > 1):
        return None
    tokens_NC = _shuffled_tokens(keyed.key(key, "electrodes"), num_patches, num_electrodes)
    unseen, hidden = tokens_NC[visible_N, seen:].ravel(), tokens_NC[~visible_N].ravel()
    if targets is not None:
        unseen = unseen[keyed.permutation(keyed.key(key, "unseen"), unseen.size)[: targets[0]]]
        hidden = hidden[keyed.permutation(keyed.key(key, "hidden"), hidden.size)[: targets[1]]]
    elif num_visible is None:
        unseen = unseen[keyed.uniforms(keyed.key(key, "keep"), unseen.size) < PUBLISHED_KEEP]
    else:
        kept = max(1, round(PUBLISHED_KEEP * unseen.size))
        unseen = unseen[keyed.permutation(keyed.key(key, "unseen"), unseen.size)[:kept]]
    if unseen.size == 0 and not nothing_unseen:
        return None
    mask_x = tokens_NC[visible_N, :seen]
    shift = min(_replaced(keyed.key(key, "view"), seen), num_electrodes - seen)
    if shape.rules.second_view == "own_patch":
        mask_x2 = tokens_NC[visible_N, shift : shift + seen]
    else:
        others_NC = _shuffled_tokens(keyed.key(key, "others"), num_patches, num_electrodes)[: len(mask_x)]
        known = (others_NC[:, :, None] == mask_x[:, None, :]).any(axis=2)
        new = np.take_along_axis(others_NC, np.argsort(known, axis=1, kind="stable"), axis=1)[:, :shift]
        mask_x2 = np.concatenate([mask_x[:, shift:], new], axis=1)
    return Masks(mask_x, mask_x2, mask_y=np.concatenate([hidden, unseen]))


def _shuffled_tokens(key: int, num_patches: int, num_electrodes: int) -> NDArray[np.int64]:
    """Return all token numbers, a row per patch, each row in an order of its own.

    As any stretch of a row is a random choice, view 1 is its beginning and view 2 a stretch that starts
    later: what they share and what differs is then random too, without repeats.
    """
    order = np.argsort(keyed.uniforms(key, num_patches * num_electrodes).reshape(num_patches, -1), axis=1)
    return order + np.arange(num_patches)[:, None] * num_electrodes


def _replaced(key: int, seen: int) -> int:
    """Return how many tokens of each row view 2 replaces.

    An overlap rho ~ U(0.2, 0.8) of two equal sets, as intersection over union, is a shared part of
    2 rho / (1 + rho) of either; the published code jitters it by 0.05 and caps it at 0.95.
    """
    overlap, jitter = keyed.uniforms(key, 2) * [0.6, 0.1] + [0.2, -0.05]
    shared = np.clip(2 * overlap / (1 + overlap) + jitter, 0.0, 0.95)
    return seen - round(seen * float(shared))
