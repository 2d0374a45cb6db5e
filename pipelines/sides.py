"""Sides: recordings left out so that no signal counts twice and no subject of the official test part is trained on."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from manifests.atomic_io import sha256_files
from manifests.errors import DareError, RefusedError
from manifests.manifest import SAME_BYTES, SAME_RUN, TESTED
from manifests.notes import Note, note
from manifests.plan import ScannedRecording
from manifests.recipe import Recipe
from pipelines.formats.packed import without_suffix
from pipelines.formats.readers import files_of
from pipelines.scan import Tree

_SAME_BYTES = (SAME_BYTES, "same bytes as {names}")
_SAME_RUN = (SAME_RUN, "the run of {names} in another format")

_PREFERRED = (".edf", ".vhdr", ".set", ".bdf")
"""Endings of a run that is there in several formats: the first of these is taken, else the first by name."""


def apart(tree: Tree, recipe: Recipe, src: Path | None) -> Tree:
    """Return the tree without what would put a signal or a subject on two sides: skipped, and after which one.

    Of recordings that are equal in every byte, their file of labels too, the official test's stays, else the one with
    the shortest path; those of unequal size or ends are not read. Of one run in several formats, in corpora of one's
    own, one stays. Where the official split is by subject, the other recordings of a subject of the test part are left
    out. ``src`` is None where there are no raw files to compare.
    """
    recordings = tree.recordings
    if src is not None:
        recordings = _without(recordings, _same_bytes(src), *_SAME_BYTES)
        if recipe.layout:
            recordings = _without(recordings, _same_run, *_SAME_RUN)
    if recipe.split_by == "subject":
        recordings = _without_tested(recordings)
    return replace(tree, recordings=recordings)


def apart_from_old(
    recordings: list[ScannedRecording], old: list[ScannedRecording], recipe: Recipe
) -> list[ScannedRecording]:
    """Return recordings that a set grows by, those skipped whose bytes it holds already under another path.

    Raises RefusedError where a subject would be on two sides: what its set was made of cannot be taken back.
    """
    held = {_content(one): one.path for one in old if not one.outcome}
    was_test = {one.raw.subject: one.raw.test for one in old if not one.outcome}
    found = []
    for one in recordings:
        if not one.outcome and _content(one) in held:
            one = _skipped(one, note(*_SAME_BYTES, [held[_content(one)]]))
        changes_side = was_test.get(one.raw.subject, one.raw.test) != one.raw.test
        if changes_side and not one.outcome and recipe.split_by == "subject":
            here, there = ("test", "train or valid") if one.raw.test else ("train or valid", "test")
            raise RefusedError(
                f"is for {here}, and {one.raw.subject} is in {there} already",
                path=one.path,
                remedy="leave it out, or make the set again with --overwrite",
            )
        found.append(one)
    return found


def _content(one: ScannedRecording) -> tuple[int, str, str]:
    """Return what equal recordings have in common; labels of their own make two of one signal, which the fold tells."""
    return one.bytes, one.fingerprint, one.label_sha256


def _by_preference(one: ScannedRecording) -> tuple[bool, int, str]:
    return not one.raw.test, len(one.path), one.path


def _without(
    recordings: list[ScannedRecording],
    groups: Callable[[list[ScannedRecording]], Iterable[list[ScannedRecording]]],
    kind: str,
    says: str,
) -> list[ScannedRecording]:
    """Return the recordings, those skipped that are not the first of a group of equal ones."""
    usable = sorted((one for one in recordings if not one.outcome), key=_by_preference)
    skipped = {
        one.path: note(kind, says, [first.path]) for first, *others in groups(usable) if others for one in others
    }
    return [_skipped(one, skipped[one.path]) if one.path in skipped else one for one in recordings]


def _skipped(one: ScannedRecording, why: Note) -> ScannedRecording:
    return one.model_copy(update={"outcome": "skipped", "notes": (why,)})


def _same_bytes(src: Path) -> Callable[[list[ScannedRecording]], list[list[ScannedRecording]]]:
    def groups(recordings: list[ScannedRecording]) -> list[list[ScannedRecording]]:
        alike = [group for group in _grouped(recordings, _content) if len(group) > 1]
        return [equal for group in alike for equal in _grouped(group, lambda one: _sha256(src / one.path))]

    return groups


def _sha256(path: Path) -> str:
    """Return the hash of a recording's files; of what cannot be read one of its own, as the build will say."""
    try:
        return sha256_files(files_of(path))
    except (DareError, OSError):
        return str(path)


def _same_run(recordings: list[ScannedRecording]) -> list[list[ScannedRecording]]:
    """Return recordings of one subject and session that differ in their ending alone, the one to take first."""
    groups = _grouped(recordings, lambda one: (_stem(one), one.raw.subject, one.raw.session))
    return [sorted(group, key=_format) for group in groups if len({_suffix(one) for one in group}) == len(group)]


def _stem(one: ScannedRecording) -> str:
    return str(PurePosixPath(without_suffix(one.path)).with_suffix(""))


def _suffix(one: ScannedRecording) -> str:
    return one.path[len(_stem(one)) :].lower()


def _format(one: ScannedRecording) -> tuple[int, str]:
    suffix = _suffix(one)
    return _PREFERRED.index(suffix) if suffix in _PREFERRED else len(_PREFERRED), suffix


def _without_tested(recordings: list[ScannedRecording]) -> list[ScannedRecording]:
    tested = {one.raw.subject for one in recordings if one.raw.test and not one.outcome}
    why = note(TESTED, "its subject is in the official test part")
    return [
        _skipped(one, why) if one.raw.subject in tested and not (one.raw.test or one.outcome) else one
        for one in recordings
    ]


def _grouped(
    recordings: list[ScannedRecording], key: Callable[[ScannedRecording], Hashable]
) -> list[list[ScannedRecording]]:
    groups: defaultdict[Hashable, list[ScannedRecording]] = defaultdict(list)
    for one in recordings:
        groups[key(one)].append(one)
    return list(groups.values())
