"""Predict: what the fits of a row say of raw recordings, which need not be of the set that was probed."""

import csv
import io
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.windows import AnyWindows, CutWindows
from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.encoders.named import is_control
from dare_eeg.probing import baselines, kept_set, modes
from dare_eeg.probing.fit import Model, Restorer
from dare_eeg.probing.fits import FOLDER, KeptFits, Place
from dare_eeg.probing.fitting import encoder_of, question_of
from dare_eeg.probing.kept_set import KnownRecording
from dare_eeg.probing.options import ON_FEATURES, is_baseline, is_trained_baseline
from dare_eeg.probing.raw_windows import RawFiles, pieces
from dare_eeg.probing.request import request_of
from dare_eeg.probing.results import RESULTS, FoldFacts, Results
from dare_eeg.probing.summary import facts_of
from dare_eeg.probing.views.alignment import AlignedView
from dare_eeg.probing.views.interpolation import InterpolatedView
from manifests import records
from manifests.electrodes import VOCABULARY
from manifests.errors import MissingError, RefusedError, UsageError
from manifests.notes import one_line

_MOST_MODELS = 8
"""Models that are held at once: of a few folds, as each may be a whole encoder."""

_AGAIN = "remove its results.json and its folder fits, and run the same dare probe again"

_HEAD = b"level,file,start_s,predicted"
"""What files of labels begin with."""


@dataclass(frozen=True)
class Labelled:
    """What is said of a recording: of its windows, (n,) and (n, classes), and of all of them; ``notes`` say how."""

    path: Path
    start_s: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    notes: tuple[str, ...]

    @property
    def whole(self) -> NDArray[np.float64]:
        """Probabilities (classes,) of the recording: the mean of those of its windows."""
        return np.asarray(self.probabilities.mean(axis=0))


