"""Progress: the steps of a training run as they go by, a bar on a terminal and lines elsewhere."""

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tqdm import tqdm


def progress() -> Callable[[int, int, dict[str, Any]], None]:
    """Return what to call with (step, steps, metrics): a bar on a terminal, a line every fiftieth elsewhere."""
    shown = ("loss", "reconstruction", "anchor", "mask", "target_variance", "effective_rank")
    bar: Any = None
    began: tuple[int, float] | None = None

    def step(done: int, total: int, metrics: dict[str, Any]) -> None:
        nonlocal bar, began
        began = began or (done, time.monotonic())
        parts = "  ".join(f"{name} {metrics[name]:.4g}" for name in shown if metrics[name] is not None)
        if sys.stderr.isatty():
            bar = bar or tqdm(total=total, initial=done - 1, desc="pretrain", unit=" steps", file=sys.stderr)
            bar.set_postfix_str(f"{parts}  wait {metrics['data_wait_s']:.3f} s")
            bar.update(1)
        elif done % max(1, total // 50) == 0 or done == total:
            speed = f"{metrics['samples_per_s']:.0f} windows/s"
            if done > began[0]:
                per_step = (time.monotonic() - began[1]) / (done - began[0])
                speed += f"  {timedelta(seconds=round(per_step * (total - done)))} left"
            print(f"step {done} of {total}  {parts}  {speed}", file=sys.stderr, flush=True)

    return step
