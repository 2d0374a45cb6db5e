"""Probe: what an encoder's features are worth on a labelled set, told honestly.

Unless a practice says otherwise, models are selected on valid only, and test is asked once for each fold and seed.
"""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from dare_eeg.data.shards import Windows
from dare_eeg.encoders.ours import PretrainedEncoder, load_encoder
from dare_eeg.encoders.weights import ENCODER_FILE, Provenance
from dare_eeg.network.blocks import initialise
from dare_eeg.network.model import SIZES, Encoder
from dare_eeg.probing import classifiers, metrics, report
from dare_eeg.probing.alignment import AlignedWindows
from dare_eeg.probing.classifiers import Fit, Training
from dare_eeg.probing.metrics import NUM_RESAMPLES
from dare_eeg.probing.options import Mode, Practice
from dare_eeg.probing.results import Confusion, Contamination, EncoderFacts, Figure, FoldFacts, Results
from dare_eeg.probing.splits import Fold, Protocol, folds
from manifests import keyed, manifest
from manifests.atomic_io import canonical_json, sha256_file, write_bytes
from manifests.electrodes import PRETRAIN_58, VOCABULARY
from manifests.errors import DareError
from manifests.manifest import SPLITS

SCRATCH = "scratch"

ADAPTED: dict[str, tuple[str, ...]] = {"bcic2b": ("C5", "C3", "C1", "CZ", "C2", "C4", "C6")}
"""Electrodes the published adapters map a corpus onto, where they are not the encoder's own."""

RECIPES: dict[str, Training] = {
    "conv-linear": Training(epochs=100, batch=64, lr=5e-4, weight_decay=0.01),
    "finetune": Training(epochs=50, batch=100, lr=5e-4, weight_decay=0.05),
}
"""Epochs, batch, peak rate and weight decay as published, for BCIC-2b and TUAB; both run here on one-cycle rates."""


@dataclass(frozen=True)
class Question:
    """What is asked: which corpus and set, encoder (a path, or ``scratch`` of ``size``), mode, protocol, seeds, how.

    ``resamples`` is the number of draws of subjects behind each interval.
    """

    corpus: str
    shards: Path
    encoder: str
    mode: Mode
    protocol: Protocol | None
    seeds: int
    out: Path
    size: str = "base"
    epochs: int = 0
    practice: Practice = field(default_factory=Practice)
    resamples: int = NUM_RESAMPLES


@dataclass(frozen=True)
class Fitted:
    """The fits of a probe by seed and fold, and what they say of the tested windows: (seeds, n, classes)."""

    folds: list[Fold]
    fits: list[tuple[int, int, Fit]]
    tested: NDArray[np.int64]
    told: NDArray[np.float64]


def newest_run(runs: Path) -> str:
    """Return the run whose encoder is newest; DareError where there is none."""
    found = sorted(runs.glob(f"*/{ENCODER_FILE}"), key=lambda path: path.stat().st_mtime_ns)
    if not found:
        raise DareError(f"{runs}: holds no run with an encoder; pretrain one or give --encoder (a file, or scratch)")
    return str(found[-1].parent)


