"""Options of a probe: how it is fed, trained and chosen. The defaults are sound; the published ways are choices."""

from typing import Annotated, Literal, get_args

from pydantic import Field, ValidationError

from manifests import records
from manifests.errors import UsageError
from manifests.records import Part

Mode = Literal["conv-linear", "linear", "finetune"]

MODES: tuple[Mode, ...] = get_args(Mode)

ON_FEATURES: frozenset[Mode] = frozenset({"linear"})
"""Modes that fit on frozen features, of the electrodes that the encoder can read; the others train an adapter."""


class ProbeOptions(Part):
    """How windows reach the encoder of a probe, and by what its best epoch is chosen.

    ``electrode_ids`` ``positions`` numbers the adapter's outputs from 0, whatever electrodes they stand for.
    ``unit_scale`` is network input per µV (per whitened unit behind an ``alignment``), None the encoder's own.
    ``layer_decay`` is the factor from one block's learning rate to that of the block below it.
    """

    electrode_ids: Literal["own", "positions"] = "own"
    unit_scale: Annotated[float, Field(gt=0)] | None = None
    resampling: Literal["band_limited", "nearest", "none"] = "band_limited"
    alignment: Literal["none", "euclidean"] = "none"
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.9
    choose_on: Literal["valid", "test"] = "valid"

    @property
    def feeds_as_encoder_expects(self) -> bool:
        """Whether windows reach the encoder at its rate, in its unit and by the names of their electrodes."""
        return (self.electrode_ids, self.unit_scale, self.resampling) == ("own", None, "band_limited")

    @property
    def cautions(self) -> tuple[str, ...]:
        """What the reader of its results must know."""
        applies = {
            "best epochs were chosen on test, so the figures flatter": self.choose_on == "test",
            "tested windows took part, without labels, in the alignment": self.alignment != "none",
        }
        return tuple(caution for caution, applied in applies.items() if applied)


PUBLISHED: dict[str, ProbeOptions] = {
    "conv-linear": ProbeOptions(alignment="euclidean", unit_scale=0.1, resampling="nearest", choose_on="test"),
    "finetune": ProbeOptions(
        electrode_ids="positions", unit_scale=0.01, resampling="none", layer_decay=1.0, choose_on="test"
    ),
}
"""What the published scripts do instead, slips included: of BCIC-2b, and of TUAB and TUEV."""


def options_of(mode: Mode, as_published: bool = False, settings: tuple[str, ...] = ()) -> ProbeOptions:
    """Return the options of a mode; ``settings`` are fields as KEY=VALUE, above what was published.

    Raises UsageError naming the field and the reason, and for a mode on features, which has no choice and no precedent.
    """
    if mode in ON_FEATURES and (as_published or settings):
        raise UsageError(
            "only conv-linear and finetune have published ways", path=f"--mode {mode}", remedy="name one of them"
        )
    fields = dict(PUBLISHED[mode]) if as_published else {}
    for text in settings:
        fields |= records.option(text, "choose_on=test")
    try:
        return ProbeOptions(**fields)
    except ValidationError as problem:
        fault = records.fault(problem)
        raise UsageError(f"--set {fault}", remedy="docs/probing.md tells of every field") from None