class KeptProbe:
    """A row that was probed, with its fits: it labels recordings.

    ``encoder`` says where its encoder lies now, "" where it lay then. Raises DareError where the folder is no row, its
    fits are not kept, damaged or not its own, or the encoder is not the one that was probed.
    """

    def __init__(self, row: Path, encoder: str = "") -> None:
        if not (row / RESULTS).is_file():
            remedy = "name the folder of a row, such as probes/CORPUS/ROW"
            raise MissingError("holds no results of a probe", path=row, remedy=remedy)
        self.results = records.load(Results, row / RESULTS, "probe again")
        self._set = kept_set.load(row)
        self._request = request_of(self.results, row, Path(), encoder)
        question = question_of(self._request, self.results.manifest_sha256, self.results.protocol, self.results.encoder)
        self._fits = KeptFits(row / FOLDER, question, lambda _line: None)
        self._folds = _by_place(self.results)
        self._models: OrderedDict[tuple[Place, tuple[str, ...]], Model] = OrderedDict()
        self._restorers: dict[tuple[int, tuple[str, ...]], Restorer] = {}
        self._encoder, self._seed = self._encoder_of(0), 0
        if lost := [place for place in self._folds if self._fits.load(place) is None]:
            reason = f"{lost[0].file} is missing, damaged, or of another question than results.json"
            raise RefusedError(reason, path=self._fits.folder, remedy=_AGAIN)

    def label(self, path: Path, raw: RawFiles) -> Labelled:
        """Return what is said of a recording; DareError where it cannot be read or gives no window."""
        starts_s, told, notes = [], [], dict[str, None]()
        places: list[Place] = []
        parts = list(pieces(path, raw, self._set.recipe, self._others()))
        if self.results.practice.is_transductive:
            parts = [(_joined([windows for windows, _ in parts]), parts[0][1])]
            notes["centred or aligned by its own windows alone, as if it were all that there is of its subject"] = None
        for windows, said in parts:
            if not places:
                places, which = self._choose(self._known(path, raw))
                notes |= dict.fromkeys((*self._absent(windows), which))
            notes |= dict.fromkeys(said)
            seen = self._as_fitted(windows)
            of_fits = [self._model(place, seen).predict(seen, np.arange(len(seen))) for place in places]
            told.append(np.mean(of_fits, axis=0))
            starts_s.append(windows.start_s)
        return Labelled(path, np.concatenate(starts_s), np.concatenate(told), tuple(filter(None, notes)))

    def _others(self) -> tuple[str, ...]:
        """Return the electrodes that may stand in for the recipe's: features are of whatever the encoder knows."""
        if self._encoder is None or self.results.mode not in ON_FEATURES:
            return ()
        names = tuple(dict.fromkeys((*self._encoder.electrodes, *VOCABULARY)))
        return tuple(names[place] for place in self._encoder.known(names))

    def _absent(self, windows: CutWindows) -> list[str]:
        """Return in a line which of the recipe's electrodes a recording lacks, and what is made of that."""
        mode, lacking = self.results.mode, np.flatnonzero(~windows.present.any(axis=0)).tolist()
        names = [windows.electrodes[place] for place in lacking]
        names = [name for name in names if name not in self.results.electrodes_left_out]
        if not names or windows.electrodes != self._set.recipe.electrodes:
            return []
        what = "zeros"
        if is_baseline(mode) and not is_trained_baseline(mode):
            what = "interpolated" if mode in baselines.OF_COVARIANCES else "means of those trained on"
        elif mode in ON_FEATURES:
            what = "left out"
        return [f"lacks {len(names)} electrodes of the recipe, which are {what}: {', '.join(names)}"]

    def _as_fitted(self, windows: CutWindows) -> AnyWindows:
        seen: AnyWindows = windows
        if self.results.mode in baselines.OF_COVARIANCES and not windows.present.all():
            seen = InterpolatedView(windows)
        return seen if self.results.practice.alignment == "none" else AlignedView(seen)

    def _known(self, path: Path, raw: RawFiles) -> KnownRecording | None:
        """Return which recording of the set this is, if any."""
        sha256 = raw.sha256(path)
        return next((one for one in self._set.recordings if one.sha256 == sha256), None)

    def _choose(self, known: KnownRecording | None) -> tuple[list[Place], str]:
        """Return which fits label a recording, and why not all of them do."""
        if known is None:
            return list(self._folds), ""
        of = known.subject
        strangers = [place for place, fold in self._folds.items() if of not in _fitted_on(fold)]
        testers = [place for place, fold in self._folds.items() if of in fold.subjects["test"]]
        chosen = [place for place in strangers if place in testers] or strangers
        if chosen:
            told = f"{known.path} of the set: labelled by the {len(chosen)} of {len(self._folds)} fits"
            return chosen, f"is {told} that were not fitted on its subject"
        told = "what is said of it may flatter"
        return testers or list(self._folds), f"is {known.path} of the set, whose subject was fitted on: {told}"

    def _model(self, place: Place, windows: AnyWindows) -> Model:
        key = place, windows.electrodes
        if key in self._models:
            self._models.move_to_end(key)
            return self._models[key]
        try:
            model = self._restorer(place.seed, windows)(self._fits.tensors(place))
        except (ValueError, KeyError) as problem:
            reason = f"{place.file} is no fit of this row ({problem})"
            raise RefusedError(reason, path=self._fits.folder, remedy=_AGAIN) from problem
        self._models[key] = model
        if len(self._models) > _MOST_MODELS:
            self._models.popitem(last=False)
        return model

    def _restorer(self, seed: int, windows: AnyWindows) -> Restorer:
        of = seed if is_control(self._request.encoder) else 0
        if (of, windows.electrodes) in self._restorers:
            return self._restorers[of, windows.electrodes]
        if of != self._seed:
            self._encoder, self._seed = self._encoder_of(of), of
        mode, options = self.results.mode, self.results.practice
        if is_baseline(mode):
            left_out = self.results.electrodes_left_out
            used = [place for place, name in enumerate(windows.electrodes) if name not in left_out]
            made = baselines.restorer(mode, windows, used, options)
        else:
            assert self._encoder is not None
            made = modes.restorer(mode, self._encoder, windows, options)
        self._restorers[of, windows.electrodes] = made
        return made

    def _encoder_of(self, seed: int) -> EEGEncoder | None:
        """Return the encoder, None of a baseline; RefusedError where it is not the one that was probed."""
        then = self.results.encoder
        if then is None:
            return None
        encoder = encoder_of(self._request, seed)
        if facts_of(then.path, encoder) != then:
            reason = f"is not the encoder that was probed, whose sha256 began with {then.sha256[:12]}"
            remedy = "name that one with --encoder, or probe again"
            raise RefusedError(reason, path=self._request.encoder, remedy=remedy)
        return encoder


