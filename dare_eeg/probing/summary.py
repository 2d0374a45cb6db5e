"""Summary: the results of a probe from what was fitted: figures with intervals, who was on which side, who was seen."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from dare_eeg.data.shards import Windows
from dare_eeg.encoders.base import EEGEncoder, sha256_of_weights
from dare_eeg.encoders.own import OwnEncoder
from dare_eeg.encoders.zoo import ZooEncoder
from dare_eeg.probing import baselines, control
from dare_eeg.probing.figures import metrics
from dare_eeg.probing.figures.metrics import Scored
from dare_eeg.probing.fit import FoldFit
from dare_eeg.probing.options import ON_FEATURES, is_baseline
from dare_eeg.probing.request import ProbeRequest
from dare_eeg.probing.results import Confusion, Contamination, EncoderFacts, Figure, FoldFacts, Results
from dare_eeg.probing.splits import Fold, on_both_sides
from manifests import manifest
from manifests import recipe as recipes
from manifests.manifest import SPLITS
from manifests.recipe import EvaluationProtocol
from manifests.subjects import among

_METRIC = "balanced_accuracy"

_NEAR_CHANCE = 0.02
"""By how much a balanced accuracy may exceed that of chance and still be no more than that."""


@dataclass(frozen=True)
class Round:
    """The folds that a repeat draws and, by fold, what was fitted with a seed."""

    repeat: int
    seed: int
    folds: list[Fold]
    fits: list[FoldFit]

    @cached_property
    def tested(self) -> NDArray[np.int64]:
        """The tested windows of all folds, by number."""
        return np.sort(np.concatenate([fold.test for fold in self.folds]))

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """What is said of each tested window, (n, classes)."""
        order = np.argsort(np.concatenate([fold.test for fold in self.folds]), kind="stable")
        told: NDArray[np.float64] = np.concatenate([fit.probabilities for fit in self.fits])[order]
        return told


def summarise(
    request: ProbeRequest,
    protocol: EvaluationProtocol,
    encoder: EEGEncoder | None,
    windows: Windows,
    rounds: list[Round],
) -> Results:
    """Return what a probe found."""
    scored = [_scored(windows, one) for one in rounds]
    grouped = [
        metrics.by_recording(*one, windows.recordings[of.tested]) for one, of in zip(scored, rounds, strict=True)
    ]
    levels: dict[str, list[Scored]] = {"window": scored}
    if all(group is not None for group in grouped):
        levels["recording"] = [group for group in grouped if group is not None]
    numbers = list(range(len(windows.classes)))
    counts = sum(confusion_matrix(one.labels, one.probabilities.argmax(axis=1), labels=numbers) for one in scored)
    seeds = tuple(sorted({one.seed for one in rounds}))
    places = [(one.repeat, one.seed) for one in rounds]
    of_control = [list(zip(one.folds, one.fits, strict=True)) for one in rounds if request.supervision.permuted]
    tables = {level: _table(of, places, request.resamples) for level, of in levels.items()}
    return Results(
        corpus=windows.manifest.corpus,
        corpus_version=windows.manifest.corpus_version,
        manifest_sha256=manifest.sha256(request.shards),
        protocol=protocol,
        mode=request.mode,
        practice=request.options.settled(request.mode, len(windows.classes)),
        supervision=request.supervision,
        cautions=(
            *request.options.cautions,
            *_cautions(windows, rounds),
            *_untrained(request, encoder, windows),
            *_absent(request, encoder, windows),
            *(control.cautions(tables["window"][_METRIC], windows, of_control) if of_control else ()),
        ),
        encoder=None if encoder is None else facts_of(request.encoder, encoder),
        encoder_parameters=0 if encoder is None else sum(one.numel() for one in encoder.parameters()),
        trained_parameters=max(fit.trained for one in rounds for fit in one.fits),
        seeds=seeds,
        repeats=tuple(range(request.repeats)),
        classes=windows.classes,
        window_s=windows.shape[1] / windows.sfreq,
        electrodes_left_out=_left_out(request, encoder, windows),
        resamples=request.resamples,
        metrics=tables,
        confusion=Confusion(counts=np.asarray(counts).tolist()),
        folds=tuple(
            _fold(windows, [of for of in rounds if of.repeat == one.repeat], number)
            for one in rounds
            if one.seed == 0
            for number in range(len(one.folds))
        ),
        contamination=_contamination(
            encoder, windows, sorted({name for one in scored for name in one.subjects.tolist()})
        ),
    )


def window_figures(windows: Windows, rounds: list[Round], resamples: int) -> dict[str, Figure]:
    """Return each metric by window that applies: mean, deviations, interval of the mean."""
    scored, places = [_scored(windows, one) for one in rounds], [(one.repeat, one.seed) for one in rounds]
    return _table(scored, places, resamples)


def facts_of(path: str, encoder: EEGEncoder) -> EncoderFacts:
    """Return what results say of an encoder that was named so."""
    identity = encoder.identity
    return EncoderFacts(
        path=path,
        sha256=identity.sha256,
        size=identity.name,
        step=identity.step,
        pretrained_on=identity.pretrained_on,
        notes=identity.notes,
        code_sha256=encoder.file_sha256 if isinstance(encoder, OwnEncoder) else "",
        weights_sha256=sha256_of_weights(encoder) if isinstance(encoder, OwnEncoder) else "",
    )


def _scored(windows: Windows, one: Round) -> Scored:
    return Scored(windows.labels[one.tested].astype(np.int64), one.probabilities, windows.subjects[one.tested])


def _cautions(windows: Windows, rounds: list[Round]) -> list[str]:
    """Return what the reader must know of who and what was trained on and tested."""
    folds = [fold for one in rounds for fold in one.folds]
    fits = [fit for one in rounds for fit in one.fits]
    tested = windows.labels[np.concatenate([fold.test for fold in folds])]
    trained = windows.labels[np.concatenate([fold.train for fold in folds])]
    found = []
    if shared := {name for fold in folds for name in on_both_sides(windows, fold)}:
        same = any(np.isin(windows.recordings[fold.test], windows.recordings[fold.train]).any() for fold in folds)
        what = "windows of the same recordings" if same else "recordings of theirs"
        found.append(f"{len(shared)} of the tested subjects are trained on, too, with other {what}")
    if left := sum(fold.left_out for fold in rounds[0].folds):
        moved = sum(len(fold.calibrated) for fold in rounds[0].folds)
        found.append(
            f"{moved} windows of tested subjects are trained on: {left} left the test, those that overlap them included"
        )
    if len(set(tested.tolist())) == 1:
        only = windows.classes[tested[0]]
        found.append(f"the tested windows are all of the class {only}: no figure says how classes are told apart")
    is_control = any(fold.said is not None for fold in folds)
    if not is_control and (stuck := sum(_stayed_at_chance(fit, len(windows.classes)) for fit in fits)):
        found.append(
            f"in {stuck} of {len(fits)} fits no epoch did better than chance where it was chosen: train longer "
            "(--epochs), or take these figures for guesses"
        )
    if unconverged := sum("unconverged" in fit.selected for fit in fits):
        found.append(
            f"in {unconverged} of {len(fits)} fits the classifier had not converged when it was stopped: features that "
            "differ by orders of magnitude do that"
        )
    if absent := [name for number, name in enumerate(windows.classes) if number not in trained]:
        found.append(f"no window of {', '.join(absent)} is there to train on")
    return found


def _stayed_at_chance(fit: FoldFit, num_classes: int) -> bool:
    """Return whether no epoch of a network that was trained did better than chance on what chose among them."""
    best = [value for name, value in fit.selected.items() if name.endswith(_METRIC)]
    return bool(fit.curves) and max(best) <= 1 / num_classes + _NEAR_CHANCE


def _untrained(request: ProbeRequest, encoder: EEGEncoder | None, windows: Windows) -> list[str]:
    """Return in a line which electrodes features are of although the encoder was not trained on them, if any."""
    if encoder is None or request.mode not in ON_FEATURES:
        return []
    strange = encoder.untrained(windows.electrodes)
    return [f"the encoder was not trained on {', '.join(strange)}, which are used all the same"] if strange else []


def _absent(request: ProbeRequest, encoder: EEGEncoder | None, windows: Windows) -> list[str]:
    """Return in a line how many windows lack electrodes that an encoder cannot be told to be absent, if any do."""
    if not isinstance(encoder, ZooEncoder) or request.mode not in ON_FEATURES:
        return []
    lacking = int((~windows.present[:, encoder.known(windows.electrodes)]).any(axis=1).sum())
    return [f"{lacking} of {len(windows)} windows lack electrodes, which the encoder takes as flat"] if lacking else []


def _left_out(request: ProbeRequest, encoder: EEGEncoder | None, windows: Windows) -> tuple[str, ...]:
    """Return the electrodes the probe does not use: an adapter takes all, features only those the encoder reads."""
    if is_baseline(request.mode):
        return baselines.electrodes_left_out(request.mode, windows)
    if encoder is None or request.mode not in ON_FEATURES:
        return ()
    known = encoder.known(windows.electrodes)
    return tuple(name for place, name in enumerate(windows.electrodes) if place not in known)


def _table(scored: list[Scored], places: list[tuple[int, int]], resamples: int) -> dict[str, Figure]:
    """Return each metric that applies, of what was tested by (repeat, seed): mean, deviations, interval of the mean."""
    by_round = [metrics.scores(one.labels, one.probabilities) for one in scored]
    bounds = metrics.interval(scored, resamples)
    table = {}
    for name in by_round[0]:
        values = {place: one[name] for place, one in zip(places, by_round, strict=True)}
        if np.isfinite(list(values.values())).all():
            repeats, seeds = (_means(values, axis) for axis in (0, 1))
            table[name] = Figure(
                mean=float(np.mean(list(values.values()))),
                sd=_deviation(seeds),
                ci95=bounds[name],
                seeds=seeds,
                sd_repeats=_deviation(repeats),
                repeats=repeats,
            )
    return table


def _means(values: dict[tuple[int, int], float], axis: int) -> tuple[float, ...]:
    """Return the mean of values by (repeat, seed) for each repeat (axis 0) or each seed (1)."""
    numbers = sorted({place[axis] for place in values})
    return tuple(float(np.mean([one for place, one in values.items() if place[axis] == number])) for number in numbers)


def _deviation(values: tuple[float, ...]) -> float:
    return float(np.std(values, ddof=1)) if len(set(values)) > 1 else 0.0


def _fold(windows: Windows, rounds: list[Round], number: int) -> FoldFacts:
    """Return the facts of a fold of a repeat, of which there is a round with each seed."""
    parts = {name: getattr(rounds[0].folds[number], name) for name in SPLITS}
    return FoldFacts(
        repeat=rounds[0].repeat,
        subjects={name: tuple(sorted({*windows.subjects[part].tolist()})) for name, part in parts.items()},
        windows={name: len(part) for name, part in parts.items()},
        selected=tuple({"seed": one.seed} | one.fits[number].selected for one in rounds),
    )


def _contamination(probed: EEGEncoder | None, windows: Windows, tested: list[str]) -> Contamination:
    if probed is None or not (encoder := probed.identity).is_pretrained:
        what = "a baseline is not pretrained" if probed is None else "the encoder was not pretrained"
        return Contamination(known=True, seen_in_pretraining=(), note=what)
    known = encoder.subjects
    if not known:
        note = "the encoder does not say whom it was trained on" + _of_corpora(encoder.corpora, windows)
        return Contamination(known=False, seen_in_pretraining=(), note=note)
    seen = tuple(sorted(among(tested, known)))
    note = f"{len(seen)} of {len(tested)} test subjects were seen, without labels, in pretraining"
    unlinkable = [ids for ids in windows.manifest.recipe.unlinkable if ids.hides(tested, known)]
    for ids in unlinkable:
        note = f"{note}; {ids.whose} ids cannot be linked to {ids.others}"
    if encoder.more_subjects:
        note = f"{note}; its pretraining began with weights that do not say whom they had seen"
    return Contamination(known=not (unlinkable or encoder.more_subjects), seen_in_pretraining=seen, note=note)


def _of_corpora(corpora: tuple[str, ...], windows: Windows) -> str:
    """Return what the corpora of pretraining tell of the tested subjects, "" where an encoder names none."""
    if not corpora:
        return ""
    here, namespace = windows.manifest.corpus, windows.manifest.recipe.namespace
    ours = [name for name in corpora if name in recipes.names()]
    kin = [name for name in ours if name == here or recipes.load(name).namespace == namespace]
    told = f"those tested may be among them, by {', '.join(kin)}" if kin else f"{here} is not among those named"
    return f": its corpora were {', '.join(corpora)}; {told}"
