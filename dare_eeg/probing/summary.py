"""Summary: the results of a probe from what was fitted: figures with intervals, who was on which side, who was seen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from dare_eeg.data.shards import Windows
from dare_eeg.encoders.base import EEGEncoder, Identity
from dare_eeg.probing import metrics
from dare_eeg.probing.fit import FoldFit
from dare_eeg.probing.metrics import Scored
from dare_eeg.probing.options import ON_FEATURES
from dare_eeg.probing.request import ProbeRequest
from dare_eeg.probing.results import Confusion, Contamination, EncoderFacts, Figure, FoldFacts, Results
from dare_eeg.probing.splits import Fold, on_both_sides
from manifests import manifest
from manifests.manifest import SPLITS
from manifests.recipe import EvaluationProtocol
from manifests.subjects import among

_NEAR_CHANCE = 0.02
"""By how much a balanced accuracy may exceed that of chance and still be no more than that."""


@dataclass(frozen=True)
class Fitted:
    """The fits of a probe by seed and fold, and the probabilities of the tested windows: (seeds, n, classes)."""

    folds: list[Fold]
    fits: list[tuple[int, int, FoldFit]]
    tested: NDArray[np.int64]
    probabilities: NDArray[np.float64]


def summarise(
    request: ProbeRequest, protocol: EvaluationProtocol, encoder: EEGEncoder, windows: Windows, fitted: Fitted
) -> Results:
    """Return what a probe found."""
    tested, by_seed = fitted.tested, fitted.probabilities
    labels, subjects = windows.labels[tested].astype(np.int64), windows.subjects[tested]
    grouped = [metrics.by_recording(labels, one, windows.recordings[tested], subjects) for one in by_seed]
    levels: dict[str, list[Scored]] = {"window": [Scored(labels, one, subjects) for one in by_seed]}
    if all(group is not None for group in grouped):
        levels["recording"] = [group for group in grouped if group is not None]
    numbers = list(range(len(windows.classes)))
    counts = confusion_matrix(labels, by_seed.mean(axis=0).argmax(axis=1), labels=numbers)
    identity = encoder.identity
    return Results(
        corpus=windows.manifest.corpus,
        corpus_version=windows.manifest.corpus_version,
        manifest_sha256=manifest.sha256(request.shards),
        protocol=protocol,
        mode=request.mode,
        practice=request.options,
        cautions=(*request.options.cautions, *_cautions(windows, fitted)),
        encoder=EncoderFacts(
            path=request.encoder,
            sha256=identity.sha256,
            size=identity.name,
            step=identity.step,
            pretrained_on=identity.pretrained_on,
            notes=identity.notes,
        ),
        seeds=tuple(range(request.seeds)),
        classes=windows.classes,
        electrodes_left_out=_left_out(request, encoder, windows),
        resamples=request.resamples,
        metrics={level: _table(of, request.resamples) for level, of in levels.items()},
        confusion=Confusion(counts=counts.tolist()),
        folds=tuple(_fold(windows, fitted, number) for number in range(len(fitted.folds))),
        contamination=_contamination(identity, windows, sorted({*subjects.tolist()})),
    )


def _cautions(windows: Windows, fitted: Fitted) -> list[str]:
    """Return what the reader must know of who and what was trained on and tested."""
    tested, trained = windows.labels[fitted.tested], windows.labels[np.concatenate([one.train for one in fitted.folds])]
    found = []
    if shared := {name for fold in fitted.folds for name in on_both_sides(windows, fold)}:
        found.append(f"{len(shared)} of the tested subjects are trained on, too, with other recordings of theirs")
    if len(set(tested.tolist())) == 1:
        only = windows.classes[tested[0]]
        found.append(f"the tested windows are all of the class {only}: no figure says how classes are told apart")
    if stuck := sum(_stayed_at_chance(fit, len(windows.classes)) for _, _, fit in fitted.fits):
        found.append(
            f"in {stuck} of {len(fitted.fits)} fits no epoch did better than chance where it was chosen: train longer "
            "(--epochs), or trust these figures as little"
        )
    if absent := [name for number, name in enumerate(windows.classes) if number not in trained]:
        found.append(f"no window of {', '.join(absent)} is there to train on")
    return found


def _stayed_at_chance(fit: FoldFit, num_classes: int) -> bool:
    """Return whether no epoch of a network that was trained did better than chance on what chose among them."""
    best = [value for name, value in fit.selected.items() if name.endswith("balanced_accuracy")]
    return bool(fit.curves) and max(best) <= 1 / num_classes + _NEAR_CHANCE


def _left_out(request: ProbeRequest, encoder: EEGEncoder, windows: Windows) -> tuple[str, ...]:
    """Return the electrodes the probe does not use: an adapter takes all, features only those the encoder reads."""
    if request.mode not in ON_FEATURES:
        return ()
    known = encoder.known(windows.electrodes)
    return tuple(name for place, name in enumerate(windows.electrodes) if place not in known)


def _table(seeds: list[Scored], resamples: int) -> dict[str, Figure]:
    """Return mean and deviation over seeds of each metric that applies, and the interval of that mean."""
    by_seed = [metrics.scores(one.labels, one.probabilities) for one in seeds]
    bounds = metrics.interval(seeds, resamples)
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


def _contamination(encoder: Identity, windows: Windows, tested: list[str]) -> Contamination:
    if not encoder.is_pretrained:
        return Contamination(known=True, seen_in_pretraining=(), note="the encoder was not pretrained")
    known = encoder.subjects
    if not known:
        note = "the encoder does not say whom it was trained on"
        return Contamination(known=False, seen_in_pretraining=(), note=note)
    seen = tuple(sorted(among(tested, known)))
    note = f"{len(seen)} of {len(tested)} test subjects were seen, without labels, in pretraining"
    unlinkable = [ids for ids in windows.manifest.recipe.unlinkable if ids.hides(tested, known)]
    for ids in unlinkable:
        note = f"{note}; {ids.whose} ids cannot be linked to {ids.others}"
    if encoder.more_subjects:
        note = f"{note}; its pretraining began with weights that do not say whom they had seen"
    return Contamination(known=not (unlinkable or encoder.more_subjects), seen_in_pretraining=seen, note=note)