def refuse_other_than_labels(out: Path) -> None:
    """Raise UsageError where `as_csv` did not write what is there: a recording, a row's file, a device, a folder."""
    if not out.exists():
        return
    if out.is_file():
        with out.open("rb") as stream:
            if stream.read(len(_HEAD)) in (b"", _HEAD):
                return
    raise UsageError("is there and holds no labels of recordings", path=out, remedy="name another file with --out")


def as_csv(found: Sequence[Labelled], classes: Sequence[str]) -> bytes:
    """Return a row for each window and, below those of a recording, one for the whole of it."""
    stream = io.StringIO()
    lines = csv.writer(stream, lineterminator="\n")
    lines.writerow([*_HEAD.decode().split(","), *(f"p_{name}" for name in classes)])
    for one in found:
        starts = [f"{start_s:.6g}" for start_s in one.start_s.tolist()]
        windows = [("window", start, told) for start, told in zip(starts, one.probabilities, strict=True)]
        for level, start, told in [*windows, ("recording", "", one.whole)]:
            cells = (repr(float(probability)) for probability in told)
            lines.writerow([level, one.path, start, classes[int(told.argmax())], *cells])
    return stream.getvalue().encode(errors="surrogateescape")


def as_json(one: Labelled, classes: Sequence[str]) -> dict[str, Any]:
    """Return what is said of a recording as a whole."""
    whole = dict(zip(classes, one.whole.tolist(), strict=True))
    predicted = classes[int(one.whole.argmax())]
    facts = {"file": str(one.path), "windows": len(one.start_s), "predicted": predicted}
    return facts | {"probabilities": whole, "notes": list(one.notes)}


def text(one: Labelled, classes: Sequence[str]) -> str:
    """Return what is said of a recording as a line a person reads."""
    best = int(one.whole.argmax())
    likeliest = int(np.count_nonzero(one.probabilities.argmax(axis=1) == best))
    notes = "".join(f"; {note}" for note in one.notes)
    return one_line(
        f"{one.path}: {classes[best]} {one.whole[best]:.3f}, in {likeliest} of {len(one.start_s)} windows{notes}"
    )


def worth(results: Results) -> str:
    """Return in a line what a row's labels are worth, by its own test."""
    figure = results.metrics["window"]["balanced_accuracy"]
    bounds = "" if figure.ci95 is None else ", 95 % {:.3f} to {:.3f}".format(*figure.ci95)
    chance = 1 / len(results.classes)
    return f"by its own test: balanced accuracy {figure.mean:.3f}{bounds}; chance is {chance:.3g}"


def _fitted_on(fold: FoldFacts) -> set[str]:
    return {*fold.subjects["train"], *fold.subjects["valid"]}


def _by_place(results: Results) -> dict[Place, FoldFacts]:
    """Return the folds of a row by the fits that were made of them."""
    of_repeat: dict[int, list[FoldFacts]] = {}
    for fold in results.folds:
        of_repeat.setdefault(fold.repeat, []).append(fold)
    return {
        Place(repeat, seed, number): fold
        for repeat, found in of_repeat.items()
        for seed in results.seeds
        for number, fold in enumerate(found)
    }


def _joined(parts: list[CutWindows]) -> CutWindows:
    """Return the windows of all pieces of a recording together."""
    first = parts[0]
    return CutWindows(
        first.folder,
        first.recipe,
        [counts for one in parts for counts in one.counts],
        first.scale,
        np.concatenate([one.start_s for one in parts]).tolist(),
    )
