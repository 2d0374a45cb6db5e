"""Presets: published protocols by name, each a bundle of fields, a protocol and a number of repeats."""

from dataclasses import dataclass

from manifests import records
from manifests.errors import UsageError
from manifests.recipe import EvaluationProtocol


@dataclass(frozen=True)
class Preset:
    """Fields of the practice as KEY=VALUE, and the protocol and repeats that stand where no others are asked for."""

    fields: tuple[str, ...]
    protocol: EvaluationProtocol
    repeats: int


PRESETS = {"fmscope": Preset(("clip=0.01", "penalty=1.0"), "stratified", 8)}
"""``fmscope``: the linear probe of FMScope (arXiv 2606.06647), whose repeats are other folds of the same subjects."""


@dataclass(frozen=True)
class Asked:
    """What a probe is asked for once presets are taken for what they stand for."""

    settings: tuple[str, ...]
    protocol: EvaluationProtocol | None
    repeats: int


def applied(settings: tuple[str, ...], protocol: EvaluationProtocol | None, repeats: int | None) -> Asked:
    """Return settings with the fields of ``preset=NAME`` below the others, and what it leaves to be said.

    Protocol and repeats that are asked for stand above the preset's. Raises UsageError where there is no such preset.
    """
    given = {text: records.option(text, "preset=fmscope") for text in settings}
    names = [str(one["preset"]) for one in given.values() if "preset" in one]
    if strange := [name for name in names if name not in PRESETS]:
        there_are = ", ".join(sorted(PRESETS))
        raise UsageError(f"no preset {strange[0]!r}", path=f"--set preset={strange[0]}", remedy=f"there is {there_are}")
    chosen = [PRESETS[name] for name in names]
    for preset in chosen:
        protocol, repeats = protocol or preset.protocol, repeats or preset.repeats
    below = tuple(field for preset in chosen for field in preset.fields)
    return Asked((*below, *(text for text, one in given.items() if "preset" not in one)), protocol, repeats or 1)
