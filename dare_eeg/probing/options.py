"""Options of a probe: how it is fed, trained and chosen. The defaults are sound; the published ways are choices."""

from collections.abc import Set
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError
from typing_extensions import TypeIs

from dare_eeg.probing.scripts import OWN, PUBLISHED, script_of
from manifests import records
from manifests.errors import UsageError
from manifests.records import Part, added

Mode = Literal["conv-linear", "linear", "lora", "finetune"]

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


def trains_a_network(mode: Mode | Baseline) -> bool:
    """Return whether this goes by epochs, and draws what it begins with."""
    return mode in OWN


ON_FEATURES: frozenset[Mode | Baseline] = frozenset({"linear"})
"""Modes that fit on frozen features, of the electrodes that the encoder can read; the others train an adapter."""


Pool = Literal["mean", "mean+std", "flatten"]
"""What becomes of the moments of a window's features."""


Classifier = Literal["logistic", "ridge"]
"""What is fitted on frozen features."""


Precision = Literal["fp32", "bf16"]
"""What a frozen encoder computes in; what is made of windows before it and of features behind it is in float32."""


Schedule = Literal["one-cycle", "cosine"]
"""How the rate goes: up by a cosine from a 25th and Adam's beta1 against it, or straight up from 0; then a cosine."""


ClassWeights = Literal["none", "frequency"]
"""What a window counts: the same, or sqrt(mean frequency / frequency) of its class."""


_MICRO_BATCHES = 4  # of a step
_WARM_UP = 0.2  # of the epochs
_SMOOTHING = 0.1
_ONE_CYCLE_FALLS = 25e4
_COSINE_ENDS = 1e-6


_OF_FEATURES = frozenset({"pool", "precision", "clip", "penalty", "penalty_by", "centre", "classifier"})
"""Fields that modes on features ask; they ask no others."""

_OF_BASELINES = frozenset({"centre"})

_OF_TRAINED_BASELINES = frozenset(
    "epochs batch micro_batch lr schedule warm_up_epochs min_lr weight_decay label_smoothing class_weights"
    " choose_on".split()
)

_OF_ONE_MODE = {
    "layer_decay": frozenset({"finetune"}),
    "single_logit": frozenset({"finetune", "lora"}),
    "lora_rank": frozenset({"lora"}),
}
"""Fields of modes that train a network which not all of them ask."""