def probe(asked: Question, progress: Callable[[int, int], None]) -> Results:
    """Fit and test every fold with every seed; write results.json, predictions.csv and pictures; return the results.

    Raises DareError for a set without labels, an encoder that cannot be loaded, and a protocol the set is not made for.
    """
    whole = manifest.load_set(asked.shards)
    if whole.corpus != asked.corpus:
        raise DareError(f"{asked.shards}: is a set of {whole.corpus}, not of {asked.corpus}; name that corpus")
    if not whole.recipe.classes:
        raise DareError(
            f"{asked.shards}: has no labels; probe the set that dare preprocess makes without --for pretrain"
        )
    windows = (Windows if asked.practice.alignment == "none" else AlignedWindows)(asked.shards, whole, SPLITS)
    protocol: Protocol = asked.protocol or whole.recipe.protocol
    parts = folds(windows, protocol)
    told = np.zeros((asked.seeds, len(windows), len(windows.classes)))
    fits: list[tuple[int, int, Fit]] = []
    for seed in range(asked.seeds):
        if seed == 0 or asked.encoder == SCRATCH:
            encoder = _encoder(asked, seed)
            fit = _fitter(asked, encoder, windows)
        for number, fold in enumerate(parts):
            torch.manual_seed(keyed.key("fold", seed, number) >> 1)
            done = fit(fold, keyed.key("order", seed, number))
            told[seed, fold.test] = done.probabilities
            fits.append((seed, number, done))
            progress(len(fits), asked.seeds * len(parts))
    tested = np.sort(np.concatenate([fold.test for fold in parts]))
    fitted = Fitted(parts, fits, tested, told[:, tested])
    results = _results(asked, protocol, encoder, windows, fitted)
    write_bytes(asked.out / "predictions.csv", _predictions(windows, fitted))
    write_bytes(asked.out / "results.json", canonical_json(results.as_json()))
    report.draw(asked.out, results, [(seed, number, fit.curves) for seed, number, fit in fits])
    return results


def _encoder(asked: Question, seed: int) -> PretrainedEncoder:
    if asked.encoder != SCRATCH:
        return load_encoder(asked.encoder)
    torch.manual_seed(keyed.key(SCRATCH, seed) >> 1)
    size = SIZES[asked.size]
    network = Encoder(size)
    initialise(network, "fan_in")
    provenance = Provenance(**vars(size), electrodes=PRETRAIN_58)
    return PretrainedEncoder(network, provenance).eval().requires_grad_(False)


def _fitter(asked: Question, encoder: PretrainedEncoder, windows: Windows) -> Callable[[Fold, int], Fit]:
    labels = windows.labels.astype(np.int64)
    if asked.mode == "linear":
        if not set(windows.electrodes) & set(VOCABULARY):
            raise DareError(
                f"{asked.shards}: none of its electrodes is the network's; probe it with --mode conv-linear"
            )
        table = classifiers.features(encoder, windows, batch=32)
        return lambda fold, seed: classifiers.linear(table, labels, fold, len(windows.classes))
    recipe = RECIPES[asked.mode]
    training = replace(recipe, epochs=asked.epochs or recipe.epochs)
    electrodes = ADAPTED.get(windows.manifest.corpus, encoder.electrodes)

    def fit(fold: Fold, seed: int) -> Fit:
        network = classifiers.ProbeNetwork(encoder, windows, electrodes, asked.mode == "finetune", asked.practice)
        return classifiers.trained(network, windows, fold, training, seed)

    return fit


def _results(
    asked: Question, protocol: Protocol, encoder: PretrainedEncoder, windows: Windows, fitted: Fitted
) -> Results:
    tested, told = fitted.tested, fitted.told
    labels, subjects = windows.labels[tested].astype(np.int64), windows.subjects[tested]
    grouped = [metrics.by_recording(labels, one, windows.recordings[tested], subjects) for one in told]
    levels = {"window": [(labels, one, subjects) for one in told]}
    if all(group is not None for group in grouped):
        levels["recording"] = [group for group in grouped if group is not None]
    numbers = list(range(len(windows.classes)))
    counts = confusion_matrix(labels, told.mean(axis=0).argmax(axis=1), labels=numbers)
    return Results(
        corpus=windows.manifest.corpus,
        corpus_version=windows.manifest.corpus_version,
        manifest_sha256=manifest.sha256(asked.shards),
        protocol=protocol,
        mode=asked.mode,
        practice=asked.practice,
        cautions=asked.practice.cautions,
        encoder=_identity(asked, encoder),
        seeds=tuple(range(asked.seeds)),
        classes=windows.classes,
        electrodes_left_out=_left_out(asked, windows),
        resamples=asked.resamples,
        metrics={level: _table(of, asked.resamples) for level, of in levels.items()},
        confusion=Confusion(counts=counts.tolist()),
        folds=tuple(_fold(windows, fitted, number) for number in range(len(fitted.folds))),
        contamination=_contamination(asked, encoder, sorted({*subjects.tolist()})),
    )


