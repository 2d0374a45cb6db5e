"""Log: where the metrics of a run go: metrics.jsonl, TensorBoard and, if asked for, W&B and MLflow."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from tqdm import tqdm

from dare_eeg.training.config import PretrainConfig
from manifests.atomic_io import write_bytes
from manifests.errors import DareError

Write = Callable[[dict[str, Any]], None]

PROJECT = "dare-eeg"
"""The project of W&B and the experiment of MLflow, where their own variables name none."""

LEFT_S = 30.0
"""How long a run that has ended waits for a tracker to take what is left."""


def refuse_absent(config: PretrainConfig) -> None:
    """Raise DareError for a tracker that was asked for and is not installed."""
    for name in config.log:
        if find_spec(name) is None:
            raise DareError(f"--log {name}: {name} is not installed; pip install {name}")


@contextmanager
def log(config: PretrainConfig, done: int) -> Iterator[Write]:
    """Yield what takes the metrics of each step after ``done`` steps; for one process of a job only.

    What had been logged after ``done``, which no checkpoint knows of, is dropped or not sent again.
    """
    from torch.utils.tensorboard import SummaryWriter

    run = Path(config.out)
    logged = _cut(run / "metrics.jsonl", done)
    with ExitStack() as stack:
        stream = stack.enter_context((run / "metrics.jsonl").open("a"))
        board = stack.enter_context(closing(SummaryWriter(str(run / "tensorboard"), purge_step=done + 1)))
        trackers = [stack.enter_context(_Tracker(name, config, done, logged)) for name in config.log]

        def write(metrics: dict[str, Any]) -> None:
            stream.write(json.dumps(metrics) + "\n")
            stream.flush()
            flat = metrics | {f"valid/{name}": value for name, value in metrics.get("valid", {}).items()}
            numbers = {name: value for name, value in flat.items() if isinstance(value, float)}
            for name, value in numbers.items():
                board.add_scalar(name, value, metrics["step"])
            for tracker in trackers:
                tracker.write(metrics["step"], numbers)

        yield write


class _Tracker(Thread):
    """Hands metrics on in a thread of its own, so that no step waits for a server.

    What fails is said once, above a bar where there is one; training knows nothing of it. A run that is resumed goes
    on under the id that its folder keeps.
    """

    def __init__(self, name: str, config: PretrainConfig, done: int, logged: int) -> None:
        super().__init__(name=name, daemon=True)
        self._config, self._kept = config, Path(config.out) / f"{name}.id"
        self._known = self._kept.read_text() if done and self._kept.exists() else None
        self._sent = logged if self._known else done
        self._lines: SimpleQueue[Any] = SimpleQueue()
        self._said = False

    def write(self, step: int, metrics: dict[str, float]) -> None:
        if step > self._sent and self.is_alive():
            self._lines.put((step, metrics))

    def run(self) -> None:
        try:
            run_id, send, end = _START[self.name](self._config, self._known)
            write_bytes(self._kept, run_id.encode())
            while not isinstance(line := self._lines.get(), bool):
                step, metrics = line
                send(metrics, step=step)
            end(line)
        except Exception as problem:
            self._say((str(problem).strip() or type(problem).__name__).splitlines()[0][:200])

    def _say(self, reason: str) -> None:
        if not self._said:
            self._said = True
            told = f"{self.name} takes no more metrics ({reason}); training is unharmed, metrics.jsonl has all"
            tqdm.write(told, sys.stderr)

    def __enter__(self) -> "_Tracker":
        self.start()
        return self

    def __exit__(self, kind: object, *problem: object) -> None:
        self._lines.put(kind is None)
        self.join(LEFT_S)
        if self.is_alive():
            self._say(f"no answer {LEFT_S:g} s after the last step")


Started = tuple[str, Callable[..., Any], Callable[[bool], Any]]
"""The id of a run, what takes (metrics, step=), and what takes whether the run ended well."""


def _wandb(config: PretrainConfig, known: str | None) -> Started:
    import wandb

    fields = None if known else config.as_json()
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT), name=Path(config.out).name, dir=config.out, config=fields,
        id=known, resume="allow" if known else None, settings=wandb.Settings(console="off", quiet=True),
    )  # fmt: skip
    return run.id, run.log, lambda whole: run.finish(exit_code=0 if whole else 1)


def _mlflow(config: PretrainConfig, known: str | None) -> Started:
    if "MLFLOW_EXPERIMENT_ID" not in os.environ:
        os.environ.setdefault("MLFLOW_EXPERIMENT_NAME", PROJECT)
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    import mlflow

    run = mlflow.start_run(known, run_name=Path(config.out).name)
    if not known:
        mlflow.log_params(config.as_json())
    return run.info.run_id, mlflow.log_metrics, lambda whole: mlflow.end_run("FINISHED" if whole else "FAILED")


_START = {"wandb": _wandb, "mlflow": _mlflow}


def _cut(path: Path, step: int) -> int:
    """Drop the lines of metrics.jsonl after a step; return the last step there was."""
    if not path.exists():
        return 0
    lines = [line for line in path.read_text().splitlines() if line.endswith("}")]
    steps = [int(json.loads(line)["step"]) for line in lines]
    kept = [line for line, at in zip(lines, steps, strict=True) if at <= step]
    write_bytes(path, "".join(f"{line}\n" for line in kept).encode())
    return max(steps, default=0)
