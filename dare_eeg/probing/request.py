"""Request: all that a probe is asked, a row of the ladder."""

from dataclasses import dataclass, field
from pathlib import Path

from dare_eeg.encoders.named import short_name
from dare_eeg.probing.classifiers.cache import FeatureCache
from dare_eeg.probing.figures.metrics import NUM_RESAMPLES
from dare_eeg.probing.options import Baseline, Mode, ProbeOptions, is_baseline
from dare_eeg.probing.results import Results
from dare_eeg.probing.supervision import Supervision
from dare_eeg.running.ranks import ALONE, Ranks
from manifests.recipe import EvaluationProtocol


@dataclass(frozen=True)
class ProbeRequest:
    """Which corpus and set, protocol, repeats and seeds, encoder (by name, ``scratch`` of ``size``) and mode, and how.

    Of a baseline, which stands in the place of the mode, the encoder is "". ``protocol`` None is the recipe's own.
    ``resamples`` is the number of draws of subjects behind each interval, ``out`` the folder that the results land in,
    ``cache`` keeps frozen features, None where none are to be kept. ``ranks`` share what trains a network.
    """

    corpus: str
    shards: Path
    protocol: EvaluationProtocol | None
    repeats: int
    seeds: int
    out: Path
    encoder: str = ""
    mode: Mode | Baseline = "majority"
    size: str = "base"
    options: ProbeOptions = field(default_factory=ProbeOptions)
    resamples: int = NUM_RESAMPLES
    supervision: Supervision = field(default_factory=Supervision)
    cache: FeatureCache | None = None
    ranks: Ranks = ALONE

    @property
    def name(self) -> str:
        """What its row of a ladder is called."""
        return row_name(self.encoder, self.size, self.mode, self.options, self.supervision)


def row_name(encoder: str, size: str, mode: Mode | Baseline, options: ProbeOptions, supervision: Supervision) -> str:
    """Return what a row is called: its encoder, by name and of a size, its mode or baseline, and what is not usual."""
    of = mode if is_baseline(mode) else f"{short_name(encoder, size)}-{mode}"
    return f"{of}{options.suffix}{supervision.suffix}"


def request_of(results: Results, row: Path, shards: Path, encoder: str = "") -> ProbeRequest:
    """Return what was asked when a row had these results; ``encoder`` says where its encoder lies now, if elsewhere."""
    of = results.encoder
    return ProbeRequest(
        results.corpus,
        shards,
        results.protocol,
        len(results.repeats),
        len(results.seeds),
        row,
        encoder=encoder or ("" if of is None else of.path),
        mode=results.mode,
        size="base" if of is None else of.size,
        options=results.practice,
        resamples=results.resamples,
        supervision=results.supervision,
    )