def _left_out(asked: Question, windows: Windows) -> tuple[str, ...]:
    """Return the electrodes the probe does not use: an adapter takes all, features only those the network knows."""
    return tuple(name for name in windows.electrodes if name not in VOCABULARY) if asked.mode == "linear" else ()


def _identity(asked: Question, encoder: PretrainedEncoder) -> EncoderFacts:
    path = Path(asked.encoder) / ENCODER_FILE if Path(asked.encoder).is_dir() else Path(asked.encoder)
    return EncoderFacts(
        path=asked.encoder,
        sha256="" if asked.encoder == SCRATCH else sha256_file(path),
        size=encoder.size.name,
        step=encoder.provenance.step,
        pretrained_on=encoder.provenance.manifest_sha256,
        notes=encoder.notes,
    )


def _table(
    seeds: list[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.str_]]], resamples: int
) -> dict[str, Figure]:
    """Return mean and deviation over seeds of each metric that applies, and the interval of the seeds' mean word."""
    by_seed = [metrics.scores(labels, told) for labels, told, _ in seeds]
    labels, _, subjects = seeds[0]
    bounds = metrics.interval(labels, np.mean([told for _, told, _ in seeds], axis=0), subjects, resamples)
    table = {}
    for name in by_seed[0]:
        values = [one[name] for one in by_seed]
        if np.isfinite(values).all():
            sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            table[name] = Figure(mean=float(np.mean(values)), sd=sd, ci95=bounds[name], seeds=tuple(values))
    return table


def _fold(windows: Windows, fitted: Fitted, number: int) -> FoldFacts:
    parts = {name: getattr(fitted.folds[number], name) for name in SPLITS}
    return FoldFacts(
        subjects={name: tuple(sorted({*windows.subjects[part].tolist()})) for name, part in parts.items()},
        windows={name: len(part) for name, part in parts.items()},
        selected=tuple({"seed": seed} | fit.selected for seed, at, fit in fitted.fits if at == number),
    )


def _contamination(asked: Question, encoder: PretrainedEncoder, tested: list[str]) -> Contamination:
    if asked.encoder == SCRATCH:
        return Contamination(known=True, seen_in_pretraining=(), note="the encoder was not pretrained")
    known = encoder.provenance.subjects
    if not known:
        note = "the encoder does not say whom it was trained on"
        return Contamination(known=False, seen_in_pretraining=(), note=note)
    seen = tuple(sorted(set(tested) & set(known)))
    note = f"{len(seen)} of {len(tested)} test subjects were seen, without labels, in pretraining"
    unlinkable = any(one.startswith("tueveval:") for one in tested) and any(one.startswith("tuh:") for one in known)
    if unlinkable:
        note = f"{note}; TUEV's eval ids cannot be linked to TUH's"
    if more := encoder.provenance.more_subjects:
        note = f"{note}; its pretraining began with weights that do not say whom they had seen"
    return Contamination(known=not (unlinkable or more), seen_in_pretraining=seen, note=note)


def _predictions(windows: Windows, fitted: Fitted) -> bytes:
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(["recording", "start_s", "subject", "label", *(f"p_{name}" for name in windows.classes)])
    for number, probabilities in zip(fitted.tested, fitted.told.mean(axis=0), strict=True):
        start_s, label = f"{windows.start_s[number]:.6g}", int(windows.labels[number])
        facts = [windows.recordings[number], start_s, windows.subjects[number], label]
        rows.writerow([*facts, *(repr(float(probability)) for probability in probabilities)])
    return stream.getvalue().encode(errors="surrogateescape")
