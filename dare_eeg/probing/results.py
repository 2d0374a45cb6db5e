"""Results: what a probe found, as results.json keeps it."""

from collections.abc import Mapping
from typing import ClassVar

from dare_eeg.probing.options import Baseline, Mode, ProbeOptions
from dare_eeg.probing.supervision import Supervision
from manifests.recipe import EvaluationProtocol
from manifests.records import Fields, Part, Record, Upgrade, added

RESULTS = "results.json"
"""The file of a row's results."""


class EncoderFacts(Part):
    """Which encoder was probed: ``pretrained_on`` is the sha256 of a manifest, empty where unknown.

    ``code_sha256`` is that of the file which an encoder of one's own comes from, ``weights_sha256`` of what it holds.
    """

    path: str
    sha256: str
    size: str
    step: int
    pretrained_on: str
    notes: tuple[str, ...]
    code_sha256: str = added("", absent="")
    weights_sha256: str = added("", absent="")


class Figure(Part):
    """A metric, of all folds' windows together: its mean over repeats and seeds, and its interval over subjects if any.

    ``sd`` is the deviation over ``seeds`` (other weights and orders), the mean over repeats of each, ``sd_repeats``
    that over ``repeats`` (other folds of subjects), the mean over seeds of each.
    """

    mean: float
    sd: float
    ci95: tuple[float, float] | None
    seeds: tuple[float, ...]
    sd_repeats: float = added(0.0, absent=0.0)
    repeats: tuple[float, ...] = added((), absent=())


class Confusion(Part):
    """How many windows of each true class, a row, were taken for which, a column."""

    rows: str = "true"
    columns: str = "predicted"
    counts: tuple[tuple[int, ...], ...]


class FoldFacts(Part):
    """Who was trained on, selected on and tested on, how many windows that is, and what each seed selected."""

    repeat: int = added(0, absent=0)
    subjects: dict[str, tuple[str, ...]]
    windows: dict[str, int]
    selected: tuple[dict[str, int | float], ...]


class Contamination(Part):
    """Which test subjects the encoder has seen, unlabelled, in pretraining, as far as can be ``known``."""

    known: bool
    seen_in_pretraining: tuple[str, ...]
    note: str


def _with_epochs_in_practice(fields: Fields) -> Fields:
    """Return results of schema 1, whose epochs stood beside the practice, 0 where they were the mode's own."""
    epochs = fields.pop("epochs", 0)
    return fields | ({"practice": {**fields["practice"], "epochs": epochs}} if epochs else {})


class Results(Record):
    """All that a probe found.

    ``encoder`` is None of a baseline. It has so many parameters, and so many numbers of a network were trained: 0 where
    there is none, or older code did not count them. ``window_s`` is 0 in older results. ``metrics`` are by level
    (window, recording) and name, their intervals over so many ``resamples`` of the subjects.
    """

    KIND = "results"
    SCHEMA = 2
    UPGRADES: ClassVar[Mapping[int, Upgrade]] = {1: _with_epochs_in_practice}

    corpus: str
    corpus_version: str
    manifest_sha256: str
    protocol: EvaluationProtocol
    mode: Mode | Baseline
    practice: ProbeOptions
    supervision: Supervision = added(Supervision(), absent=Supervision())
    cautions: tuple[str, ...]
    encoder: EncoderFacts | None
    encoder_parameters: int = added(0, absent=0)
    trained_parameters: int = added(0, absent=0)
    seeds: tuple[int, ...]
    repeats: tuple[int, ...] = added((0,), absent=(0,))
    classes: tuple[str, ...]
    window_s: float = added(0.0, absent=0.0)
    electrodes_left_out: tuple[str, ...]
    resamples: int = added(500, absent=500)
    metrics: dict[str, dict[str, Figure]]
    confusion: Confusion
    folds: tuple[FoldFacts, ...]
    contamination: Contamination
