"""Holders: what else holds a subject of a set: sets beside it, merged sets made of it, encoders trained on it.

They are named from their manifests and metadata, and never changed.
"""

import json
from collections.abc import Collection, Iterable
from pathlib import Path

from manifests.errors import DamagedError, DareError
from manifests.manifest import SPLITS, Manifest, load
from manifests.merge import MERGE_AGAIN
from manifests.subjects import among


def sets_beside(folder: Path, subjects: Collection[str], merged: Iterable[Path]) -> list[str]:
    """Return a line for each set in the same folder that holds one of the subjects, and for each merged set of it.

    Merged sets are looked for there and in the folders ``merged``. A manifest that cannot be read is named too.
    """
    beside = (path.parent for path in sorted(folder.absolute().parent.glob("*/manifest.json")))
    places = {path.resolve(): path for path in [*(folder.parent / path.name for path in beside), *merged]}
    places.pop(folder.resolve(), None)
    return [line for path in places.values() if (line := _said_of_set(path, folder, subjects))]


def encoders(runs: Path, subjects: Collection[str]) -> list[str]:
    """Return a line for each .safetensors below a folder whose metadata names one of the subjects, or is damaged."""
    return [line for path in sorted(runs.rglob("*.safetensors")) if (line := _said_of_encoder(path, subjects))]


def _said_of_set(path: Path, folder: Path, subjects: Collection[str]) -> str:
    try:
        manifest = load(path)
    except DareError as problem:
        return f"{path}: was not looked into ({problem.reason})"
    if isinstance(manifest, Manifest):
        named = {subject for split in SPLITS for subject in manifest.splits[split].subjects}
        held = sorted(named.intersection(subjects))
        return f"{path}: holds {', '.join(held)} too; drop it there as well" if held else ""
    if folder.resolve() not in {(path / source.path).resolve() for source in manifest.sources}:
        return ""
    return f"{path}: is merged of it; {MERGE_AGAIN}"


def _said_of_encoder(path: Path, subjects: Collection[str]) -> str:
    try:
        held = sorted(among(subjects, _seen(path)))
    except DareError as problem:
        return f"{path}: was not looked into ({problem.reason})"
    return f"{path}: was trained on {', '.join(held)}" if held else ""


def _seen(path: Path) -> set[str]:
    """Return whom the metadata of an encoder, JSON at the beginning of a safetensors file, name: in clear or hashed."""
    try:
        with path.open("rb") as stream:
            num_bytes = int.from_bytes(stream.read(8), "little")
            if num_bytes > path.stat().st_size:
                raise ValueError("it is cut short")
            metadata = json.loads(stream.read(num_bytes)).get("__metadata__", {})
        return {str(subject) for subject in json.loads(metadata.get("subjects", "[]"))}
    except (OSError, ValueError, TypeError, AttributeError) as problem:
        raise DamagedError(f"its metadata cannot be read: {problem}", path=path) from problem
