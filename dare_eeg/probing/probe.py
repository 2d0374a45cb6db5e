"""Probe: what an encoder's features are worth on a labelled set, told honestly.

Unless the options say otherwise, models are selected on valid only, and test is asked once for each fold and seed.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile

import torch

from dare_eeg.data.shards import Windows
from dare_eeg.encoders.as_published import AsPublished
from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.encoders.named import SCRATCH, encoder_named
from dare_eeg.encoders.ours import PretrainedEncoder
from dare_eeg.probing import baselines, modes, predictions, report
from dare_eeg.probing.alignment import AlignedWindows
from dare_eeg.probing.fit import Fitter, FoldFit
from dare_eeg.probing.options import ON_FEATURES, is_baseline
from dare_eeg.probing.request import ProbeRequest
from dare_eeg.probing.results import Results
from dare_eeg.probing.splits import folds
from dare_eeg.probing.summary import Round, facts_of, summarise
from dare_eeg.probing.supervision import supervised
from dare_eeg.running.ranks import ALONE
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
    if request.options.centre == "subject":
        _refuse_subjects_of_one_class(windows)
    repeats = [
        [supervised(windows, fold, request.supervision, repeat) for fold in folds(windows, protocol, repeat)]
        for repeat in range(request.repeats)
    ]
    seeds = range(request.seeds if _draws(request) else 1)
    total, done = len(seeds) * sum(map(len, repeats)), 0
    rounds: list[Round] = []
    for seed in seeds:
        if seed == 0 or request.encoder == SCRATCH:
            torch.manual_seed(keyed.key(SCRATCH, seed) >> 1)
            encoder, fit = _fitter(request, windows)
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
    if request.ranks.is_first:
        write_bytes(request.out / predictions.PREDICTIONS, predictions.as_csv(windows, rounds))
        write_bytes(request.out / "results.json", canonical_json(results.as_json()))
        report.draw(request.out, results, [fit.curves for one in rounds for fit in one.fits])
    return results


def probe_together(request: ProbeRequest, progress: Callable[[float, int], None]) -> Results | None:
    """Probe by the ranks of a request: all train a network, and the first alone computes what trains none.

    Returns the results, None in a process that only waited.
    """
    if is_baseline(request.mode) or request.mode in ON_FEATURES:
        return request.ranks.first_does(lambda: probe(replace(request, ranks=ALONE), progress))
    return probe(request, progress if request.ranks.is_first else _silent)


def _silent(_done: float, _total: int) -> None:
    """Tell nothing of progress, which the first process tells."""


def _within(progress: Callable[[float, int], None], done: int, total: int, share: float) -> None:
    progress(done + share, total)


def found_done(request: ProbeRequest) -> Results | None:
    """Return the results that are there of the same question to the same encoder and set, None where there are none.

    Raises RefusedError where the folder holds others: of another encoder, mode or corpus.
    """
    path = request.out / "results.json"
    if not path.exists():
        return None
    found = records.load(Results, path, "remove it, or choose another --out")
    named = "" if found.encoder is None else found.encoder.path
    if (found.corpus, found.mode) != (request.corpus, request.mode) or _place(named) != _place(request.encoder):
        reason = f"holds the results of {named or found.mode} on {found.corpus} by {found.mode}"
        raise RefusedError(reason, path=request.out, remedy="choose another --out")
    encoder = None if is_baseline(request.mode) else facts_of(named, _encoder(request))
    asked = (
        manifest.sha256(request.shards),
        request.protocol or _labelled_set(request).recipe.protocol,
        tuple(range(request.seeds if _draws(request) else 1)),
        tuple(range(request.repeats)),
        request.resamples,
        request.options.settled(request.mode, len(found.classes)),
        request.supervision,
        encoder,
    )
    answered = (
        found.manifest_sha256,
        found.protocol,
        found.seeds,
        found.repeats,
        found.resamples,
        found.practice,
        found.supervision,
        found.encoder,
    )
    return found if asked == answered and (request.out / predictions.PREDICTIONS).exists() else None


def _draws(request: ProbeRequest) -> bool:
    """Return whether a seed changes anything: the weights of scratch, or what a mode that trains a network draws."""
    return request.encoder == SCRATCH or not (is_baseline(request.mode) or request.mode in ON_FEATURES)


def _place(encoder: str) -> Path:
    return Path(encoder.removeprefix("py:")).resolve()


def _refuse_subjects_of_one_class(windows: Windows) -> None:
    """Raise RefusedError where what most subjects' windows have in common is the class itself."""
    classes: dict[str, set[int]] = {}
    for subject, label in zip(windows.subjects.tolist(), windows.labels.tolist(), strict=True):
        classes.setdefault(subject, set()).add(label)
    of_one = sum(len(labels) == 1 for labels in classes.values())
    if of_one > len(classes) / 2:
        reason = f"{of_one} of {len(classes)} subjects have one class, which centring on the subject takes away"
        raise RefusedError(reason, path=windows.folder, remedy="leave out --set centre=subject")


def _require_writable(folder: Path) -> None:
    """Raise OSError, before hours of fitting, where the results could not be written."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=folder):
        pass


def _fitter(request: ProbeRequest, windows: Windows) -> tuple[EEGEncoder | None, Fitter]:
    """Return the encoder, if any, and what fits a fold."""
    if is_baseline(request.mode):
        return None, baselines.fitter(request.mode, windows, request.options.centre == "subject")
    encoder = _encoder(request)
    return encoder, modes.fitter(request.mode)(encoder, windows, request.options, request.cache, request.ranks)


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
