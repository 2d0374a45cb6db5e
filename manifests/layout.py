"""Layout: where the recordings of a corpus of one's own lie below --src, and where their labels are."""

import re
import unicodedata
from functools import lru_cache
from pathlib import PureWindowsPath
from typing import Annotated, Literal

from pydantic import Field, model_validator

from manifests.records import Part, added

PLACEHOLDERS = ("subject", "session", "label", "split")
UNITS = ("V", "mV", "uV", "nV")
_TOKEN = re.compile(r"\{(?P<name>\w+)(?::(?P<width>[1-9]\d?))?\}|(?P<folders>\*\*/)|(?P<any>\*)|[^{*]+|.", re.DOTALL)


class Table(Part):
    """A CSV or TSV file with a line of column names; every field but ``file`` is such a name, "" for a column unused.

    ``path`` holds a recording's path below --src or its file name, with or without extension; ``subject`` and
    ``session`` hold what the placeholders of these names match (``sub-01`` is ``01``). One of them tells which
    recording a row of a table is about. Beside ``path``, a subject and session are the recording's.
    ``file`` is a path below --src, one from there that begins with ``../``, or an absolute one.
    """

    file: str = Field(min_length=1)
    path: str = ""
    subject: str = ""
    session: str = ""
    label: str = "label"

    @property
    def leads_out(self) -> bool:
        """Whether the file is named by a path that leads out of the tree of recordings."""
        return self.file.startswith(("/", "../")) or PureWindowsPath(self.file).is_absolute()


class Events(Table):
    """A table with a row an event: its onset and duration in seconds, or in samples counted from 0; 1,5 is 1.5.

    ``file`` may have ``{subject}``, ``{session}`` and ``{path}``, the recording's path below --src without its
    extension (in a BIDS tree without ``_eeg`` too): then there is a table for each recording.
    """

    file: str = "{path}.csv"
    onset: str = "onset"
    duration: str = "duration"
    unit: Literal["s", "samples"] = "s"

    @model_validator(mode="after")
    def _placeholders_are_known(self) -> "Events":
        _refuse_strange("file", self.file, ("path", "subject", "session"))
        return self

    def file_of(self, path: str, subject: str, session: str) -> str:
        """Return the path of the table that holds the events of a recording."""
        return self.file.replace("{path}", path).replace("{subject}", subject).replace("{session}", session)


class Recordings(Table):
    """A table of the whole corpus with a row a recording or a subject; ``split`` is the column that tells the test."""

    split: str = ""

    @model_validator(mode="after")
    def _names_recordings(self) -> "Recordings":
        if not self.path and not self.subject:
            raise ValueError("say in path or subject which column tells what recording a row is about")
        return self


class ArrayLayout(Part):
    """How files of bare numbers hold a recording: MAT, NPY, NPZ and tables of text such as CSV.

    ``channels`` are in the order of the file; ``unit`` is that of its numbers once multiplied by ``scale``. For MAT,
    NPY and NPZ see `pipelines.formats.arrays`: ``variables``, ``axes``, ``field``, ``onsets``, ``codes``. For tables
    see `pipelines.formats.text_table`: ``columns``, by name or number from 1, hold the channels, ``time`` the times, or
    a counter, in ``time_unit``; without ``channels`` these are called as their columns, and without ``sfreq_hz`` the
    rate is that of the times. ``label`` is the variable, member or column that holds labels.
    """

    variables: str = added("", absent="")
    axes: str = added("channel time", absent="channel time")
    channels: tuple[str, ...] = added((), absent=())
    sfreq_hz: Annotated[float, Field(ge=0)] = added(0.0, absent=0.0)
    unit: str = "uV"
    field: str = ""
    onsets: str = ""
    codes: str = ""
    scale: Annotated[float, Field(gt=0)] = added(1.0, absent=1.0)
    columns: tuple[str, ...] = added((), absent=())
    time: str = added("", absent="")
    time_unit: Literal["s", "ms", "us", "ns", "counter"] = added("s", absent="s")
    label: str = added("", absent="")

    @model_validator(mode="after")
    def _consistent(self) -> "ArrayLayout":
        if any(self.axes.split().count(name) != 1 for name in ("time", "channel")):
            raise ValueError(f'axes = "{self.axes}" must name time and channel once each, as in "trial channel time"')
        try:
            re.compile(self.variables)
        except re.error as problem:
            raise ValueError(f"variables is no regular expression ({problem})") from None
        if self.columns and self.channels and len(self.columns) != len(self.channels):
            raise ValueError(f"columns names {len(self.columns)} columns, channels {len(self.channels)} channels")
        if self.time_unit == "counter" and self.time and not self.sfreq_hz:
            raise ValueError("a counter tells no rate: state sfreq_hz")
        return self


