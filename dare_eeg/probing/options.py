"""Practice: how a probe is fed, trained and chosen. The defaults are sound; the published scripts' ways are choices."""

from typing import Annotated, Literal

from pydantic import Field, ValidationError

from manifests import records
from manifests.errors import DareError
from manifests.records import Part

Mode = Literal["conv-linear", "linear", "finetune"]


class Practice(Part):
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
    def cautions(self) -> tuple[str, ...]:
        """What the reader of its results must know."""
        told = {
            "best epochs were chosen on test, so the figures flatter": self.choose_on == "test",
            "tested windows took part, without labels, in the alignment": self.alignment != "none",
        }
        return tuple(text for text, applies in told.items() if applies)


PUBLISHED: dict[str, Practice] = {
    "conv-linear": Practice(alignment="euclidean", unit_scale=0.1, resampling="nearest", choose_on="test"),
    "finetune": Practice(
        electrode_ids="positions", unit_scale=0.01, resampling="none", layer_decay=1.0, choose_on="test"
    ),
}
"""What the published scripts do instead, slips included: of BCIC-2b, and of TUAB and TUEV."""


def practice(mode: Mode, as_published: bool = False, settings: tuple[str, ...] = ()) -> Practice:
    """Return the practice of a mode; ``settings`` are fields as KEY=VALUE, above what was published.

    Raises DareError naming the field and the reason, and for the linear mode, which has no choice and no precedent.
    """
    if mode == "linear" and (as_published or settings):
        raise DareError("--mode linear: only conv-linear and finetune have published ways; name one of them")
    fields = dict(PUBLISHED[mode]) if as_published else {}
    for text in settings:
        fields |= records.option(text, "choose_on=test")
    try:
        return Practice(**fields)
    except ValidationError as problem:
        raise DareError(f"--set {records.fault(problem)}; docs/probing.md tells of every field") from None
