"""Scan: what a raw tree holds, from names and headers alone."""

import errno
import hashlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from manifests import recipe as recipes
from manifests.atomic_io import sha256_file
from manifests.electrodes import VOCABULARY, derivation, is_site
from manifests.errors import DareError, LostError, MissingError, UsageError
from manifests.faults import did_you_mean
from manifests.notes import Note, note, prose
from manifests.plan import RawRecording, ScannedRecording, withdrawal
from manifests.recipe import Recipe
from pipelines import channels, corpora, reading
from pipelines.channels import ChannelFit
from pipelines.conditioning import too_slow
from pipelines.corpora import CORPORA
from pipelines.corpora.base import Corpus
from pipelines.formats.registry import files_of, suffixes
from pipelines.recording import Channel, Header

PACKED = (".gz", ".bz2", ".xz", ".zip", ".tar", ".tgz", ".rar", ".7z")
"""Endings of files in which others are packed."""

_FINGERPRINT_BYTES = 1 << 16

READERS = 32
"""Threads that read headers: a disk that is far away lets each wait longer than it computes."""

_NAME_FOLDER = "name the one that holds the raw recordings"


@dataclass(frozen=True)
class Tree:
    """All that a scan found: the corpus's recordings in order, its release, and how many other raw files lie there.

    ``num_found`` counts the corpus's recordings before any were chosen among them. ``channels`` are those of each
    recording's header, by path; recordings of equal headers share one tuple. ``withdrawn`` has the `withdrawal` of each
    subject whose recordings were taken out.
    """

    recordings: list[ScannedRecording]
    version: str
    num_others: int
    num_found: int = 0
    channels: Mapping[str, tuple[Channel, ...]] = field(default_factory=dict)
    withdrawn: tuple[str, ...] = ()

    def without(self, withdrawn: tuple[str, ...]) -> "Tree":
        """Return the tree without the recordings of subjects who withdrew consent, as if they had not been found."""
        gone = {one.raw.subject for one in self.recordings} if withdrawn else set()
        gone = {subject for subject in gone if withdrawal(subject) in withdrawn}
        kept = [one for one in self.recordings if one.raw.subject not in gone]
        num_found = self.num_found - len(self.recordings) + len(kept)
        return replace(self, recordings=kept, num_found=num_found, withdrawn=withdrawn)

    def only(self, subjects: set[str], limit: int | None) -> "Tree":
        """Return the tree with these subjects (by id, all where empty) and its first ``limit`` recordings.

        Raises DareError naming a subject that is not there.
        """
        there = {one.raw.subject.partition(":")[2] for one in self.recordings}
        if strange := sorted(subjects - there):
            remedy = f"name some of those that are: {', '.join(sorted(there)[:10])} ..."
            raise UsageError("not in this tree", path=f"--subjects {strange[0]}", remedy=remedy)
        kept = [one for one in self.recordings if not subjects or one.raw.subject.partition(":")[2] in subjects]
        return replace(self, recordings=kept[:limit])


def scan(src: Path, recipe: Recipe, progress: Callable[[int, int], None]) -> Tree:
    """Return what ``src`` holds of the recipe's corpus, headers read by several threads.

    ``progress`` is called with (done, total). Raises DareError where src is missing, empty, or holds nothing of the
    corpus.
    """
    paths = list_files(src)
    corpus = corpus_of(recipe)
    found = corpora.find(src, paths, recipe)
    if not found:
        reason, remedy = _nothing_found(src, paths, recipe)
        raise MissingError(reason, path=src, remedy=remedy)
    found = [raw.model_copy(update={"skip": _NO_RECORDING}) if _is_apple_double(raw.path) else raw for raw in found]
    headers = Headers(src, recipe)
    scanned: list[ScannedRecording] = []
    with ThreadPoolExecutor(READERS) as threads:
        for one in threads.map(headers.scanned, found):
            scanned.append(one)
            progress(len(scanned), len(found))
    used = {raw.path for raw in found} | {raw.label_file for raw in found}
    others = sum(path not in used and is_raw(path) for path in paths)
    return Tree(scanned, corpus.version(paths), others, len(scanned), headers.channels)


