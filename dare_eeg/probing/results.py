"""Results: what a probe found, as results.json keeps it."""

from dare_eeg.probing.options import Mode, ProbeOptions
from manifests.recipe import EvaluationProtocol
from manifests.records import Part, Record, added


class EncoderFacts(Part):
    """Which encoder was probed: ``pretrained_on`` is the sha256 of a manifest, empty where unknown."""

    path: str
    sha256: str
    size: str
    step: int
    pretrained_on: str
    notes: tuple[str, ...]


class Figure(Part):
    """A metric: its mean and deviation over seeds, each seed's value, and the mean's interval over subjects if any."""

    mean: float
    sd: float
    ci95: tuple[float, float] | None
    seeds: tuple[float, ...]


class Confusion(Part):
    """How many windows of each true class, a row, were taken for which, a column."""

    rows: str = "true"
    columns: str = "predicted"
    counts: tuple[tuple[int, ...], ...]


class FoldFacts(Part):
    """Who was trained on, selected on and tested on, how many windows that is, and what each seed selected."""

    subjects: dict[str, tuple[str, ...]]
    windows: dict[str, int]
    selected: tuple[dict[str, int | float], ...]


class Contamination(Part):
    """Which test subjects the encoder has seen, unlabelled, in pretraining, as far as can be ``known``."""

    known: bool
    seen_in_pretraining: tuple[str, ...]
    note: str


class Results(Record):
    """All that a probe found.

    ``metrics`` are by level (window, recording) and name, their intervals over so many ``resamples`` of the subjects.
    """

    KIND = "results"

    corpus: str
    corpus_version: str
    manifest_sha256: str
    protocol: EvaluationProtocol
    mode: Mode
    practice: ProbeOptions
    cautions: tuple[str, ...]
    encoder: EncoderFacts
    seeds: tuple[int, ...]
    classes: tuple[str, ...]
    electrodes_left_out: tuple[str, ...]
    resamples: int = added(500, absent=500)
    metrics: dict[str, dict[str, Figure]]
    confusion: Confusion
    folds: tuple[FoldFacts, ...]
    contamination: Contamination
