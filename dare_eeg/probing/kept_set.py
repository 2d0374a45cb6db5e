"""Kept set: what a row keeps of the set that it was fitted on, so that it labels recordings without the set."""

from pathlib import Path

from dare_eeg.probing.fits import FOLDER
from manifests import manifest, records
from manifests.atomic_io import canonical_json, write_bytes
from manifests.errors import DareError, RefusedError
from manifests.manifest import Manifest
from manifests.recipe import Recipe
from manifests.records import Part, Record

_FILE = "set.json"


class KnownRecording(Part):
    """A raw recording that gave windows: its path in its tree, the sha256 of its files, whose it is."""

    path: str
    sha256: str
    subject: str


class KeptSet(Record):
    """The recipe by which recordings become windows, and those that the set was made of."""

    KIND = "kept set"

    recipe: Recipe
    recordings: tuple[KnownRecording, ...]


def write(row: Path, shards: Path, of: Manifest) -> None:
    """Keep in a row's folder what labels recordings."""
    found = [one for one in manifest.load_rows(shards) if one.windows]
    recordings = tuple(KnownRecording(path=one.path, sha256=one.sha256, subject=one.subject) for one in found)
    write_bytes(row / FOLDER / _FILE, canonical_json(KeptSet(recipe=of.recipe, recordings=recordings).as_json()))


def load(row: Path) -> KeptSet:
    """Return what was kept; RefusedError where it was not, as older code did not."""
    try:
        return records.load(KeptSet, row / FOLDER / _FILE, "")
    except DareError as problem:
        reason = f"keeps no fits that label recordings ({problem.reason})"
        remedy = "remove its results.json and run the same dare probe again"
        raise RefusedError(reason, path=row, remedy=remedy) from problem
