"""Rows: the probes that one command asks for, each an encoder by a mode or a baseline, and where their results land."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from dare_eeg.probing.options import (
    BASELINES,
    MODES,
    Baseline,
    Mode,
    fields_of,
    having,
    options_of,
)
from dare_eeg.probing.request import ProbeRequest
from dare_eeg.probing.scripts import PUBLISHED, script_of
from manifests.errors import UsageError
from manifests.faults import did_you_mean

ALL = "all"

T = TypeVar("T", bound=str)


@dataclass(frozen=True)
class Row:
    """An encoder by name, "" of a baseline, and the mode or the baseline."""

    encoder: str
    way: Mode | Baseline


def rows(encoders: Sequence[str], modes: Sequence[str], baselines: Sequence[str]) -> list[Row]:
    """Return each encoder by each mode, then the baselines, of which ``all`` are all.

    Raises UsageError for a mode or baseline that there is not, and where nothing is asked.
    """
    found = [Row(encoder, mode) for encoder in encoders for mode in _chosen("--mode", modes, MODES)]
    named = BASELINES if list(baselines) == [ALL] else _chosen("--baselines", baselines, BASELINES)
    found += [Row("", name) for name in named]
    if not found:
        raise UsageError("nothing to probe", remedy="name an --encoder and a --mode, or --baselines")
    return found


def requests(
    found: Sequence[Row], common: ProbeRequest, as_published: bool, settings: Sequence[str], is_own_folder: bool
) -> list[ProbeRequest]:
    """Return what is asked of each row, with those ``settings`` (KEY=VALUE) that it has a choice of.

    ``common`` is what all are asked; its ``out`` is the folder that holds theirs, or, with ``is_own_folder``, where
    the results of a single row land. Raises UsageError for a setting or an option that is no choice of any row,
    and for two rows of one name.
    """
    known = {row.way: fields_of(row.way) for row in found}
    for text in settings:
        if not any(_field(text) in fields for fields in known.values()):
            options_of(found[0].way, False, (text,))  # says what is wrong with it
    if as_published and not any(row.way in PUBLISHED for row in found):
        options_of(found[0].way, True)
    asked = []
    for row in found:
        its = tuple(text for text in settings if _field(text) in known[row.way])
        options = options_of(row.way, as_published and row.way in PUBLISHED, its, common.corpus)
        request = replace(common, encoder=row.encoder, mode=row.way, options=options)
        is_alone = is_own_folder and len(found) == 1
        asked.append(request if is_alone else replace(request, out=common.out / request.name))
    for place, request in enumerate(asked):
        if same := [one.encoder for one in asked[:place] if one.out == request.out]:
            reason = f"would be called {request.name}, as {same[0]} would"
            remedy = "ask each by a command with an --out of its own, or rename one of the two"
            raise UsageError(reason, path=f"--encoder {request.encoder}", remedy=remedy)
    return asked


def with_short_forms(found: Sequence[Row], settings: Sequence[str], given: Mapping[str, Any]) -> tuple[str, ...]:
    """Return settings (KEY=VALUE) with those fields among them that were given by an option of their own.

    None is not given. Raises UsageError where both forms are there, or no row has the choice.
    """
    short = {field: value for field, value in given.items() if value is not None}
    for field, value in short.items():
        path = f"--{field} {value}"
        if not any(field in fields_of(row.way) for row in found):
            raise UsageError("no row has the choice", path=path, remedy=f"it goes with {having(field)}")
        if any(_field(text) == field for text in settings):
            raise UsageError(f"is --set {field}, too", path=path, remedy="say it once")
    return (*settings, *(f"{field}={value}" for field, value in short.items()))


def told_of_scripts(found: Sequence[Row], corpus: str) -> list[str]:
    """Return a line for each published script that is taken for a corpus which is not its own."""
    of = {row.way: script_of(row.way, corpus) for row in found if row.way in PUBLISHED}
    return [
        f"--as-published: no script of {way} for {corpus} is published; that for {script} is taken"
        for way, script in of.items()
        if script != corpus
    ]


def _field(text: str) -> str:
    """Return the field that KEY=VALUE names."""
    return text.partition("=")[0].strip()


def _chosen(option: str, given: Sequence[str], choices: tuple[T, ...]) -> list[T]:
    """Return names as the choices that they are; UsageError for another."""
    for name in given:
        if name not in choices:
            remedy = did_you_mean(name, choices) or f"choose among {', '.join(choices)}"
            raise UsageError("there is none", path=f"{option} {name}", remedy=remedy)
    return [choice for name in given for choice in choices if choice == name]