class ProbeOptions(Part):
    """How windows reach the encoder of a probe, by what a network is trained, and what chooses its epoch or penalty.

    ``electrode_ids`` ``positions`` numbers the adapter's outputs from 0, whatever electrodes they stand for.
    ``unit_scale`` is network input per µV (per whitened unit behind an ``alignment``), None the encoder's own.
    On frozen features, computed in ``precision``, ``pool`` says what becomes of their moments, and ``penalty_by`` what
    chooses the penalty: folds of the training subjects, with valid among them, or valid alone; ``centre`` whether what
    each subject's windows have in common is taken away first, without labels, as it is of what baselines see.
    ``classifier`` is what is fitted on them, each column clipped at its ``clip`` quantiles from below and above;
    ``penalty`` (C of logistic regression, the penalty of ridge) is chosen where it is None.

    A network is trained for ``epochs`` on steps of ``batch`` windows, cut into micro-batches of ``micro_batch``. The
    rate rises to ``lr`` in ``warm_up_epochs`` and falls to ``min_lr``; ``layer_decay`` is the factor from one block's
    to that of the block below it. ``single_logit`` says one number of two classes. None is what `settled` makes of it.
    """

    electrode_ids: Literal["own", "positions"] = "own"
    unit_scale: Annotated[float, Field(gt=0)] | None = None
    resampling: Literal["band_limited", "nearest", "none"] = "band_limited"
    alignment: Literal["none", "euclidean"] = "none"
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.9
    choose_on: Literal["valid", "test"] = "valid"
    pool: Pool = added("mean", absent="mean")
    precision: Precision = added("fp32", absent="fp32")
    penalty_by: Literal["inner folds", "valid"] = added("inner folds", absent="valid")
    centre: Literal["none", "subject"] = added("none", absent="none")
    classifier: Classifier = added("logistic", absent="logistic")
    clip: Annotated[float, Field(ge=0, lt=0.5)] = added(0.0, absent=0.0)
    penalty: Annotated[float, Field(gt=0)] | None = added(None, absent=None)
    epochs: Annotated[int, Field(ge=1)] | None = added(None, absent=None)
    batch: Annotated[int, Field(ge=1)] | None = added(None, absent=None)
    micro_batch: Annotated[int, Field(ge=1)] | None = added(None, absent=None)
    lr: Annotated[float, Field(gt=0)] | None = added(None, absent=5e-4)
    schedule: Schedule = added("one-cycle", absent="one-cycle")
    warm_up_epochs: Annotated[float, Field(ge=0)] | None = added(None, absent=None)
    min_lr: Annotated[float, Field(ge=0)] | None = added(None, absent=None)
    weight_decay: Annotated[float, Field(ge=0)] | None = added(None, absent=None)
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = added(None, absent=None)
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] | None = added(None, absent=None)
    class_weights: ClassWeights = added("frequency", absent="frequency")
    single_logit: bool = added(False, absent=False)
    lora_rank: int = added(4, absent=4, ge=1)

    def settled(self, mode: Mode | Baseline, num_classes: int) -> "ProbeOptions":
        """Return the options with every number that a mode takes, where it trains a network, in the place of None.

        Raises UsageError for numbers that contradict each other.
        """
        if not trains_a_network(mode):
            return self
        own = dict(OWN[mode]) | {name: value for name, value in self if value is not None}
        epochs, batch, lr = own["epochs"], own["batch"], own["lr"]
        lowest = lr / _ONE_CYCLE_FALLS if self.schedule == "one-cycle" else _COSINE_ENDS
        further = {
            "micro_batch": -(-batch // _MICRO_BATCHES),
            "warm_up_epochs": epochs * _WARM_UP,
            "min_lr": min(lr, lowest),
            "label_smoothing": _SMOOTHING if num_classes > 2 else 0.0,
        }
        found = further | own | {"single_logit": self.single_logit and num_classes == 2}
        for small, large in (("micro_batch", "batch"), ("warm_up_epochs", "epochs"), ("min_lr", "lr")):
            if found[small] > found[large]:
                reason = f"is more than {large}, {found[large]:g}"
                path = f"--set {small}={found[small]:g}"
                raise UsageError(reason, path=path, remedy=f"lower it, or set {large}")
        return self.model_copy(update=found)

    @property
    def passes(self) -> int:
        """How many windows go through a network at once, of settled options."""
        assert self.micro_batch is not None
        return self.micro_batch

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
            self.precision: self.precision != "fp32",
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


def options_of(
    mode: Mode | Baseline, as_published: bool = False, settings: tuple[str, ...] = (), corpus: str = ""
) -> ProbeOptions:
    """Return the options of a mode; ``settings`` are fields as KEY=VALUE, above what was published.

    That is by the script for the corpus, or the first of the mode's. Raises UsageError naming the field and the reason:
    one that the mode does not ask, or a mode without a precedent.
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
        raise UsageError(reason, path=f"--set {strange[0]}", remedy=f"it goes with {having(strange[0])}")
    published = PUBLISHED[mode][script_of(mode, corpus)] if as_published else {}
    try:
        return ProbeOptions(**{**published, **given})
    except ValidationError as problem:
        remedy = f"{mode} has {', '.join(sorted(fields_of(mode)))}"
        raise UsageError(f"--set {records.fault(problem)}", remedy=remedy) from None


def having(field: str) -> str:
    """Return the modes and baselines that ask a field, by comma."""
    return ", ".join(way for way in (*MODES, *BASELINES) if field in fields_of(way))


def fields_of(mode: Mode | Baseline) -> Set[str]:
    """Return the fields that a mode or baseline asks."""
    if is_baseline(mode):
        return _OF_TRAINED_BASELINES if is_trained_baseline(mode) else _OF_BASELINES
    if mode in ON_FEATURES:
        return _OF_FEATURES
    not_asked = {field for field, modes in _OF_ONE_MODE.items() if mode not in modes}
    return ProbeOptions.model_fields.keys() - _OF_FEATURES - not_asked
