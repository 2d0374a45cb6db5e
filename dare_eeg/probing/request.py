"""Request: all that a probe is asked, a row of the ladder."""

from dataclasses import dataclass, field
from pathlib import Path

from dare_eeg.probing.cache import FeatureCache
from dare_eeg.probing.metrics import NUM_RESAMPLES
from dare_eeg.probing.options import Baseline, Mode, ProbeOptions
from dare_eeg.probing.supervision import Supervision
from manifests.recipe import EvaluationProtocol


@dataclass(frozen=True)
class ProbeRequest:
    """Which corpus and set, encoder (by name, ``scratch`` of ``size``), mode, protocol, repeats and seeds, and how.

    Of a baseline, which stands in the place of the mode, the encoder is "". ``protocol`` None is the recipe's own,
    ``epochs`` 0 are the mode's. ``resamples`` is the number of draws of subjects behind each interval, ``out`` the
    folder that the results land in, ``cache`` keeps frozen features, None where none are to be kept.
    """

    corpus: str
    shards: Path
    encoder: str
    mode: Mode | Baseline
    protocol: EvaluationProtocol | None
    repeats: int
    seeds: int
    out: Path
    size: str = "base"
    epochs: int = 0
    options: ProbeOptions = field(default_factory=ProbeOptions)
    resamples: int = NUM_RESAMPLES
    supervision: Supervision = field(default_factory=Supervision)
    cache: FeatureCache | None = None
