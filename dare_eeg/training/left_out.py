"""Left out: which subjects of the sets are not trained on, why, and whether that leaves too few."""

from pathlib import Path

from dare_eeg.data.shards import TrainingSet, Windows
from manifests.errors import RefusedError
from manifests.manifest import renamed, subjects_of
from manifests.merge import of_renamed, takes_nobody_out

READ = ("train", "valid")
"""The parts that training reads."""


def kept(sets: list[TrainingSet], split: str) -> set[str]:
    """Return the subjects of a part of all sets that are not left out."""
    return {name for one in sets for name in getattr(one, split).subject_names}


def reasons(sets: list[TrainingSet], exclude: tuple[str, ...]) -> list[str]:
    """Return a line for each reason for which subjects are left out, and for each exclusion that leaves out nobody."""
    there = {name for one in sets for split in READ for name in one.manifest.splits[split].subjects}
    told, banned = [], set()
    for text in exclude:
        others = renamed(text, _folders(sets))
        subjects = subjects_of(text) | others
        banned |= subjects
        said = f"--exclude {text}: {_counted(len(there & subjects))} left out"
        if others:
            said = f"{said}, {of_renamed(others)}"
        if not there & subjects:
            nobody = takes_nobody_out(text, [one.manifest for one in sets])
            why = nobody.partition("of the sets: ")[2] or "all of them are in test, which is never read"
            said = f"{said}; {why if subjects else 'it holds nobody'}"
        told.append(said)
    held_out = {name for one in sets for name in one.manifest.splits["valid"].subjects}
    for one in sets:
        others = _left_out(one, "train") - banned
        parts = {"as valid is to judge them in another set": others & held_out, "when merged": others - held_out}
        told += [f"{one.name}: {_counted(len(names))} left out of train {why}" for why, names in parts.items() if names]
    return told


def refuse_too_few(sets: list[TrainingSet], exclude: tuple[str, ...]) -> None:
    """Raise RefusedError where ``exclude`` leaves nobody to validate on, or less than half of the subjects."""
    if not exclude:
        return
    about = f"--exclude {' '.join(exclude)}"
    if not any(len(one.train) for one in sets):
        raise RefusedError("leaves nobody to train on", path=about, remedy="leave out fewer")
    banned = {name for text in exclude for name in subjects_of(text) | renamed(text, _folders(sets))}
    before = {
        split: kept(sets, split) | {name for one in sets for name in _left_out(one, split) & banned} for split in READ
    }
    left, all_of_them = (
        set().union(*of_parts) for of_parts in ((kept(sets, split) for split in READ), before.values())
    )
    told = []
    if before["valid"] and not kept(sets, "valid"):
        told.append(f"none of {_counted(len(before['valid']))} to validate on")
    if 2 * len(left) < len(all_of_them):
        told.append(f"{len(left)} of {_counted(len(all_of_them))} in all")
    if told:
        remedy = "train so all the same with --yes, or leave out fewer"
        raise RefusedError(f"leaves {' and '.join(told)}", path=about, remedy=remedy)


def _left_out(one: TrainingSet, split: str) -> set[str]:
    windows: Windows = getattr(one, split)
    return set(one.manifest.splits[split].subjects) - windows.subject_names


def _folders(sets: list[TrainingSet]) -> list[Path]:
    return [one.train.folder for one in sets]


def _counted(number: int) -> str:
    return f"{number} subject{'' if number == 1 else 's'}"
