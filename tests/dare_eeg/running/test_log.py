"""The log of a run: the same numbers in metrics.jsonl, TensorBoard, W&B and MLflow, each once, whatever fails."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dare_eeg.data.shards import training_sets
from dare_eeg.training import config as configs
from dare_eeg.training import pretrain as training
from tests.commands import Answer, dare, unusable
from tests.dare_eeg.sets import NANO, metrics_of

pytestmark = pytest.mark.slow

STEPS = 6
TIMED = {"samples_per_s", "data_wait_s"}
BLOCK, HEADER = 32768, 7
"""Of the files of a W&B run: records stand in blocks, each part of one behind a header, as in LevelDB's logs."""


@pytest.fixture(autouse=True, scope="module")
def _nothing_leaves_the_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "WANDB_MODE": "offline",
            "WANDB_SILENT": "true",
            "MLFLOW_ALLOW_FILE_STORE": "true",
            "MLFLOW_TRACKING_URI": tmp_path_factory.mktemp("mlruns").as_uri(),
            "MLFLOW_EXPERIMENT_NAME": "sleepers",
        }.items():
            patch.setenv(name, value)
        yield


def pretrain(shards: Path, run: Path, *options: object) -> Answer:
    plan = ("--steps", STEPS, "--checkpoint-every", 2)
    return dare("pretrain", "--shards", shards, "--out", run, *NANO, *plan, *options)