def corpus_of(recipe: Recipe) -> Corpus:
    """Return the corpus of a recipe; DareError where it is not known, or the recipe's choices do not fit it."""
    corpus = corpora.of(recipe)
    if recipe.classes and recipe.classes != corpus.CLASSES:
        remedy = f"name {', '.join(corpus.CLASSES)}, in this order, or none" if corpus.CLASSES else "name none"
        raise UsageError(f"are not those of {recipe.corpus}", path="classes", remedy=remedy)
    corpus.OPTIONS.of(recipe)
    channels.check(recipe)
    return corpus


Verdict = tuple[Literal["", "skipped", "failed"], tuple[Note, ...]]
"""How a recording ends before it is read, and why; ("", ()) where it is fit to be read."""


def of_windows(raw: RawRecording, duration_s: float, recipe: Recipe) -> Verdict:
    """Return the verdict on a recording whose signal can be used."""
    if duration_s < recipe.window_s:
        says = "lasts {duration_s:g} s, shorter than a window of {window_s:g} s"
        return "skipped", (note("too short", says, duration_s=duration_s, window_s=recipe.window_s),)
    if raw.lacks and recipe.classes:
        return "failed", (raw.lacks,)
    return "", ()


def refuse_misspelt(tree: Tree, recipe: Recipe) -> None:
    """Raise DareError for an electrode of the recipe that no recording of a tree has and that is no site of the scalp.

    Where no recording could be read there is nothing to tell it by; what the recipe of a known corpus names is right.
    """
    right = recipes.load(recipe.corpus).electrodes if recipe.corpus in recipes.names() else ()
    seen = {one.electrode for held in {id(held): held for held in tree.channels.values()}.values() for one in held}
    for name in [name for name in recipe.electrodes if seen and name not in right]:
        for part in (name,) if name in seen else derivation(name) or (name,):
            if part not in seen and not is_site(part):
                meant = did_you_mean(part, [*sorted(filter(is_site, seen)), *VOCABULARY, *sorted(seen)])
                remedy = " ".join(filter(None, (meant, "dare inspect lists the channels of a file")))
                reason = f"no recording has {part}, which is no site of the 10-10 system"
                raise UsageError(reason, path="electrodes", remedy=remedy)


def list_files(src: Path) -> list[str]:
    """Return every file below a folder as a sorted relative path.

    Links are followed, as TUH trees are made of them, but for those that lead back to a folder above themselves.
    """
    if not src.is_dir():
        raise MissingError("no such folder", path=src, remedy=_NAME_FOLDER)
    found = []
    try:
        for place, folders, names in os.walk(src, followlinks=True, onerror=_refuse):
            folder = Path(place)
            folders[:] = [name for name in folders if not _leads_back(folder / name)]
            found += [(folder / name).relative_to(src).as_posix() for name in names]
    except OSError as problem:
        raise LostError(
            f"cannot be read ({problem.strerror})",
            path=problem.filename or src,
            remedy="mend that, or name another folder",
        ) from problem
    if not found:
        raise MissingError("is empty", path=src, remedy=_NAME_FOLDER)
    return sorted(found)


_NO_RECORDING = note("no recording", "is what macOS keeps beside a file, no recording")


def _is_apple_double(path: str) -> bool:
    return path.rpartition("/")[2].startswith("._")


def _refuse(problem: OSError) -> None:
    raise problem


def _leads_back(folder: Path) -> bool:
    """Return whether a folder is a link to one that lies above it, or above another link on the way to it."""
    if not folder.is_symlink():
        return False
    target = folder.resolve()
    return any(above.resolve().is_relative_to(target) for above in folder.parents)


def is_raw(path: str) -> bool:
    """Return whether a file is raw EEG by its ending, packed by itself or not."""
    name = path.lower()
    return name.removesuffix(next(filter(name.endswith, PACKED), "")).endswith(suffixes())


