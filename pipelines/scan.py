"""Scan: what a raw tree holds, from names and headers alone."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from manifests.durable import sha256_file, unwritable
from manifests.errors import DareError
from manifests.recipe import Recipe
from pipelines import readers
from pipelines.corpora import CORPORA
from pipelines.recording import Header
from pipelines.signal import too_slow
from pipelines.source import Source

RAW_SUFFIXES = (".edf", ".bdf", ".gdf", ".set", ".vhdr", ".fif", ".mat", ".cnt")
_FINGERPRINT_BYTES = 1 << 16


@dataclass(frozen=True)
class Scanned:
    """A recording of the corpus and what its header says; ``outcome`` is "" where it is fit to be read."""

    source: Source
    bytes: int
    fingerprint: str
    sfreq: float = 0.0
    duration_s: float = 0.0
    channel_map: dict[str, str] | None = None
    label_sha256: str = ""
    outcome: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Tree:
    """All that a scan found: the corpus's recordings in order, its release, and how many other raw files lie there."""

    recordings: list[Scanned]
    version: str
    num_others: int

    def only(self, subjects: set[str], limit: int | None) -> "Tree":
        """Return the tree with these subjects (by id, all where empty) and its first ``limit`` recordings.

        Raises DareError naming a subject that is not there.
        """
        there = {one.source.subject.partition(":")[2] for one in self.recordings}
        if strange := sorted(subjects - there):
            raise DareError(f"--subjects {strange[0]}: not in this tree, which has {', '.join(sorted(there)[:10])} ...")
        kept = [one for one in self.recordings if not subjects or one.source.subject.partition(":")[2] in subjects]
        return replace(self, recordings=kept[:limit])


def scan(src: Path, recipe: Recipe, progress: Callable[[int, int], None]) -> Tree:
    """Return what ``src`` holds of the recipe's corpus, headers read by several threads.

    ``progress`` is called with (done, total). Raises DareError where src is missing, empty, or holds nothing of the
    corpus.
    """
    paths = list_files(src)
    if recipe.corpus not in CORPORA:
        raise DareError(f"{recipe.corpus}: its file tree is not known; there are {', '.join(CORPORA)}")
    corpus = CORPORA[recipe.corpus]
    if recipe.classes and recipe.classes != corpus.CLASSES:
        raise DareError(f"classes: those of {recipe.corpus} are {', '.join(corpus.CLASSES)}, in this order, or none")
    sources = corpus.find(paths, recipe)
    if not sources:
        raise DareError(f"{src}: {_nothing_found(paths, recipe)}")
    scanned: list[Scanned] = []
    with ThreadPoolExecutor(min(16, 4 * (os.cpu_count() or 1))) as threads:
        for one in threads.map(lambda source: _scan_one(src, source, recipe), sources):
            scanned.append(one)
            progress(len(scanned), len(sources))
    used = {source.path for source in sources} | {source.label_file for source in sources}
    others = sum(path not in used and path.lower().endswith(RAW_SUFFIXES) for path in paths)
    return Tree(scanned, corpus.version(paths), others)


def list_files(src: Path) -> list[str]:
    """Return every file below a folder as a sorted relative path; links are followed, as TUH trees are made of them."""
    if not src.is_dir():
        raise DareError(f"{src}: no such folder; --src names the one that holds the raw recordings")
    try:
        found = [
            (Path(folder) / name).relative_to(src).as_posix()
            for folder, _, names in os.walk(src, followlinks=True, onerror=_refuse)
            for name in names
        ]
    except OSError as problem:
        raise unwritable(Path(problem.filename or src), problem) from problem
    if not found:
        raise DareError(f"{src}: is empty; --src names the folder that holds the raw recordings")
    return sorted(found)


def channel_map(header: Header, recipe: Recipe) -> dict[str, str]:
    """Return the file's label of each of the recipe's electrodes that it has; the first of two alike counts."""
    labels: dict[str, str] = {}
    for channel in header.channels:
        labels.setdefault(channel.electrode, channel.label)
    return {name: labels[name] for name in recipe.electrodes if name in labels}


def _refuse(problem: OSError) -> None:
    raise problem


def _nothing_found(paths: list[str], recipe: Recipe) -> str:
    probe = recipe.model_copy(update={"runs": ()})
    others = [name for name, corpus in CORPORA.items() if name != recipe.corpus and corpus.find(paths, probe)]
    if others:
        return f"holds no recording of {recipe.corpus}, but of {', '.join(others)}; name that corpus or another --src"
    num_raw = sum(path.lower().endswith(RAW_SUFFIXES) for path in paths)
    return (
        f"holds no recording of {recipe.corpus} among {len(paths)} files ({num_raw} of them raw EEG by their ending); "
        "--src names a folder above the corpus's own tree"
    )


def _scan_one(src: Path, source: Source, recipe: Recipe) -> Scanned:
    path = src / source.path
    try:
        num_bytes, fingerprint = path.stat().st_size, _fingerprint(path)
        label_sha256 = sha256_file(src / source.label_file) if source.label_file else ""
    except OSError as problem:
        return Scanned(source, 0, "", outcome="failed", reason=f"cannot be opened: {problem.strerror}")
    if source.skip:
        return Scanned(source, num_bytes, fingerprint, outcome="skipped", reason=source.skip)
    try:
        header = readers.read_header(path)
    except DareError as problem:
        reason = str(problem).removeprefix(f"{path}: ")
        return Scanned(source, num_bytes, fingerprint, outcome="failed", reason=reason)
    electrodes = channel_map(header, recipe)
    rates = {channel.sfreq for channel in header.channels if channel.electrode in electrodes}
    outcome, reason = _verdict(source, header, electrodes, max(rates, default=0.0), recipe)
    return Scanned(
        source=source,
        bytes=num_bytes,
        fingerprint=fingerprint,
        sfreq=max(rates, default=0.0),
        duration_s=header.duration_s,
        channel_map=electrodes,
        label_sha256=label_sha256,
        outcome=outcome,
        reason=reason,
    )


def _fingerprint(path: Path) -> str:
    """Return a hash of the file's length and ends, cheap enough for every file of every plan."""
    with path.open("rb") as stream:
        digest = hashlib.sha256(stream.read(_FINGERPRINT_BYTES))
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _FINGERPRINT_BYTES))
        digest.update(stream.read())
    digest.update(str(size).encode())
    return digest.hexdigest()[:32]


def _verdict(
    source: Source, header: Header, electrodes: dict[str, str], sfreq_hz: float, recipe: Recipe
) -> tuple[str, str]:
    if not header.channels:
        return "skipped", "holds annotations and no signal"
    if not electrodes:
        seen = ", ".join(channel.label for channel in header.channels[:5])
        return (
            "skipped",
            f"no usable electrode: none of the recipe's among its {len(header.channels)} ({seen} ...)",
        )
    lacking = [name for name in recipe.electrodes if name not in electrodes]
    if lacking and recipe.missing == "require":
        return "skipped", f"lacks {', '.join(lacking)}; take it with --set missing=mask"
    if reason := too_slow(sfreq_hz, recipe):
        return "skipped", reason
    if header.duration_s < recipe.window_s:
        return "skipped", f"lasts {header.duration_s:g} s, shorter than a window of {recipe.window_s:g} s"
    if source.lacks and recipe.classes:
        return "failed", source.lacks
    return "", ""
