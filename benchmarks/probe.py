"""What a linear probe of five repeats costs, against the same question asked as it was before, in one run.

    python benchmarks/probe.py [--windows N] [--sizes nano,base] [--classifier ridge] [--precision bf16]

Makes a synthetic eegmat of 36 subjects, 19 electrodes, windows of 4 s, and asks `dare probe` five repeats of five
folds of subjects, from shards to results, of an untrained encoder of each size: once with nothing kept, then again with
its frozen features on disk. Before, each repeat was a command of its own: it computed the features again, and chose one
of six penalties on one valid part; that is done here on the same folds, without the intervals and pictures that the
command has on top, once for all that is asked now. Times are of the processor, so that other work on the machine
counts little.

With ``--memory`` instead: the most that a fit on 300,000 windows of 1,024 features holds in memory. With ``--steps N``
instead: N steps of conv-linear of 8 windows, the frozen encoder's weights with gradients, as published, and without.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dare_eeg import open_shards
from dare_eeg.data.shards import Windows
from dare_eeg.encoders.ours import untrained_encoder
from dare_eeg.network.heads import Adapter, ProbeHead
from dare_eeg.probing.classifiers.cache import FeatureCache
from dare_eeg.probing.classifiers.search import Family, fit_best
from dare_eeg.probing.figures.metrics import scores
from dare_eeg.probing.modes.linear import logistic, ridge
from dare_eeg.probing.networks.network import ProbeNetwork
from dare_eeg.probing.options import Classifier, options_of
from dare_eeg.probing.probe import probe
from dare_eeg.probing.request import ProbeRequest
from dare_eeg.probing.splits import Fold, folds
from manifests.manifest import SPLITS
from pipelines import synth

DARE = Path(sys.executable).with_name("dare")
SUBJECTS = 36
REPEATS = 5
ROWS, COLUMNS = 300_000, 1024
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
FAMILIES: dict[Classifier, Callable[[], Family]] = {"logistic": logistic, "ridge": ridge}


def main() -> None:
    """Time every size, or measure memory, and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--windows", type=int, default=10_000, help="windows of 4 s, about (default 10000)")
    arguments.add_argument("--sizes", default="nano,base", help="sizes of encoder (default nano,base)")
    arguments.add_argument("--classifier", default="logistic", help="logistic (the default), ridge, or both by comma")
    arguments.add_argument("--precision", default="fp32", help="fp32 (the default), bf16, or both by comma")
    arguments.add_argument("--folder", type=Path, help="where to make the set and keep it; a temporary one otherwise")
    arguments.add_argument("--memory", action="store_true", help="what a fit on a large table holds in memory")
    arguments.add_argument("--steps", type=int, default=0, help="steps of conv-linear, with gradients and without")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        if given.memory:
            memory(folder, given.classifier.split(",")[0])
            return
        shards = made(folder, given.windows)
        windows = open_shards(shards, SPLITS)
        if given.steps:
            conv_linear(windows, given.sizes.split(","), given.steps)
            return
        print(f"{len(windows)} windows of {windows.shape[0]} electrodes x 4 s, {SUBJECTS} subjects; processor seconds")
        print("| size, classifier, precision | before | of that features | now | times | now, features kept | times |")
        print("|---|---|---|---|---|---|---|")
        for size in given.sizes.split(","):
            features_s, before_s = before(windows, size)
            for classifier, precision in product(given.classifier.split(","), given.precision.split(",")):
                with tempfile.TemporaryDirectory() as out:
                    first_s, again_s = (now(shards, size, classifier, precision, Path(out) / run) for run in ("1", "2"))
                print(
                    f"| {size}, {classifier}, {precision} | {before_s:.1f} | {features_s:.1f} | {first_s:.1f} | "
                    f"{before_s / first_s:.1f} | {again_s:.1f} | {before_s / again_s:.1f} |",
                    flush=True,
                )


def made(folder: Path, windows: int) -> Path:
    """Return a set of about so many windows; each subject rests for three quarters of the time."""
    shards = folder / f"shards-{windows}"
    if not shards.exists():
        synth.write("eegmat", folder / f"raw-{windows}", SUBJECTS, max(10.0, windows / SUBJECTS), seed=0)
        command = [DARE, "preprocess", "eegmat", "--src", folder / f"raw-{windows}", "--out", shards]
        subprocess.run([*command, "--set", "balance=false", "--workers", "1"], check=True, stdout=subprocess.DEVNULL)
    return shards / "eegmat"


def now(shards: Path, size: str, classifier: str, precision: str, out: Path) -> float:
    """Return the processor seconds of a probe, features kept beside its folder; its fits are new in each."""
    options = options_of("linear", settings=(f"classifier={classifier}", f"precision={precision}"))
    cache = FeatureCache(out.parent / "features", print)
    began_s = time.process_time()
    asked = ProbeRequest("eegmat", shards, "kfold", REPEATS, 1, out, "scratch", "linear", size, options, cache=cache)
    probe(asked, lambda _done, _total: None)
    return time.process_time() - began_s


