"""The whole road on real recordings: shards, pretraining, probe, and what the probe must beat.

    python benchmarks/real_run.py --real DIR --out DIR [--steps N]

``--real`` holds the folders ``eegmmidb`` and ``eegmat`` (PhysioNet). Every stage is the ``dare`` command as a user
would run it; the table it prints is Markdown.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.shards import Windows
from dare_eeg.probing.classifiers.search import fit_best
from dare_eeg.probing.figures import metrics
from dare_eeg.probing.modes.linear import logistic
from dare_eeg.probing.splits import folds
from manifests import manifest
from manifests.manifest import SPLITS

BANDS_HZ = {"delta": (1, 4), "theta": (4, 8), "alpha": (8, 13), "beta": (13, 30), "gamma": (30, 45)}


def main() -> None:
    """Run every stage and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--real", type=Path, default=os.environ.get("DARE_REAL_DATA"), required=False)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--steps", type=int, default=2000)
    arguments.add_argument("--seeds", type=int, default=3)
    given = arguments.parse_args()
    if given.real is None:
        arguments.error("--real or DARE_REAL_DATA names the folder of real recordings")
    shards, run = given.out / "shards", given.out / "runs" / "nano"
    make_shards(given.real, shards)
    seconds = dare(
        "pretrain", "--shards", shards / "merged", "--size", "nano", "--steps", given.steps,
        "--global-batch", 32, "--micro-batch", 32, "--out", run,
    )  # fmt: skip
    print(f"\n{given.steps} steps in {seconds:.0f} s\n")
    print(training_table(run))
    rows = {}
    for name, encoder in (("nano, pretrained", run), ("nano, scratch", "scratch")):
        out = given.out / "probes" / name.split(", ")[1]
        dare(
            "probe", "eegmat", "--shards", shards / "eegmat", "--encoder", encoder, "--size", "nano",
            "--protocol", "loso", "--seeds", given.seeds if encoder == "scratch" else 1, "--out", out,
        )  # fmt: skip
        rows[name] = json.loads((out / "results.json").read_text())["metrics"]
    rows |= baselines(shards / "eegmat")
    print(probe_table(rows))


def make_shards(real: Path, shards: Path, *words: object) -> None:
    """Make the set ``eegmat`` to probe and, with ``words`` as options, ``merged`` of both corpora to train on."""
    for corpus in ("eegmat", "physionetmi"):
        dare("preprocess", corpus, "--for", "pretrain", "--src", real, "--out", shards, *words)
    dare("preprocess", "eegmat", "--src", real, "--out", shards)
    dare("merge", shards / "eegmat-pretrain", shards / "physionetmi-pretrain", "--out", shards / "merged")


def dare(*words: object) -> float:
    """Run one dare command, show it, and return its wall time in seconds."""
    line = [str(Path(sys.executable).with_name("dare")), *map(str, words)]
    print("$ dare", *line[1:], flush=True)
    began = time.perf_counter()
    subprocess.run(line, check=True)
    return time.perf_counter() - began


def baselines(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the metrics of the majority class and of band power with the probe's own logistic regression."""
    windows = Windows(folder, manifest.load_set(folder), SPLITS)
    labels = windows.labels.astype(np.int64)
    table = band_power(windows)
    told = {name: np.zeros((len(windows), len(windows.classes))) for name in ("majority class", "band power")}
    for fold in folds(windows, "loso"):
        majority = np.bincount(labels[fold.train], minlength=len(windows.classes)).argmax()
        told["majority class"][fold.test, majority] = 1.0
        told["band power"][fold.test] = fit_best(logistic(), table, windows, fold).probabilities
    return {name: levels(windows, labels, probabilities) for name, probabilities in told.items()}


def band_power(windows: Windows) -> NDArray[np.float32]:
    """Return log power of each band at each electrode, windows × (electrodes × bands)."""
    x_uv = windows.take(np.arange(len(windows)))
    frequencies = np.fft.rfftfreq(x_uv.shape[-1], 1 / windows.sfreq)
    power = np.abs(np.fft.rfft(x_uv * np.hanning(x_uv.shape[-1]))) ** 2
    bands = [power[..., (frequencies >= low) & (frequencies < high)].mean(-1) for low, high in BANDS_HZ.values()]
    return np.log(np.stack(bands, axis=-1) + 1e-12).reshape(len(windows), -1).astype(np.float32)


def levels(windows: Windows, labels: NDArray[np.int64], told: NDArray[np.float64]) -> dict[str, Any]:
    """Return the metrics of predictions by window and by recording, shaped as in results.json."""
    recorded = metrics.by_recording(labels, told, windows.subjects, windows.recordings)
    assert recorded is not None
    parts = {"window": (labels, told, windows.subjects), "recording": recorded}
    table: dict[str, Any] = {}
    for level, (true, probabilities, subjects) in parts.items():
        bounds = metrics.interval([metrics.Scored(true, probabilities, subjects)])
        found = metrics.scores(true, probabilities)
        table[level] = {name: {"mean": value, "sd": 0.0, "ci95": bounds[name]} for name, value in found.items()}
    return table


def training_table(run: Path) -> str:
    """Return the loss parts at the first and last validation."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    checked = [line for line in lines if "valid" in line]
    names = ("loss", "reconstruction", "anchor", "mask", "target_variance", "effective_rank")
    rows = [f"| step | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for line in checked[:: max(1, len(checked) // 5)] + checked[-1:]:
        rows.append(f"| {line['step']} | " + " | ".join(f"{line['valid'][name]:.4f}" for name in names) + " |")
    return "\n".join(rows)


def probe_table(rows: dict[str, dict[str, Any]]) -> str:
    """Return balanced accuracy and AUROC by window and recording, with intervals over subjects."""
    lines = [
        "| features | window bal. acc. | window AUROC | recording bal. acc. | recording AUROC |",
        "|---|---|---|---|---|",
    ]
    for name, table in rows.items():
        cells = [_cell(table[level].get(metric)) for level in ("window", "recording") for metric in _SHOWN]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


_SHOWN = ("balanced_accuracy", "auroc")


def _cell(value: dict[str, Any] | None) -> str:
    if value is None:
        return "–"
    spread = f" ± {value['sd']:.3f}" if value["sd"] else ""
    bounds = "" if value["ci95"] is None else " ({:.2f}–{:.2f})".format(*value["ci95"])
    return f"{value['mean']:.3f}{spread}{bounds}"


if __name__ == "__main__":
    main()
