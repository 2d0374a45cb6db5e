"""Probe: what an encoder's features are worth on a labelled set, told honestly.

Unless the options say otherwise, models are selected on valid only, and test is asked once for each fold and seed.
"""

import csv
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile

import torch

from dare_eeg.data.shards import Windows
from dare_eeg.encoders.as_published import AsPublished
from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.encoders.named import SCRATCH, encoder_named
from dare_eeg.encoders.ours import PretrainedEncoder
from dare_eeg.probing import modes, report
from dare_eeg.probing.alignment import AlignedWindows
from dare_eeg.probing.fit import FoldFit
from dare_eeg.probing.options import ON_FEATURES
from dare_eeg.probing.request import ProbeRequest
from dare_eeg.probing.results import Results
from dare_eeg.probing.splits import folds
from dare_eeg.probing.summary import Round, summarise
from manifests import keyed, manifest, records
from manifests.atomic_io import canonical_json, write_bytes
from manifests.errors import RefusedError, UsageError
from manifests.manifest import SPLITS, Manifest
from manifests.recipe import EvaluationProtocol


def probe(request: ProbeRequest, progress: Callable[[float, int], None]) -> Results:
    """Fit and test every fold of every repeat with every seed; write results.json, predictions.csv and pictures.

    Returns the results. Raises DareError for a set without labels, an encoder that cannot be loaded, and a protocol the
    set is not made for.
    """
    labelled = _labelled_set(request)
    windows = (Windows if request.options.alignment == "none" else AlignedWindows)(request.shards, labelled, SPLITS)
    protocol: EvaluationProtocol = request.protocol or labelled.recipe.protocol
    repeats = [folds(windows, protocol, repeat) for repeat in range(request.repeats)]
    is_drawn = request.mode not in ON_FEATURES or request.encoder == SCRATCH
    seeds = range(request.seeds if is_drawn else 1)
    total, done = len(seeds) * sum(map(len, repeats)), 0
    rounds: list[Round] = []
    for seed in seeds:
        if seed == 0 or request.encoder == SCRATCH:
            torch.manual_seed(keyed.key(SCRATCH, seed) >> 1)
            encoder = _encoder(request)
            fit = modes.fitter(request.mode)(encoder, windows, request.options, request.epochs)
            _require_writable(request.out)
        for repeat, parts in enumerate(repeats):
            fits: list[FoldFit] = []
            for number, fold in enumerate(parts):
                torch.manual_seed(keyed.key("fold", seed, number) >> 1)
                fits.append(fit(fold, keyed.key("order", seed, number), partial(_within, progress, done, total)))
                done += 1
                progress(done, total)
            rounds.append(Round(repeat, seed, parts, fits))
    results = summarise(request, protocol, encoder, windows, rounds)
    write_bytes(request.out / "predictions.csv", _predictions(windows, rounds))
    write_bytes(request.out / "results.json", canonical_json(results.as_json()))
    report.draw(request.out, results, [fit.curves for one in rounds for fit in one.fits])
    return results


def _within(progress: Callable[[float, int], None], done: int, total: int, share: float) -> None:
    progress(done + share, total)


def will_replace(request: ProbeRequest) -> bool:
    """Return whether the folder of the results holds those of the same question, which these will replace.

    Raises RefusedError where it holds others: of another encoder, mode or corpus.
    """
    path = request.out / "results.json"
    if not path.exists():
        return False
    before = records.load(Results, path, "remove it, or choose another --out")
    is_same_encoder = _place(before.encoder.path) == _place(request.encoder)
    if (before.corpus, before.mode) != (request.corpus, request.mode) or not is_same_encoder:
        reason = f"holds the results of {before.encoder.path} on {before.corpus} by {before.mode}"
        raise RefusedError(reason, path=request.out, remedy="choose another --out")
    return True


def _place(encoder: str) -> Path:
    return Path(encoder.removeprefix("py:")).resolve()


def _require_writable(folder: Path) -> None:
    """Raise OSError, before hours of fitting, where the results could not be written."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=folder):
        pass


def _encoder(request: ProbeRequest) -> EEGEncoder:
    """Return the encoder that a request names, fed as its options say; UsageError where only ours can be fed so."""
    encoder, options = encoder_named(request.encoder, request.size), request.options
    if options.feeds_as_encoder_expects:
        return encoder
    if not isinstance(encoder, PretrainedEncoder):
        remedy = "leave out electrode_ids, unit_scale, resampling and --as-published"
        raise UsageError("prepares its input itself", path=f"--encoder {request.encoder}", remedy=remedy)
    by_position = options.electrode_ids == "positions"
    return AsPublished(encoder, options.resampling, options.unit_scale, by_position)


def _labelled_set(request: ProbeRequest) -> Manifest:
    found = manifest.load_set(request.shards)
    if found.corpus != request.corpus:
        reason = f"is a set of {found.corpus}, not of {request.corpus}"
        raise RefusedError(reason, path=request.shards, remedy="name that corpus")
    if not found.recipe.classes:
        remedy = "probe the set that dare preprocess makes without --for pretrain"
        raise RefusedError("has no labels", path=request.shards, remedy=remedy)
    return found


def _predictions(windows: Windows, rounds: list[Round]) -> bytes:
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    classes = [f"p_{name}" for name in windows.classes]
    rows.writerow(["repeat", "seed", "recording", "start_s", "subject", "label", *classes])
    for one in rounds:
        for number, probabilities in zip(one.tested.tolist(), one.probabilities, strict=True):
            start_s, label = f"{windows.start_s[number]:.6g}", int(windows.labels[number])
            facts = [one.repeat, one.seed, windows.recordings[number], start_s, windows.subjects[number], label]
            rows.writerow([*facts, *(repr(float(probability)) for probability in probabilities)])
    return stream.getvalue().encode(errors="surrogateescape")
