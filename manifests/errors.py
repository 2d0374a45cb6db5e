"""Errors a user is meant to read: classes that a program can catch, one line of text for a person."""

from typing import Self


class DareError(ValueError):
    """Something a user can put right: as text one line, what it is about, the reason, and the way out.

    ``path`` is what it is about: a file, a folder or an option, "" where whoever calls knows it. Only the classes
    below are raised.
    """

    def __init__(self, reason: str, *, path: object = "", remedy: str = "") -> None:
        super().__init__(reason)
        self.reason, self.path, self.remedy = reason, str(path), remedy

    def __str__(self) -> str:
        reason = f"{self.reason}; {self.remedy}" if self.remedy else self.reason
        return f"{self.path}: {reason}" if self.path else reason

    def about(self, path: object, *names: object) -> Self:
        """Return the same error as one about ``path``, "" where whoever catches it names that.

        What it was about goes into the reason, unless it is one of ``names``, which mean the same as ``path``.
        """
        is_same = self.path in {"", *map(str, names)}
        return type(self)(self.reason if is_same else f"{self.path}: {self.reason}", path=path, remedy=self.remedy)

    def or_else(self, remedy: str) -> Self:
        """Return the same error, with this remedy where it has none."""
        return type(self)(self.reason, path=self.path, remedy=self.remedy or remedy)


class UsageError(DareError):
    """An option, a recipe, a config or an argument that cannot be what it is."""


class MissingError(DareError):
    """A file, a folder, a package or a part of a file that should be there and is not."""


class UnfitError(MissingError):
    """A recording whose channels leave open which signal is that of an electrode that the recipe requires."""


class DamagedError(DareError):
    """Bytes that are not what was written, or not what their format requires."""


class RefusedError(DareError):
    """Something whole that must not be used so: made by another plan or version, or a subject on two sides."""


class LostError(DareError):
    """A process, a scheduler, a disk or a server that was at work and no longer answers."""


class DivergedError(DareError):
    """A loss that is no longer a finite number: what is trained on, or how, must change."""
