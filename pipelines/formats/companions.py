"""Companions: the file beside a header that holds its samples or its markers, and never another recording's."""

import unicodedata
from collections.abc import Callable, Collection
from pathlib import Path

from manifests.errors import RefusedError

_REMEDY = "correct the name in it, or take away what is not its own"


def beside(path: Path, name: str) -> Path | None:
    """Return the file that has this name and lies beside ``path``, None where there is none.

    One whose name differs in the case of letters, or in how Unicode composes them, is it where it is the only one.
    """
    if Path(name).name != name:
        return None
    if path.with_name(name).is_file():
        return path.with_name(name)
    alike = [one for one in path.parent.iterdir() if _folded(one.name) == _folded(name) and one.is_file()]
    return alike[0] if len(alike) == 1 else None


def require_own(
    path: Path, file: Path, endings: Collection[str], headers: Collection[str], named: Callable[[Path], str]
) -> None:
    """Raise DareError where the file that a header names may hold the signal of another recording.

    That is where another header, of one of the endings ``headers``, is called as the file is or names it too, as
    ``named`` tells, and where the file is not called as the header is, but another of these ``endings`` is.
    """
    stem, is_own = _folded(path.stem), _folded(file.stem) == _folded(path.stem)
    near = [path.with_suffix(ending) for ending in headers] if is_own else sorted(path.parent.iterdir())
    for other in near:
        ending = other.suffix.lower()
        if _folded(other.name) in (_folded(path.name), _folded(file.name)) or not other.is_file():
            continue
        if ending in endings and _folded(other.stem) == stem:
            raise RefusedError(f"names {file.name}, but {other.name} lies beside it", path=path, remedy=_REMEDY)
        is_its = ending in headers and (
            _folded(other.stem) == _folded(file.stem) or _folded(named(other)) == _folded(file.name)
        )
        if is_its:
            raise RefusedError(f"names {file.name}, which is that of {other.name}", path=path, remedy=_REMEDY)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
