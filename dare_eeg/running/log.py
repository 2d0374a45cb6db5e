"""Log: where the metrics of a run go: metrics.jsonl, TensorBoard and, if asked for, W&B and MLflow."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from tqdm import tqdm

from manifests.atomic_io import write_bytes
from manifests.errors import DamagedError, MissingError

Write = Callable[[dict[str, Any]], None]

PROJECT = "dare-eeg"
"""The project of W&B and the experiment of MLflow, where their own variables name none."""

LEFT_S = 30.0
"""How long a run that has ended waits for a tracker to take what is left."""


def refuse_absent(trackers: Sequence[str]) -> None:
    """Raise MissingError for a tracker that was asked for and is not installed."""
    for name in trackers:
        if find_spec(name) is None:
            raise MissingError(f"{name} is not installed", path=f"--log {name}", remedy=f"pip install {name}")


@contextmanager
def log(run: Path, trackers: Sequence[str], fields: Mapping[str, Any], done: int) -> Iterator[Write]:
    """Yield what takes the metrics of each step after ``done`` steps; for one process of a job only.

    They go into the folder of the run and to some trackers, which learn its config, ``fields``, as it begins. What had
    been logged after ``done``, which no checkpoint knows of, is dropped or not sent again.
    """
    from torch.utils.tensorboard import SummaryWriter

    logged = _cut(run / "metrics.jsonl", done)
    with ExitStack() as stack:
        stream = stack.enter_context((run / "metrics.jsonl").open("a"))
        board = stack.enter_context(closing(SummaryWriter(str(run / "tensorboard"), purge_step=done + 1)))
        threads = [stack.enter_context(_Tracker(name, run, fields, done, logged)) for name in trackers]

        def write(metrics: dict[str, Any]) -> None:
            stream.write(json.dumps(metrics) + "\n")
            stream.flush()
            flat = metrics | {f"valid/{name}": value for name, value in metrics.get("valid", {}).items()}
            numbers = {name: value for name, value in flat.items() if isinstance(value, float)}
            for name, value in numbers.items():
                board.add_scalar(name, value, metrics["step"])
            for thread in threads:
                thread.write(metrics["step"], numbers)

        yield write


class _Tracker(Thread):
    """Hands metrics on in a thread of its own, so that no step waits for a server.

    What fails is told once, above a bar where there is one, and does not reach training. A run that is resumed goes on
    under the id that its folder keeps.
    """

    def __init__(self, name: str, run: Path, fields: Mapping[str, Any], done: int, logged: int) -> None:
        super().__init__(name=name, daemon=True)
        self._folder, self._fields, self._id_file = run, fields, run / f"{name}.id"
        self._known = self._id_file.read_text() if done and self._id_file.exists() else None
        self._sent = logged if self._known else done
        self._lines: SimpleQueue[Any] = SimpleQueue()
        self._told = False

    def write(self, step: int, metrics: dict[str, float]) -> None:
        if step > self._sent and self.is_alive():
            self._lines.put((step, metrics))

    def run(self) -> None:
        try:
            run_id, send, end = _START[self.name](self._folder, self._fields, self._known)
            write_bytes(self._id_file, run_id.encode())
            while not isinstance(line := self._lines.get(), bool):
                step, metrics = line
                send(metrics, step=step)
            end(line)
        except Exception as problem:
            self._tell((str(problem).strip() or type(problem).__name__).splitlines()[0][:200])

    def _tell(self, reason: str) -> None:
        if not self._told:
            self._told = True
            told = f"{self.name} takes no more metrics ({reason}); training is unharmed, metrics.jsonl has all"
            tqdm.write(told, sys.stderr)

    def __enter__(self) -> "_Tracker":
        self.start()
        return self

    def __exit__(self, kind: object, *problem: object) -> None:
        self._lines.put(kind is None)
        self.join(LEFT_S)
        if self.is_alive():
            self._tell(f"no answer {LEFT_S:g} s after the last step")


Started = tuple[str, Callable[..., Any], Callable[[bool], Any]]
"""The id of a run, what takes (metrics, step=), and what takes whether the run ended well."""


def _wandb(folder: Path, fields: Mapping[str, Any], known: str | None) -> Started:
    import wandb

    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT), name=folder.name, dir=str(folder),
        config=None if known else dict(fields), id=known, resume="allow" if known else None,
        settings=wandb.Settings(console="off", quiet=True),
    )  # fmt: skip
    return run.id, run.log, lambda ended_well: run.finish(exit_code=0 if ended_well else 1)


def _mlflow(folder: Path, fields: Mapping[str, Any], known: str | None) -> Started:
    if "MLFLOW_EXPERIMENT_ID" not in os.environ:
        os.environ.setdefault("MLFLOW_EXPERIMENT_NAME", PROJECT)
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    import mlflow

    run = mlflow.start_run(known, run_name=folder.name)
    if not known:
        mlflow.log_params(dict(fields))
    return (
        run.info.run_id,
        mlflow.log_metrics,
        lambda ended_well: mlflow.end_run("FINISHED" if ended_well else "FAILED"),
    )


_START = {"wandb": _wandb, "mlflow": _mlflow}


def _cut(path: Path, step: int) -> int:
    """Drop the lines of metrics.jsonl after a step, and a last one that a kill cut short; return the last step."""
    if not path.exists():
        return 0
    *lines, last = path.read_bytes().split(b"\n")
    if last.endswith(b"}"):
        lines.append(last)
    steps = [_step(path, number, line) for number, line in enumerate(lines, 1)]
    kept = [line for line, at in zip(lines, steps, strict=True) if at <= step]
    write_bytes(path, b"".join(line + b"\n" for line in kept))
    return max(steps, default=0)


def _step(path: Path, number: int, line: bytes) -> int:
    """Return the step of a line of metrics.jsonl; DamagedError where it has none."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError, OverflowError) as problem:
        reason = f"line {number} holds no metrics of a step"
        raise DamagedError(reason, path=path, remedy="delete that line: a run goes on without it") from problem
