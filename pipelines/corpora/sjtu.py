"""What the emotion corpora of Shanghai Jiao Tong University have in common: the cap, and films as variables of MAT."""

import re
from abc import abstractmethod

from manifests.errors import DamagedError
from manifests.notes import Note, note
from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines.corpora.base import Corpus
from pipelines.formats.arrays import Arrays
from pipelines.recording import Recording
from pipelines.windows import LabelledOnset, within

LABELS: tuple[str, ...] = tuple(
    """FP1 FPZ FP2 AF3 AF4 F7 F5 F3 F1 FZ F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 T7 C5 C3 C1 CZ C2 C4 C6 T8
    TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 P7 P5 P3 P1 PZ P2 P4 P6 P8 PO7 PO5 PO3 POZ PO4 PO6 PO8 CB1 O1 OZ O2
    CB2""".split()
)
"""The 62 electrodes in the order of the rows; CB1 and CB2 lie below the 10-10 system."""

_FILM = re.compile(r"_eeg(\d+)$")


class Sjtu(Corpus):
    """A corpus whose files hold a variable a film, named by the subject's initials and the film's number."""

    def arrays(self, _raw: RawRecording) -> Arrays | None:
        """Return the layout of a session."""
        return Arrays(variables=r"\w+_eeg\d+", axes="channel time", labels=LABELS, sfreq=200.0)

    def is_label_event(self, text: str) -> bool:
        """Return whether an event is a film."""
        return _FILM.search(text) is not None

    @abstractmethod
    def films(self, raw: RawRecording, labels: bytes) -> list[int]:
        """Return the class of every film of a session, in the order of their numbers."""

    def cues(
        self, raw: RawRecording, recording: Recording, labels: bytes, recipe: Recipe
    ) -> tuple[list[LabelledOnset], list[Note]]:
        """Return a cue for each window that fits into a film.

        Raises DareError where a film's number is not one of 1 to the number of labels, or there twice.
        """
        if not raw.session:
            return super().cues(raw, recording, labels, recipe)
        truth = self.films(raw, labels)
        films = {event: int(match[1]) for event in recording.events if (match := _FILM.search(event.text))}
        numbers, known = sorted(films.values()), range(1, len(truth) + 1)
        if not numbers or len(set(numbers)) < len(numbers) or not set(numbers) <= set(known):
            raise DamagedError(
                f"holds films {', '.join(map(str, numbers)) or 'none'}, where 1 to {len(truth)} have labels",
                path=raw.path,
                remedy="get the file again",
            )
        cues = [
            cue
            for event, number in films.items()
            for cue in within(event.onset_s, event.duration_s, truth[number - 1], recipe)
        ]
        lost = [str(number) for number in known if number not in numbers]
        return cues, [note("films missing", "films {names} are not in the file", lost)] if lost else []
