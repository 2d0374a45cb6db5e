"""The Graz sets of BCI Competition IV: GDF sessions with their labels beside them, or the .mat files of the BNCI.

Both distributions name a file A01T.mat: beside a GDF session its labels, alone the recording itself. Whichever of the
two lies beside a session holds the labels, so a session with both is read once, from GDF.
"""

import re
from pathlib import PurePosixPath
from typing import ClassVar

from manifests.electrodes import canonical
from manifests.errors import DamagedError, MissingError, RefusedError
from manifests.notes import Note, note
from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines.corpora.base import Corpus
from pipelines.formats import matlab
from pipelines.formats.arrays import Arrays
from pipelines.recording import Recording
from pipelines.windows import LabelledOnset

_UNKNOWN_CUE = "783"
_FIRST_CUE = 769
_SFREQ_HZ = 250.0


class Graz(Corpus):
    """One of the two sets: its ``CLASSES`` in the order of their cues, from 769, and of their labels, from 1.

    ``GDF`` and ``BNCI`` match the names of the files, with groups subject and session (and in ``GDF`` stem, the name
    of the file of labels); a session ends in T (training) or E (evaluation, its cues unknown). ``COLUMNS`` are the
    channels of a BNCI recording, whose trials begin ``CUE_S`` before the cue; ``MONTAGE`` as in `RawRecording`.
    """

    GDF: ClassVar[re.Pattern[str]]
    BNCI: ClassVar[re.Pattern[str]]
    COLUMNS: ClassVar[tuple[str, ...]]
    CUE_S: ClassVar[float]
    MONTAGE: ClassVar[tuple[str, ...]] = ()

    def version(self, paths: list[str]) -> str:
        """Return 2008 where there are GDF sessions, as in the competition, else BNCI."""
        return "2008" if any(map(self.GDF.search, paths)) else "BNCI"

    def find(self, paths: list[str], recipe: Recipe) -> list[RawRecording]:
        """Return every session; the evaluation sessions (E) are test, and in GDF need their labels from a .mat file."""
        mats = {PurePosixPath(path).stem.upper(): path for path in reversed(paths) if path.lower().endswith(".mat")}
        sessions = [self._session(path, match, mats, recipe) for path in paths if (match := self.GDF.search(path))]
        taken = {(one.subject, one.test) for one in sessions}
        labels = {one.label_file for one in sessions}
        others = [
            self._bnci_session(path, match, taken, recipe)
            for path in paths
            if path not in labels and (match := self.BNCI.search(path))
        ]
        return sorted(sessions + others, key=lambda one: one.path)

    def arrays(self, raw: RawRecording) -> Arrays | None:
        """Return how a BNCI file holds its runs: an array of structs, each with signal, trials and their labels."""
        if not self.BNCI.search(raw.path):
            return None
        return Arrays("data", "time channel", self.COLUMNS, _SFREQ_HZ, field="X", onsets="trial", codes="y")

    def is_label_event(self, text: str) -> bool:
        """Return whether an event is a cue, known or not, or a trial of the BNCI's."""
        codes = {str(first + label) for first in (1, _FIRST_CUE) for label in range(len(self.CLASSES))}
        return text in codes | {_UNKNOWN_CUE}

    def cues(
        self, raw: RawRecording, recording: Recording, labels: bytes, _recipe: Recipe
    ) -> tuple[list[LabelledOnset], list[Note]]:
        """Return every cue with its class, rejected trials kept as in the published results.

        Labels of a GDF session come from the .mat where there is one, and must then agree with the cues in number
        and, in training sessions, one by one.
        """
        if self.BNCI.search(raw.path):
            return self._bnci_cues(raw, recording), []
        codes = {str(_FIRST_CUE + label): 1 + label for label in range(len(self.CLASSES))}
        events = [event for event in recording.events if event.text in (*codes, _UNKNOWN_CUE)]
        from_cues = [codes.get(event.text, 0) for event in events]
        truth = from_cues
        if raw.label_file:
            truth = matlab.whole_numbers(raw.label_file, labels, "data.y", "classlabel")
        if len(truth) != len(events):
            raise DamagedError(
                f"{len(events)} cues but {len(truth)} labels in {raw.label_file}",
                path=raw.path,
                remedy="get both files again",
            )
        if not events:
            raise MissingError(
                f"holds no cue ({', '.join(codes)} or {_UNKNOWN_CUE})", path=raw.path, remedy="get the file again"
            )
        for event, label, code in zip(events, truth, from_cues, strict=True):
            if label not in codes.values() or code not in (0, label):
                raise RefusedError(
                    f"the cue at {event.onset_s:.3f} s is {event.text}, its label {label}",
                    path=raw.path,
                    remedy=f"check that {raw.label_file or 'the file'} belongs to this session",
                )
        return [LabelledOnset(event.onset_s, label - 1) for event, label in zip(events, truth, strict=True)], []

    def _session(self, path: str, match: re.Match[str], mats: dict[str, str], recipe: Recipe) -> RawRecording:
        stem, session = match["stem"].upper(), match["session"].upper()
        evaluation = session.endswith("E")
        unknown = note("no labels", "true labels: there is no {names} below --src", [f"{stem}.mat"])
        return RawRecording(
            path=path,
            subject=f"{recipe.namespace}:{match['subject'].upper()}",
            session=session,
            test=evaluation,
            label_file=mats.get(stem, ""),
            lacks=unknown if evaluation and stem not in mats else None,
            montage=tuple(map(canonical, self.MONTAGE)),
        )

    def _bnci_session(
        self, path: str, match: re.Match[str], taken: set[tuple[str, bool]], recipe: Recipe
    ) -> RawRecording:
        name, session = match["subject"].upper(), match["session"].upper()
        subject, evaluation = f"{recipe.namespace}:{name}", session == "E"
        elsewhere = note("read from GDF", f"{{names}} is read from its GDF sessions ({session})", [name])
        return RawRecording(
            path=path,
            subject=subject,
            session=session,
            test=evaluation,
            skip=elsewhere if (subject, evaluation) in taken else None,
        )

    def _bnci_cues(self, raw: RawRecording, recording: Recording) -> list[LabelledOnset]:
        labels = {str(1 + label): label for label in range(len(self.CLASSES))}
        trials = [event for event in recording.events if event.text in labels]
        if not trials:
            raise MissingError(
                f"holds no trial of the classes 1 to {len(labels)}", path=raw.path, remedy="get the file again"
            )
        return [LabelledOnset(event.onset_s + self.CUE_S, labels[event.text]) for event in trials]
