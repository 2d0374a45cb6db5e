"""Published: figures of others by corpus, with their source and protocol, from ``published_rows/*.toml``."""

import tomllib
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import Field

from manifests.recipe import EvaluationProtocol
from manifests.records import Part

Level = Literal["window", "recording"]
Trained = Literal["frozen", "fine-tuned", "supervised"]
"""What is trained: a head on a frozen encoder, the encoder as well, or a method from nothing, a classical one, too."""

Selected = Literal["train", "valid", "test", "nothing"]
"""What chose the penalty or epoch; ``nothing`` where there was none to choose."""

Metric = Literal["balanced_accuracy", "accuracy", "auroc", "auc_pr", "kappa", "weighted_f1", "macro_f1"]

UNREAD = "?"
"""Stands for a figure that is published, but could not be read."""


class Reported(Part):
    """A figure as published, and what stands behind its ± where something does."""

    mean: float
    spread: float | None = None


class PublishedRow(Part):
    """What a study says of a model: a text for each of its metrics, as ``0.762 ± 0.042``."""

    model: str
    told: tuple[str, ...]
    trained: Trained | None = None
    note: str = ""


class FixedSplit(Part):
    """The subjects that a study validates on and tests; it trains on all others."""

    valid: tuple[str, ...]
    test: tuple[str, ...]


class Study(Part):
    """Rows of one source and protocol. None is unknown, as is an empty ``spread``, which says what ± is.

    ``split`` says in words what ``protocol`` names (``other`` where it is none of ours); ``subjects`` are those tested,
    ``among`` all who take part. ``trained`` is of all rows that do not say another.
    """

    source: str = Field(min_length=1)
    split: str = Field(min_length=1)
    protocol: EvaluationProtocol | Literal["other"] | None = None
    subjects: int | None = None
    among: int | None = None
    window_s: float | None = None
    level: Level | None = None
    selected: Selected | None = None
    trained: Trained | None = None
    spread: str = ""
    second_hand: bool = False
    note: str = ""
    fixed: FixedSplit | None = None
    metrics: tuple[Metric, ...] = Field(min_length=1)
    rows: tuple[PublishedRow, ...] = Field(min_length=1)

    def figures(self, row: PublishedRow) -> dict[str, Reported]:
        """Return the figures of a row that could be read."""
        found: dict[str, Reported] = {}
        for name, text in zip(self.metrics, row.told, strict=True):
            mean, _, spread = text.partition(" ± ")
            if mean not in ("", UNREAD):
                found[name] = Reported(mean=float(mean), spread=float(spread) if spread else None)
        return found

    def unread(self, row: PublishedRow) -> tuple[Metric, ...]:
        """Return the metrics of a row that are published, but could not be read."""
        return tuple(name for name, text in zip(self.metrics, row.told, strict=True) if text == UNREAD)


@cache
def studies(corpus: str) -> tuple[Study, ...]:
    """Return what is kept of a corpus; none where nothing is."""
    file = resources.files("manifests") / "published_rows" / f"{corpus}.toml"
    if not file.is_file():
        return ()
    return tuple(Study(**table) for table in tomllib.loads(file.read_text(encoding="utf-8"))["studies"])


def corpora() -> list[str]:
    """Return the corpora of which published rows are kept."""
    folder = resources.files("manifests") / "published_rows"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def fixed_split(corpus: str) -> FixedSplit | None:
    """Return the published split of a corpus by named subjects, None where none is kept."""
    return next((study.fixed for study in studies(corpus) if study.fixed), None)
