"""Subjects: how a file that is passed on names whom it was made of: by hashes, which a list of ids is compared with.

That is no anonymity: whoever knows an id finds it, and short ids can be guessed. But nobody reads a list of patients.
"""

from collections.abc import Collection, Iterable

from manifests.atomic_io import sha256_bytes


def hashed(subject: str) -> str:
    """Return a subject, ``namespace:id``, as ``namespace:`` and the sha256 of both in hex."""
    return f"{subject.partition(':')[0]}:{sha256_bytes(subject.encode(errors='surrogateescape'))}"


def among(subjects: Iterable[str], known: Collection[str]) -> set[str]:
    """Return those of some subjects whom ``known`` names, in clear or `hashed`."""
    names = set(known)
    return {subject for subject in subjects if names & {subject, hashed(subject)}}