def before(windows: Windows, size: str) -> tuple[float, float]:
    """Return the processor seconds of (features, all) for as many commands as there are repeats."""
    began_s, features_s = time.process_time(), 0.0
    for repeat in range(REPEATS):
        encoder = untrained_encoder(size)
        started_s = time.process_time()
        table = np.concatenate(list(encoded(encoder, windows)))
        features_s += time.process_time() - started_s
        for fold in folds(windows, "kfold", repeat):
            fitted_on_one_valid_part(table, windows.labels.astype(np.int64), fold)
    return features_s, time.process_time() - began_s


@torch.no_grad()
def encoded(encoder: torch.nn.Module, windows: Windows) -> Iterator[NDArray[np.float32]]:
    """Yield features as they were computed: the encoder is called with 32 windows."""
    for start in range(0, len(windows), 32):
        numbers = np.arange(start, min(start + 32, len(windows)))
        found = encoder(windows.take(numbers), windows.electrodes, windows.sfreq, windows.present[numbers])
        yield found.mean(dim=1).flatten(1).float().numpy()


def fitted_on_one_valid_part(table: NDArray[np.float32], labels: NDArray[np.int64], fold: Fold) -> NDArray[Any]:
    """Return what the best of six logistic regressions by one valid part says of test."""
    best = -1.0, cast(Any, None)
    for penalty in PENALTIES:
        regression = LogisticRegression(C=penalty, class_weight="balanced", max_iter=1000)
        model = make_pipeline(StandardScaler(), regression).fit(table[fold.train], labels[fold.train])
        score = scores(labels[fold.valid], model.predict_proba(table[fold.valid]))["balanced_accuracy"]
        if score > best[0]:
            best = score, model
    return np.asarray(best[1].predict_proba(table[fold.test]))


def conv_linear(windows: Windows, sizes: list[str], steps: int) -> None:
    """Print the processor seconds of steps of conv-linear, the two ways taking turns; the first step is not counted."""
    print("| size | gradients of the frozen encoder, s | none, s | times |")
    print("|---|---|---|---|")
    x, labels = torch.from_numpy(windows.take(np.arange(8))), torch.from_numpy(windows.labels[:8].astype(np.int64))
    for size in sizes:
        network = ProbeNetwork(untrained_encoder(size), windows, Adapter, ProbeHead, is_frozen=True).train()
        optimizer = torch.optim.AdamW([*network.adapter.parameters(), *network.head.parameters()])
        seconds = {True: 0.0, False: 0.0}
        for step in range(steps + 1):
            for wanted in seconds:
                network.encoder.requires_grad_(wanted)
                began_s = time.process_time()
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(network(x), labels).backward()
                optimizer.step()
                seconds[wanted] += time.process_time() - began_s if step else 0.0
                network.encoder.zero_grad()
        print(f"| {size} | {seconds[True]:.1f} | {seconds[False]:.1f} | {seconds[True] / seconds[False]:.2f} |")


def memory(folder: Path, classifier: Classifier) -> None:
    """Print the most that a fit on a large table held, and what this process held before."""
    rng = np.random.default_rng(0)
    subjects = np.repeat([f"s{number:03d}" for number in range(100)], ROWS // 100)
    labels = rng.integers(0, 2, ROWS)
    some = (
        rng.standard_normal((1000, COLUMNS), np.float32) + labels[at : at + 1000, None] for at in range(0, ROWS, 1000)
    )
    table = FeatureCache(folder, print).table("0" * 32, ROWS, some)
    facts = SimpleNamespace(subjects=subjects, recordings=subjects, labels=labels, classes=("a", "b"))
    family, numbers = FAMILIES[classifier](), np.arange(ROWS)
    tested, valid = subjects < "s020", (subjects >= "s020") & (subjects < "s040")
    fold = Fold(numbers[~tested & ~valid], numbers[valid], numbers[tested])
    before_gb, began_s = held_gb(), time.process_time()
    if classifier == "logistic":  # one candidate holds what six do
        family = replace(family, candidates=family.candidates[2:3])
    fit_best(family, table, cast(Windows, facts), fold)
    took_s = time.process_time() - began_s
    print(f"{ROWS} x {COLUMNS}, {classifier}, {len(family.candidates)} candidates: {table.nbytes / 1e9:.2f} GB on disk")
    print(
        f"held at most {before_gb:.2f} GB before the fit and {held_gb():.2f} GB in it; {took_s:.0f} s of the processor"
    )


def held_gb() -> float:
    """Return the most that this process has had resident, pages of mapped files among it."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
