"""Fitting: the fits that a row asks for, each taken from disk where it is kept, and kept as soon as it is made."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any

import torch

from dare_eeg.data.shards import Windows
from dare_eeg.encoders.as_published import AsPublished
from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.encoders.named import SCRATCH, encoder_named, is_control
from dare_eeg.encoders.ours import PretrainedEncoder
from dare_eeg.probing import baselines, modes
from dare_eeg.probing.classifiers.search import ClassifierFitter
from dare_eeg.probing.fit import Fitter, FoldFit, Model, Progress, Restorer
from dare_eeg.probing.fits import FOLDER, KeptFits, Place
from dare_eeg.probing.options import is_baseline, trains_a_network
from dare_eeg.probing.request import ProbeRequest
from dare_eeg.probing.results import EncoderFacts
from dare_eeg.probing.splits import folds
from dare_eeg.probing.summary import Round, facts_of
from dare_eeg.probing.supervision import supervised
from dare_eeg.probing.views.alignment import AlignedWindows
from manifests import keyed, manifest
from manifests.errors import DamagedError, MissingError, RefusedError, UsageError
from manifests.faults import did_you_mean
from manifests.manifest import SPLITS, Manifest
from manifests.recipe import EvaluationProtocol, names

_VERSION = 1
"""Of the code that fits: raised when it fits otherwise, so that no row is half of the one and half of the other."""

_MOST_NAMED = 6


class Fitting:
    """The fits of a request, by repeat, seed and fold.

    ``windows`` are those of the set, ``repeats`` the folds of each repeat, ``encoder`` the one of the first seed.
    ``seconds`` says how long features, and fits without them, have taken.
    """

    def __init__(self, request: ProbeRequest, tell: Callable[[str], None]) -> None:
        labelled = labelled_set(request)
        settled = request.options.settled(request.mode, len(labelled.recipe.classes))
        request = replace(request, options=settled)
        kind = Windows if request.options.alignment == "none" else AlignedWindows
        self.windows = kind(request.shards, labelled, SPLITS)
        self.protocol: EvaluationProtocol = request.protocol or labelled.recipe.protocol
        if request.options.centre == "subject":
            _refuse_subjects_of_one_class(self.windows)
        self.repeats = [
            [
                supervised(self.windows, fold, request.supervision, repeat)
                for fold in folds(self.windows, self.protocol, repeat)
            ]
            for repeat in range(request.repeats)
        ]
        self.seeds = range(num_seeds(request))
        self.seconds = {"features": 0.0, "fits": 0.0}
        self._request = request
        self.encoder = self._turned_to(0)
        facts = None if self.encoder is None else facts_of(request.encoder, self.encoder)
        self.kept = KeptFits(
            request.out / FOLDER, question_of(request, manifest.sha256(request.shards), self.protocol, facts), tell
        )

    @property
    def places(self) -> list[Place]:
        """Which fits there are, in the order in which they are made."""
        numbers = [(repeat, fold) for repeat, parts in enumerate(self.repeats) for fold in range(len(parts))]
        return [Place(repeat, seed, fold) for seed in self.seeds for repeat, fold in numbers]

    def rounds(self, progress: Callable[[float, int], None]) -> list[Round]:
        """Return all fits, without their models; those that are kept are not made again."""
        fits: dict[tuple[int, int], list[FoldFit]] = {}
        total = len(self.places)
        for done, place in enumerate(self.places):
            fit = self.fit(place, partial(_within, progress, done, total))
            fits.setdefault((place.seed, place.repeat), []).append(fit)
            progress(done + 1, total)
        return [Round(repeat, seed, self.repeats[repeat], of) for (seed, repeat), of in fits.items()]

    def fit(self, place: Place, progress: Progress) -> FoldFit:
        """Return a fit without its model."""
        ranks = self._request.ranks
        kept = ranks.gather(self.kept.load(place) if ranks.is_first else None)[0]
        if kept is not None:
            return kept
        fit = self._fitted(place, progress)
        if ranks.is_first:
            self.kept.keep(place, fit)
        return replace(fit, model=None)

    def model(self, place: Place) -> Model:
        """Return what a fit left, to be asked of other windows; it is fitted again where that is not kept whole."""
        self._turned_to(place.seed)
        try:
            return self._restorer(self.kept.tensors(place))
        except (DamagedError, ValueError, KeyError):
            fit = self._fitted(place, lambda _share: None)
        self.kept.keep(place, fit)
        assert fit.model is not None
        return fit.model

    def _fitted(self, place: Place, progress: Progress) -> FoldFit:
        self._turned_to(place.seed)
        torch.manual_seed(keyed.key("fold", place.seed, place.fold) >> 1)
        began, seen_before = monotonic(), self._seen_s
        fit = self._fitter(self.repeats[place.repeat][place.fold], keyed.key("order", place.seed, place.fold), progress)
        seen_s = self._seen_s - seen_before
        self.seconds["features"] += seen_s
        self.seconds["fits"] += monotonic() - began - seen_s
        return fit

    @property
    def _seen_s(self) -> float:
        return self._fitter.how.seen.seconds if isinstance(self._fitter, ClassifierFitter) else 0.0

    def _turned_to(self, seed: int) -> EEGEncoder | None:
        """Have fits be those of a seed, which draws the weights of scratch, and return its encoder, if any."""
        of = seed if is_control(self._request.encoder) else 0
        if getattr(self, "_seed", None) != of:
            self._seed = of
            self._current, self._fitter, self._restorer = _way(self._request, self.windows, of)
        return self._current


def num_seeds(request: ProbeRequest) -> int:
    """Return how many seeds are fitted: one where none changes anything.

    One draws the weights of scratch, or what a mode that trains a network draws.
    """
    return request.seeds if trains_a_network(request.mode) or is_control(request.encoder) else 1


def question_of(
    request: ProbeRequest, manifest_sha256: str, protocol: EvaluationProtocol, encoder: EncoderFacts | None
) -> dict[str, Any]:
    """Return all that a fit depends on besides its place: not where the encoder lies, but which function of a file."""
    facts = None if encoder is None else encoder.as_json()
    if encoder is not None and facts is not None:
        facts["path"] = encoder.path.rpartition(":")[2] if encoder.code_sha256 else ""
    return {
        "version": _VERSION,
        "manifest_sha256": manifest_sha256,
        "mode": request.mode,
        "protocol": protocol,
        "practice": request.options.as_json(),
        "supervision": request.supervision.as_json(),
        "encoder": facts,
    }


def encoder_of(request: ProbeRequest, seed: int = 0) -> EEGEncoder:
    """Return the encoder that a request names, fed as its options say; a seed draws the weights that it draws.

    Raises UsageError where only ours can be fed so.
    """
    torch.manual_seed(keyed.key(SCRATCH, seed) >> 1)
    encoder, options = encoder_named(request.encoder, request.size), request.options
    if options.feeds_as_encoder_expects:
        return encoder
    if not isinstance(encoder, PretrainedEncoder):
        remedy = "leave out electrode_ids, unit_scale, resampling and --as-published"
        raise UsageError("prepares its input itself", path=f"--encoder {request.encoder}", remedy=remedy)
    by_position = options.electrode_ids == "positions"
    return AsPublished(encoder, options.resampling, options.unit_scale, by_position)


def labelled_set(request: ProbeRequest) -> Manifest:
    """Return the manifest of the set that is probed; DareError where it has no labels or is of another corpus."""
    try:
        found = manifest.load_set(request.shards)
    except MissingError as problem:
        raise MissingError(problem.reason, path=problem.path, remedy=_other_sets(request)) from problem
    if found.corpus != request.corpus:
        reason = f"is a set of {found.corpus}, not of {request.corpus}"
        raise RefusedError(reason, path=request.shards, remedy=f"dare probe {found.corpus} --shards {request.shards}")
    if not found.recipe.classes:
        remedy = "probe the set that dare preprocess makes without --for pretrain"
        raise RefusedError("has no labels", path=request.shards, remedy=remedy)
    return found


def _other_sets(request: ProbeRequest) -> str:
    """Return which set may be meant by one that is not there, of those in its folder, and beside it, and of corpora."""
    folders = (request.shards, request.shards.parent)
    there = [sorted(path.parent for path in folder.glob("*/manifest.json")) for folder in folders]
    near = did_you_mean(request.shards.name, [*names(), *(one.name for one in there[1])])
    lying = ", ".join(map(str, (there[0] or there[1])[:_MOST_NAMED]))
    make = f"dare preprocess {request.corpus} makes it, and finishes one that is not"
    return near or make + (f"; there lie {lying}" if lying else "")


def _way(request: ProbeRequest, windows: Windows, seed: int) -> tuple[EEGEncoder | None, Fitter, Restorer]:
    """Return the encoder of a seed, if any, what fits a fold, and what makes again what a fit left."""
    options = request.options
    if is_baseline(request.mode):
        used = baselines.electrodes_used(request.mode, windows)
        fit = baselines.fitter(request.mode, windows, options, request.ranks)
        return None, fit, baselines.restorer(request.mode, windows, used, options)
    encoder = encoder_of(request, seed)
    fit = modes.fitter(request.mode)(encoder, windows, options, request.cache, request.ranks)
    return encoder, fit, modes.restorer(request.mode, encoder, windows, options)


def _refuse_subjects_of_one_class(windows: Windows) -> None:
    """Raise RefusedError where what most subjects' windows have in common is the class itself."""
    classes: dict[str, set[int]] = {}
    for subject, label in zip(windows.subjects.tolist(), windows.labels.tolist(), strict=True):
        classes.setdefault(subject, set()).add(label)
    of_one = sum(len(labels) == 1 for labels in classes.values())
    if of_one > len(classes) / 2:
        reason = f"{of_one} of {len(classes)} subjects have one class, which centring on the subject takes away"
        raise RefusedError(reason, path=windows.folder, remedy="leave out --centre subject")


def _within(progress: Callable[[float, int], None], done: int, total: int, share: float) -> None:
    progress(done + share, total)