class Layout(Part):
    """Which files are recordings, what their paths say, and where labels are: the table ``[layout]`` of a recipe.

    ``files`` is a path below --src with placeholders: ``{subject}/{session}_{label}.edf``. ``{subject}``,
    ``{session}``, ``{label}`` and ``{split}`` match one character or more, the earlier ones as few as they can, and
    ``{subject:2}`` two; one named twice matches the same text twice. ``*`` matches any text, neither matches ``/``;
    ``**/`` matches any folders. The case of the extension does not count. With ``bids`` the recordings are those of a
    BIDS tree, its task is the label where that is in the name, ``files`` may narrow them down, and channels that a
    ``channels.tsv`` marks bad or no EEG are absent.

    ``labels`` says where labels are: in the ``name``, in ``annotations`` of the file, in the codes of its
    ``trigger`` channel, in a table of ``events``, in a table of ``recordings``, or nowhere (``none``). ``trigger``
    names that channel, "" where it is called Status, STI or trigger. ``classes`` says which class a text stands
    for, in which ``*`` is any text; without it a text is the name of its class. What stands for none is counted and
    not used. An event gives a window at its onset, or with ``spans`` as many as fit into its duration, where it has
    one. ``test`` holds what ``{split}`` or the column ``split`` says of test recordings. ``arrays`` is needed for
    files of bare numbers. ``unit`` is that of the samples of every file, whatever that says; ``scale`` multiplies what
    is read instead, in µV by the file's own unit, or as µV where it has none.
    """

    files: str = ""
    bids: bool = False
    labels: Literal["none", "name", "annotations", "trigger", "events", "recordings"] = "none"
    classes: dict[str, str] = Field(default_factory=dict)
    spans: bool = False
    trigger: str = added("", absent="")
    events: Events = Field(default_factory=Events)
    recordings: Recordings | None = None
    test: tuple[str, ...] = ()
    arrays: ArrayLayout | None = None
    unit: str = added("", absent="")
    scale: Annotated[float, Field(gt=0)] = added(1.0, absent=1.0)

    @model_validator(mode="before")
    @classmethod
    def _tables_of_bids(cls, fields: object) -> object:
        """Name the files and columns of a BIDS tree where nothing else is said."""
        if not isinstance(fields, dict) or fields.get("bids") is not True:
            return fields
        named: dict[str, dict[str, str]] = {"events": {"file": "{path}_events.tsv", "label": "trial_type"}}
        if fields.get("recordings") is not None or fields.get("labels") == "recordings":
            named["recordings"] = {"file": "participants.tsv", "subject": "participant_id"}
        stated = {name: fields[name] for name in named if isinstance(fields.get(name), dict)}
        return fields | {name: columns | stated.get(name, {}) for name, columns in named.items()}

    @model_validator(mode="after")
    def _consistent(self) -> "Layout":
        _refuse_strange("files", self.files, PLACEHOLDERS)
        if not self.files and not self.bids:
            raise ValueError('files must say where recordings lie, as in "{subject}/{session}.edf", or bids = true')
        if self.labels == "recordings" and not self.recordings:
            raise ValueError('labels = "recordings" needs a table [layout.recordings] with its file and columns')
        tabled = self.recordings or Recordings(file="none", path="none")
        named = _placeholders(self.files)
        if not (self.bids or "subject" in named or (tabled.path and tabled.subject)):
            raise ValueError("subjects are unknown: files needs {subject}, or recordings the columns path and subject")
        if self.labels == "name" and not self.bids and "label" not in named:
            raise ValueError('labels = "name" needs {label} in files')
        if bool(self.test) != ("split" in named or bool(tabled.split)):
            raise ValueError("test and {split} in files, or the column recordings.split, need each other")
        if self.unit not in ("", *UNITS):
            raise ValueError(f'unit = "{self.unit}" is none of {", ".join(UNITS)}')
        if self.unit and self.scale != 1:
            raise ValueError("unit and scale exclude each other: unit says what the numbers are, scale corrects them")
        return self

    def match(self, path: str) -> dict[str, str] | None:
        """Return what the placeholders of ``files`` match in a path below --src, None where it is no recording.

        Accents that one of the two has composed and the other not are the same.
        """
        spelt = ((one(self.files), one(path)) for one in (str, _composed))
        found = next((match for files, name in spelt if (match := _compiled(files).fullmatch(name))), None)
        return found and found.groupdict()

    def class_of(self, text: str) -> str | None:
        """Return the class that a label's text stands for, None where ``classes`` does not say.

        Accents that one of the two has composed and the other not are the same.
        """
        if not self.classes:
            return _composed(text)
        if text in self.classes:
            return self.classes[text]
        texts = ((_composed(wild), name) for wild, name in self.classes.items())
        return next((name for wild, name in texts if _compiled_text(wild).fullmatch(_composed(text))), None)


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _placeholders(pattern: str) -> set[str]:
    return {token["name"] for token in _TOKEN.finditer(pattern) if token["name"]}


def _refuse_strange(field: str, pattern: str, known: tuple[str, ...]) -> None:
    for token in _TOKEN.finditer(pattern):
        if token[0].startswith("{") and (token["name"] not in known or (token["width"] and field != "files")):
            choice = ", ".join(f"{{{one}}}" for one in known)
            rest, end, _ = pattern[token.start() :].partition("}")
            raise ValueError(f"{field}: {rest + end if end else '{'} is no placeholder; there are {choice}")


@lru_cache
def _compiled(pattern: str) -> re.Pattern[str]:
    stem, dot, extension = pattern.rpartition(".")
    if not dot or {"/", "}"} & set(extension):
        return re.compile(_regex(pattern))
    return re.compile(rf"{_regex(stem)}(?i:\.{_regex(extension)})")


def _regex(pattern: str) -> str:
    parts, seen = [], set()
    for token in _TOKEN.finditer(pattern):
        if name := token["name"]:
            text = f"[^/]{{{token['width']}}}" if token["width"] else "[^/]+?"
            parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{text})")
            seen.add(name)
        else:
            parts.append("(?:[^/]+/)*" if token["folders"] else "[^/]*" if token["any"] else re.escape(token[0]))
    return "".join(parts)


@lru_cache
def _compiled_text(wild: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, wild.split("*"))), re.DOTALL)
