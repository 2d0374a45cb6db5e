"""Progress: the steps of a training run as they go by, a bar on a terminal and lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from tqdm import tqdm

_TIMED = 5
"""Steps after which the time to go is told where the first line of the progress is far."""

_BAR = "{percentage:3.0f} % |{bar:10}| {n}/{total}{postfix}"


@contextmanager
def progress() -> Iterator[Callable[[int, int, dict[str, Any]], None]]:
    """Yield what to call with (step, steps, metrics): a bar on a terminal, a line every fiftieth elsewhere.

    Each tells the loss, the time left, the speed of the step, the share of the time so far in which the step waited
    for data, and the parts of the loss.
    """
    bar: Any = None
    left = timedelta()
    began: tuple[int, float] | None = None
    waited = 0.0

    def step(done: int, total: int, metrics: dict[str, Any]) -> None:
        nonlocal bar, began, waited, left
        every = max(1, total // 50)
        told = [f"loss {metrics['loss']:.4g}", f"{metrics['samples_per_s']:.0f} windows/s"]
        if began is None:  # the first step pays for much that the others do not
            began = done, time.monotonic()
        else:
            waited += metrics["data_wait_s"]
            elapsed_s = time.monotonic() - began[1]
            left = timedelta(seconds=round(elapsed_s / (done - began[0]) * (total - done)))
            told[1:] = [f"{left} left", told[1], f"{waited / elapsed_s:.0%} waiting"]
        parts = ("reconstruction", "anchor", "mask", "target_variance", "effective_rank")
        told += [f"{name.replace('_', ' ')} {metrics[name]:.4g}" for name in parts if metrics[name] is not None]
        if sys.stderr.isatty():
            bar = bar or tqdm(total=total, initial=done - 1, bar_format=_BAR, dynamic_ncols=True, file=sys.stderr)
            bar.set_postfix_str("  ".join(told), refresh=False)
            bar.update(1)
        elif done - began[0] == _TIMED and -done % every > _TIMED:
            print(f"{left} to go, by {_TIMED} timed steps, validation not counted", file=sys.stderr, flush=True)
        elif done % every == 0 or done == total:
            print(f"step {done} of {total}  {'  '.join(told)}", file=sys.stderr, flush=True)

    try:
        yield step
    finally:
        if bar:
            bar.close()