def _nothing_found(src: Path, paths: list[str], recipe: Recipe) -> tuple[str, str]:
    """Return why a tree holds nothing of the recipe's corpus, and the way out."""
    probe = recipe.model_copy(update={"options": {}})
    corpus, place = corpora.of(recipe), src.resolve()
    for above in place.parents:
        inside = place.relative_to(above).as_posix()
        if corpus.find([f"{inside}/{path}" for path in paths], probe):
            return f"lies within the tree of {recipe.corpus}", f"take --src {above}"
    others = [name for name, corpus in CORPORA.items() if name != recipe.corpus and corpus.find(paths, probe)]
    if others:
        return f"holds no recording of {recipe.corpus}, but of {', '.join(others)}", "name that corpus or another --src"
    num_raw = sum(map(is_raw, paths))
    num_packed = sum(path.lower().endswith(PACKED) for path in paths)
    reason = (
        f"holds no recording of {recipe.corpus} among {len(paths)} files ({num_raw} of them raw EEG by their ending)"
    )
    if num_packed:
        return reason, f"{num_packed} are packed: unpack them first"
    return reason, "--src names a folder above the corpus's own tree"


class Headers:
    """The headers of a corpus: of few kinds by their channels, each of which is fitted to the recipe once."""

    def __init__(self, src: Path, recipe: Recipe) -> None:
        self._src, self._recipe = src, recipe
        self._fits: dict[tuple[tuple[str, str, float, str, str], ...], ChannelFit] = {}
        self.channels: dict[str, tuple[Channel, ...]] = {}

    def scanned(self, raw: RawRecording) -> ScannedRecording:
        """Return what is known of a recording once its header is read."""
        path = self._src / raw.path
        try:
            _refuse_pipe(path)
            header = None if raw.skip else self._header(raw)
            told = header.files if isinstance(header, Header) else ()
            num_bytes, fingerprint = _fingerprint(files_of(path, told))
            label_sha256 = sha256_file(self._src / raw.label_file) if raw.label_file else ""
        except OSError as problem:
            notes = prose(f"cannot be opened: {problem.strerror}")
            return ScannedRecording(raw=raw, bytes=0, fingerprint="", outcome="failed", notes=notes)
        seen = ScannedRecording(raw=raw, bytes=num_bytes, fingerprint=fingerprint)
        if header is None:
            return seen.model_copy(update={"outcome": "skipped", "notes": (raw.skip,)})
        if isinstance(header, DareError):
            return seen.model_copy(update={"outcome": "failed", "notes": prose(str(header.about("", path)))})
        fit = self._fit(header)
        self.channels[raw.path] = fit.channels
        outcome, notes = _verdict(raw, header, fit, self._recipe)
        return ScannedRecording(
            raw=raw,
            bytes=num_bytes,
            fingerprint=fingerprint,
            label_sha256=label_sha256,
            sfreq=fit.sfreq,
            duration_s=header.duration_s,
            channel_map=fit.labels,
            outcome=outcome,
            notes=notes,
        )

    def _header(self, raw: RawRecording) -> Header | DareError:
        """Return the header of a recording, or why there is none."""
        try:
            return reading.read_header(self._src, raw, self._recipe)
        except DareError as problem:
            return problem

    def _fit(self, header: Header) -> ChannelFit:
        kind = tuple((one.label, one.electrode, one.sfreq, one.unit, one.fault) for one in header.channels)
        if kind not in self._fits:
            self._fits[kind] = channels.fit(header.channels, self._recipe)
        return self._fits[kind]


def _refuse_pipe(path: Path) -> None:
    if path.is_fifo():
        raise OSError(errno.ESPIPE, "a pipe would be waited on for ever")


def _fingerprint(files: list[Path]) -> tuple[int, str]:
    """Return (bytes, a hash of lengths and ends, cheap enough for every file of every plan) of a recording's files."""
    digest, num_bytes = hashlib.sha256(), 0
    for path in files:
        _refuse_pipe(path)
        with path.open("rb") as stream:
            digest.update(stream.read(_FINGERPRINT_BYTES))
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _FINGERPRINT_BYTES))
            digest.update(stream.read())
        digest.update(str(size).encode())
        num_bytes += size
    return num_bytes, digest.hexdigest()[:32]


def _verdict(raw: RawRecording, header: Header, fit: ChannelFit, recipe: Recipe) -> Verdict:
    if not header.channels and header.notes:
        first, *others = header.notes
        more = [note("more notes", "and {count} more such notes", count=len(others))] * bool(others)
        return "skipped", (note("no usable signal", "holds no usable signal"), first, *more)
    if unfit := fit.notes or too_slow(fit.sfreq, recipe):
        return "skipped", unfit
    return of_windows(raw, header.duration_s, recipe)
