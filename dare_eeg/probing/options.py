"""Options of a probe: how it is fed, trained and chosen. The defaults are sound; the published ways are choices."""

from collections.abc import Set
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError
from typing_extensions import TypeIs

from manifests import records
from manifests.errors import UsageError
from manifests.records import Part, added

Mode = Literal["conv-linear", "linear", "finetune"]

MODES: tuple[Mode, ...] = get_args(Mode)

TrainedBaseline = Literal["eegnet", "shallow-fbcsp"]

ClassicalBaseline = Literal[
    "majority",
    "band-power-logistic",
    "band-power-forest",
    "tangent-space",
    "filter-bank-tangent-space",
    "csp-lda",
]

Baseline = ClassicalBaseline | TrainedBaseline

TRAINED_BASELINES: tuple[TrainedBaseline, ...] = get_args(TrainedBaseline)
"""Networks that learn from nothing but the training subjects."""

BASELINES: tuple[Baseline, ...] = (*get_args(ClassicalBaseline), *TRAINED_BASELINES)
"""What an encoder has to beat: classical methods, and networks that start from nothing."""


def is_baseline(mode: Mode | Baseline) -> TypeIs[Baseline]:
    """Return whether this is a baseline: no encoder takes part."""
    return mode in BASELINES


def is_trained_baseline(mode: Mode | Baseline) -> TypeIs[TrainedBaseline]:
    """Return whether this is a baseline that goes by epochs, and draws its weights."""
    return mode in TRAINED_BASELINES


ON_FEATURES: frozenset[Mode | Baseline] = frozenset({"linear"})
"""Modes that fit on frozen features, of the electrodes that the encoder can read; the others train an adapter."""


Pool = Literal["mean", "mean+std", "flatten"]
"""What becomes of the moments of a window's features."""


Classifier = Literal["logistic", "ridge"]
"""What is fitted on frozen features."""


_OF_FEATURES = frozenset({"pool", "clip", "penalty", "penalty_by", "centre", "classifier"})
"""Fields that modes on features ask; they ask no others."""

_OF_BASELINES = frozenset({"centre"})


class ProbeOptions(Part):
    """How windows reach the encoder of a probe, and by what its best epoch or penalty is chosen.

    ``electrode_ids`` ``positions`` numbers the adapter's outputs from 0, whatever electrodes they stand for.
    ``unit_scale`` is network input per µV (per whitened unit behind an ``alignment``), None the encoder's own.
    ``layer_decay`` is the factor from one block's learning rate to that of the block below it. On frozen features,
    ``pool`` says what becomes of their moments, and ``penalty_by`` what chooses the penalty: folds of the training
    subjects, with valid among them, or valid alone; ``centre`` whether what each subject's windows have in common is
    taken away first, without labels, as it is of what baselines see. ``classifier`` is what is fitted on them, each
    column clipped at its ``clip`` quantiles from below and above; ``penalty`` (C of logistic regression, the penalty of
    ridge) is chosen where it is None.
    """

    electrode_ids: Literal["own", "positions"] = "own"
    unit_scale: Annotated[float, Field(gt=0)] | None = None
    resampling: Literal["band_limited", "nearest", "none"] = "band_limited"
    alignment: Literal["none", "euclidean"] = "none"
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.9
    choose_on: Literal["valid", "test"] = "valid"
    pool: Pool = added("mean", absent="mean")
    penalty_by: Literal["inner folds", "valid"] = added("inner folds", absent="valid")
    centre: Literal["none", "subject"] = added("none", absent="none")
    classifier: Classifier = added("logistic", absent="logistic")
    clip: Annotated[float, Field(ge=0, lt=0.5)] = added(0.0, absent=0.0)
    penalty: Annotated[float, Field(gt=0)] | None = added(None, absent=None)

    @property
    def feeds_as_encoder_expects(self) -> bool:
        """Whether windows reach the encoder at its rate, in its unit and by the names of their electrodes."""
        return (self.electrode_ids, self.unit_scale, self.resampling) == ("own", None, "band_limited")

    @property
    def is_transductive(self) -> bool:
        """Whether tested windows take part, without labels."""
        return self.alignment != "none" or self.centre != "none"

    @property
    def suffix(self) -> str:
        """What tells a row's name from that of the same encoder or baseline by default options."""
        told = {
            self.pool: self.pool != "mean",
            self.classifier: self.classifier != "logistic",
            "centred": self.centre == "subject",
            f"clipped-{self.clip:g}": self.clip > 0,
            f"penalty-{self.penalty or 0:g}": self.penalty is not None,
        }
        return "".join(f"-{name}" for name, is_told in told.items() if is_told)

    @property
    def cautions(self) -> tuple[str, ...]:
        """What the reader of its results must know."""
        applies = {
            "best epochs were chosen on test, so the figures flatter": self.choose_on == "test",
            "tested windows took part, without labels, in the alignment": self.alignment != "none",
            "tested windows took part, without labels, in centring each subject": self.centre != "none",
        }
        return tuple(caution for caution, applied in applies.items() if applied)


PUBLISHED: dict[str, ProbeOptions] = {
    "conv-linear": ProbeOptions(alignment="euclidean", unit_scale=0.1, resampling="nearest", choose_on="test"),
    "finetune": ProbeOptions(
        electrode_ids="positions", unit_scale=0.01, resampling="none", layer_decay=1.0, choose_on="test"
    ),
}
"""What the published scripts do instead, slips included: of BCIC-2b, and of TUAB and TUEV."""


def options_of(mode: Mode | Baseline, as_published: bool = False, settings: tuple[str, ...] = ()) -> ProbeOptions:
    """Return the options of a mode; ``settings`` are fields as KEY=VALUE, above what was published.

    Raises UsageError naming the field and the reason: one that the mode does not ask, or a mode without a precedent.
    """
    if as_published and mode not in PUBLISHED:
        raise UsageError(
            "only conv-linear and finetune have published ways", path=f"--mode {mode}", remedy="name one of them"
        )
    given: dict[str, Any] = {}
    for text in settings:
        given |= records.option(text, "choose_on=test")
    if strange := sorted(given.keys() & (ProbeOptions.model_fields.keys() - fields_of(mode))):
        reason = f"{strange[0]} is no choice of {mode}"
        raise UsageError(reason, path=f"--set {strange[0]}", remedy="docs/probing.md tells of every field")
    fields = (dict(PUBLISHED[mode]) if as_published else {}) | given
    try:
        return ProbeOptions(**fields)
    except ValidationError as problem:
        fault = records.fault(problem)
        raise UsageError(f"--set {fault}", remedy="docs/probing.md tells of every field") from None


def fields_of(mode: Mode | Baseline) -> Set[str]:
    """Return the fields that a mode or baseline asks."""
    if is_baseline(mode):
        return frozenset() if is_trained_baseline(mode) else _OF_BASELINES
    return _OF_FEATURES if mode in ON_FEATURES else ProbeOptions.model_fields.keys() - _OF_FEATURES