@pytest.fixture(scope="module")
def run(_nothing_leaves_the_machine: None, four_electrodes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that ended after step 3, of which the checkpoint of step 2 knows nothing, and was resumed."""
    pytest.importorskip("mlflow")
    pytest.importorskip("wandb")
    folder = tmp_path_factory.mktemp("logged") / "run"

    def interrupt(step: int, _steps: int, _metrics: dict[str, Any]) -> None:
        if step == 3:
            raise KeyboardInterrupt

    def ids() -> list[str]:
        return [(folder / f"{name}.id").read_text() for name in ("mlflow", "wandb")]

    given = {"shards": str(four_electrodes), "out": str(folder), "size": "nano", "steps": STEPS, "checkpoint_every": 2}
    config = configs.load(None, given | {"global_batch": 8, "micro_batch": 4, "log": ("mlflow", "wandb")})
    with pytest.raises(KeyboardInterrupt):
        training.pretrain(config, training_sets(four_electrodes), interrupt)
    assert [line["step"] for line in metrics_of(folder)] == [1, 2, 3]
    before = ids()
    answer = dare("pretrain", "--config", folder / "config.toml", "--resume")
    assert answer.status == 0, answer.err
    assert "takes no more metrics" not in answer.err
    assert ids() == before
    return folder


def expected(run: Path) -> dict[str, dict[int, float]]:
    """Return by name the numbers of metrics.jsonl by step, those of validation behind a prefix."""
    numbers: dict[str, dict[int, float]] = {}
    for line in (json.loads(text) for text in (run / "metrics.jsonl").read_text().splitlines()):
        flat = line | {f"valid/{name}": value for name, value in line.pop("valid", {}).items()}
        step = flat.pop("step")
        for name, value in flat.items():
            if value is not None:
                numbers.setdefault(name, {})[step] = value
    assert list(numbers["loss"]) == list(range(1, STEPS + 1))
    assert list(numbers["valid/loss"]) == [2, 4, 6]
    return numbers


@pytest.mark.slow
def test_mlflow_has_every_number_once(run: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    client, run_id = mlflow.MlflowClient(), (run / "mlflow.id").read_text()
    kept = client.get_run(run_id)
    assert client.get_experiment(kept.info.experiment_id).name == "sleepers"
    assert (kept.info.run_name, kept.info.status) == ("run", "FINISHED")
    assert {name: kept.data.params[name] for name in ("size", "global_batch")} == {"size": "nano", "global_batch": "8"}
    wanted = expected(run)
    assert set(kept.data.metrics) == set(wanted)
    for name, by_step in wanted.items():
        history = [(one.step, one.value) for one in client.get_metric_history(run_id, name)]
        assert [step for step, _ in history] == list(by_step)
        # Step 3 was sent when it was first done, and metrics.jsonl tells of the second time; only speeds differ.
        assert name in TIMED or dict(history) == pytest.approx(by_step)


def test_wandb_has_every_number_once(run: Path) -> None:
    files = sorted((run / "wandb").glob(f"offline-run-*/run-{(run / 'wandb.id').read_text()}.wandb"))
    assert len(files) == 2
    records = [record for file in files for record in wandb_records(file)]
    config = next(record.run.config for record in records if record.HasField("run"))
    assert {update.key: json.loads(update.value_json) for update in config.update}["global_batch"] == 8
    history: dict[str, list[tuple[int, float]]] = {}
    for record in records:
        if record.HasField("history"):
            row = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            for name in row.keys() - {"_step", "_timestamp", "_runtime"}:
                history.setdefault(name, []).append((int(row["_step"]), row[name]))
    wanted = expected(run)
    assert history.keys() == wanted.keys()
    for name, by_step in wanted.items():
        assert [step for step, _ in history[name]] == list(by_step)
        assert name in TIMED or dict(history[name]) == pytest.approx(by_step)


def wandb_records(file: Path) -> Iterator[Any]:
    """Yield what a run of W&B wrote without its server."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, position, parts = file.read_bytes(), HEADER, b""
    assert content[:4] == b":W&B"
    while position + HEADER <= len(content):
        if BLOCK - position % BLOCK < HEADER:
            position += BLOCK - position % BLOCK
            continue
        length, kind = int.from_bytes(content[position + 4 : position + 6], "little"), content[position + 6]
        position += HEADER
        parts += content[position : position + length]
        position += length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""


def test_tensorboard_shows_every_number_once(run: Path) -> None:
    board = EventAccumulator(str(run / "tensorboard"))
    board.Reload()
    for name, by_step in expected(run).items():
        shown = [(event.step, event.value) for event in board.Scalars(name)]
        assert [step for step, _ in shown] == list(by_step)
        assert dict(shown) == pytest.approx(by_step, rel=1e-6)


def test_a_tracker_that_fails_midway_is_spoken_of_once_and_harms_nothing(
    four_electrodes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    true_log = mlflow.log_metrics

    def log(metrics: dict[str, float], step: int) -> None:
        if step == 2:
            raise ConnectionError("no route to host")
        true_log(metrics, step=step)

    monkeypatch.setattr(mlflow, "log_metrics", log)
    answer = pretrain(four_electrodes, tmp_path / "run", "--log", "mlflow", "--steps", 2)
    assert answer.status == 0
    (told,) = [line for line in answer.err.splitlines() if line.startswith("mlflow")]
    assert re.fullmatch(r"mlflow takes no more metrics \(no route to host\); training .*", told)
    assert len(metrics_of(tmp_path / "run")) == 2


def test_a_tracker_that_cannot_be_reached_harms_nothing(
    four_electrodes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    answer = pretrain(four_electrodes, tmp_path / "run", "--log", "mlflow", "--steps", 2)
    assert answer.status == 0
    assert answer.err.count("mlflow takes no more metrics (") == 1
    assert len(metrics_of(tmp_path / "run")) == 2


@pytest.mark.parametrize("tracker", ["wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_refused_before_any_training(
    four_electrodes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracker: str
) -> None:
    monkeypatch.setitem(sys.modules, tracker, None)
    answer = pretrain(four_electrodes, tmp_path / "run", "--log", tracker)
    unusable(answer, f"--log {tracker}: {tracker} is not installed; pip install {tracker}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("spoil", "number"),
    [
        (lambda content: b"\xff\xfe" + content, 1),
        (lambda content: content + b"x}", 3),
        (lambda content: content + b'{"a": 1}\n', 3),
        (lambda content: b"[]\n" + content, 1),
        (lambda content: b'{"step": 1e999}\n' + content, 1),
    ],
)
def test_metrics_that_are_none_are_named_by_their_line(
    four_electrodes: Path, tmp_path: Path, spoil: Callable[[bytes], bytes], number: int
) -> None:
    folder = tmp_path / "run"
    assert pretrain(four_electrodes, folder, "--stop-after", 2).status == 0
    metrics = folder / "metrics.jsonl"
    whole = metrics.read_bytes()
    metrics.write_bytes(spoil(whole))
    resume = ("pretrain", "--config", folder / "config.toml", "--resume")
    unusable(dare(*resume), f"dare: {metrics}: line {number} holds no metrics of a step; delete that line")
    metrics.write_bytes(whole + b'{"step": 3, "lo')
    assert dare(*resume).status == 0
    assert [line["step"] for line in metrics_of(folder)] == [1, 2, 3, 4, 5, 6]
