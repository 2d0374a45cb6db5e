"""Own: a corpus of one's own, as the layout in its recipe describes it."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from manifests.errors import DamagedError, DareError, LostError, UsageError
from manifests.faults import near
from manifests.layout import Events, Layout, Recordings
from manifests.notes import Note, note
from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines.corpora import bids, tables
from pipelines.corpora.base import Corpus
from pipelines.formats import fif
from pipelines.formats.arrays import Arrays
from pipelines.formats.packed import without_suffix
from pipelines.recording import Event, Recording
from pipelines.windows import LabelledOnset, LabelledSpan, deduplicated, happened, within

_MOST_CODES = 8  # of events that stand for no class, which a note names
_NOT_AVAILABLE = ("", "n/a", "na", "nan")


class Own(Corpus):
    """The corpus of a layout; its classes are whatever the recipe says. Nobody publishes releases of it."""

    def __init__(self, layout: Layout, classes: tuple[str, ...]) -> None:
        self.CLASSES = classes
        self._layout = layout

    def find(self, paths: list[str], recipe: Recipe) -> list[RawRecording]:
        """Return the recordings by path, with the label that their name tells where labels are in names."""
        there = {tables.composed(path): path for path in paths}
        inherited = bids.tables_of(paths, self._layout.events.file.removeprefix("{path}")) if self._layout.bids else {}
        return [
            self._source(path, found, there, inherited, recipe)
            for path in paths
            if (found := self._match(path)) is not None
        ]

    def arrays(self, _raw: RawRecording) -> Arrays | None:
        """Return how a file of bare arrays holds its signal, as the layout says."""
        stated = self._layout.arrays
        if stated is None:
            return None
        fields = stated.model_dump(exclude={"channels", "sfreq_hz", "label"})
        return Arrays(**fields, labels=stated.channels, sfreq=stated.sfreq_hz, trial_labels=stated.label)

    def is_label_event(self, text: str) -> bool:
        """Return whether an annotation, or a trigger, stands for a class, where that is what labels are in."""
        return self._layout.labels in ("annotations", "trigger") and self._layout.class_of(text) in self.CLASSES

    def label_content(self, src: Path, raw: RawRecording) -> bytes:
        """Return the table of a recording's events; of a FIF file of events one that is made of it."""
        is_fif = raw.label_file.lower().endswith(".fif")
        return fif.event_table(src / raw.label_file, src / raw.path) if is_fif else super().label_content(src, raw)

    def cues(
        self, raw: RawRecording, recording: Recording, labels: bytes, recipe: Recipe
    ) -> tuple[list[LabelledOnset], list[Note]]:
        """Return a cue for each annotation, trigger or row of a class, or several within its span."""
        if self._layout.labels == "events" and not raw.label_file:
            raise UsageError(
                "its labels are in a table, which is found only below --src: preprocess its tree", path=raw.path
            )
        events, bad = self._events(raw, recording, labels)
        if not (events or bad):
            bad = self._nothing_there(raw)
        found, lost, unknown = [], Counter[str](), Counter[str]()
        short = f"{{count}} of {{total}} events are shorter than a window of {recipe.window_s:g} s: not used"
        for event in events:
            name = self._layout.class_of(event.text)
            if name not in recipe.classes:
                unknown[event.text] += 1
            elif self._layout.spans and event.duration_s > 0:
                cues = within(event.onset_s, event.duration_s, recipe.classes.index(name), recipe)
                lost[short] += not cues
                found += cues
            else:
                found.append(LabelledOnset(event.onset_s, recipe.classes.index(name)))
        notes = [note("events unused", says, count=count, total=len(events)) for says, count in lost.items()]
        says = "{count} of {total} events stand for no class: not used"
        # Codes alone are told: other texts may name people.
        codes = [text for text, _ in unknown.most_common() if text.isdecimal()][:_MOST_CODES]
        says += ", codes {names} among them" * bool(codes)
        notes.append(note("events unused", says, codes, count=unknown.total(), total=len(events)))
        cues, doubles = deduplicated(found, recipe) if recipe.events == "deduplicated" else (found, [])
        return cues, [*bad, *happened(*notes), *self._misspelt(events, recipe), *doubles]

    def spans(
        self, raw: RawRecording, recording: Recording, labels: bytes, recipe: Recipe
    ) -> list[LabelledSpan] | None:
        """Return each event of a class that lasts, once, where the layout has ``spans``."""
        if not self._layout.spans:
            return None
        events, _ = self._events(raw, recording, labels)
        named = {(event.onset_s, event.duration_s, self._layout.class_of(event.text)) for event in events}
        return [
            LabelledSpan(onset_s, onset_s + duration_s, recipe.classes.index(name))
            for onset_s, duration_s, name in named
            if duration_s > 0 and name in recipe.classes
        ]

    def apply_tables(self, recordings: list[RawRecording], src: Path, paths: list[str]) -> list[RawRecording]:
        """Return the recordings with what tables say of each: label, split and subject, and in BIDS its channels.

        Raises DareError where none of the paths is a recording, and where a table cannot be read, lacks a column or
        contradicts itself.
        """
        if not recordings:
            wanted = self._layout.files or "a BIDS tree, sub-*/eeg/*_eeg.*"
            raise UsageError(
                f"none of its {len(paths)} files, such as {paths[0]}, lies as the layout says: {wanted}", path=src
            )
        if self._layout.bids:
            recordings = bids.with_channels(recordings, src, paths)
        if self.CLASSES and self._layout.labels == "events":
            recordings = [self._with_events_outside(raw, src) for raw in recordings]
            recordings = self._with_events_of_their_own(recordings, src)
        table = self._layout.recordings
        has_label = bool(self.CLASSES) and self._layout.labels == "recordings"
        if table is None or not (has_label or table.split or (table.path and table.subject)):
            return recordings
        there = {tables.composed(path): path for path in paths}
        path = src / there.get(tables.composed(table.file), table.file)
        try:
            content = path.read_bytes()
        except OSError as problem:
            raise LostError(
                f"cannot be read ({problem.strerror})", path=path, remedy="it is the layout's table of recordings"
            ) from None
        columns = [*tables.key_columns(table), *[table.label] * has_label, *filter(None, [table.split])]
        grouped = tables.by_recording(tables.rows(str(path), content, columns), table)
        told = [self._told(raw, tables.rows_of(raw, grouped, table), table, has_label) for raw in recordings]
        return tables.only_of_one(told, grouped, table, table.file) if table.path else told

    def _with_events_of_their_own(self, recordings: list[RawRecording], src: Path) -> list[RawRecording]:
        """Return the recordings, skipped where a table of events that several have does not tell them apart.

        A table of one name, without a column that tells, and one that a BIDS tree inherits, are meant for all.
        """
        table, shared = self._layout.events, defaultdict[str, list[RawRecording]](list)
        for raw in recordings:
            shared[raw.label_file].append(raw)
        checked: dict[str, RawRecording] = {}
        for file, group in shared.items():
            if not file or len(group) == 1:
                continue
            if columns := tables.key_columns(table):
                # A table that cannot be read is told of where its recordings are.
                with suppress(DareError, OSError):
                    grouped = tables.by_recording(tables.rows(file, (src / file).read_bytes(), columns), table)
                    checked |= {raw.path: raw for raw in tables.only_of_one(group, grouped, table, file)}
            elif "{" in table.file and not self._layout.bids:
                checked |= {raw.path: tables.ambiguous(raw, file, len(group)) for raw in group}
        return [checked.get(raw.path, raw) for raw in recordings]

    def _with_events_outside(self, raw: RawRecording, src: Path) -> RawRecording:
        """Return a recording with its table of events where the layout leads to one outside ``src``."""
        found = self._match(raw.path)
        if raw.label_file or not found or not self._layout.events.leads_out:
            return raw
        file = self._event_file(raw.path, found)
        there = (src / file).is_file()
        return raw.model_copy(update={"label_file": file, "lacks": None, "skip": None}) if there else raw

    def _event_file(self, path: str, found: dict[str, str]) -> str:
        stem = bids.stem(path) if self._layout.bids else without_suffix(path).rpartition(".")[0]
        return self._layout.events.file_of(stem, found.get("subject", ""), found.get("session", ""))

    def _match(self, path: str) -> dict[str, str] | None:
        """Return what a path says of a recording; None where it is none."""
        entities = bids.match(path) if self._layout.bids else {}
        named = self._layout.match(path) if self._layout.files else {}
        return None if entities is None or named is None else entities | named

    def _source(
        self, path: str, found: dict[str, str], there: dict[str, str], inherited: bids.Tables, recipe: Recipe
    ) -> RawRecording:
        raw = RawRecording(
            path=path,
            subject=f"{recipe.namespace}:{found.get('subject', '')}",
            session=found.get("session", ""),
            test=found.get("split") in self._layout.test,
        )
        if not recipe.classes:
            return raw
        if self._layout.labels == "name":
            return self._labelled(raw, found["label"])
        if self._layout.labels != "events":
            return raw
        file = self._event_file(path, found)
        if label_file := there.get(tables.composed(file)) or bids.inherited(path, inherited):
            return raw.model_copy(update={"label_file": label_file})
        lacking = note("no labels", "labels: there is no {names}", [file])
        return raw.model_copy(update={"skip" if self._layout.bids else "lacks": lacking})

    def _labelled(self, raw: RawRecording, text: str) -> RawRecording:
        name = self._layout.class_of(text)
        if name in self.CLASSES:
            return raw.model_copy(update={"label": name})
        other = f"its label {{names}} stands for none of {', '.join(self.CLASSES)}"
        if like := near(text, self._layout.classes or self.CLASSES):
            other += f": is it {like!r} misspelt?"
        return raw.model_copy(update={"skip": note("other label", other, [repr(text)])})

    def _told(self, raw: RawRecording, found: list[tables.Row], table: Recordings, has_label: bool) -> RawRecording:
        if not found:
            missing = note("no row", "there is no row of it in {names}", [table.file])
            return raw.model_copy(update={"skip": missing})
        first = found[0]
        if other := next((row for row in found if row | {"line": first["line"]} != first), None):
            raise DamagedError(
                f"lines {first['line']} and {other['line']} say two things of {raw.path}", path=table.file
            )
        if table.path and table.subject and not first[table.subject]:
            nobody = note("no subject", "its row in {names} names no subject", [table.file])
            return raw.model_copy(update={"skip": nobody})
        stated: dict[str, object] = {}
        if table.path and table.subject:
            stated["subject"] = f"{raw.subject.partition(':')[0]}:{first[table.subject]}"
        if table.path and table.session:
            stated["session"] = first[table.session]
        if table.split:
            stated["test"] = first[table.split] in self._layout.test
        raw = raw.model_copy(update=stated)
        return self._labelled(raw, first[table.label]) if has_label and not raw.skip else raw

    def _nothing_there(self, raw: RawRecording) -> list[Note]:
        """Return a note on where labels should be and there is none; a channel of triggers tells that itself."""
        if self._layout.labels == "events":
            return [note("no events", "there is no event of it in {names}", [raw.label_file])]
        return [note("no events", "has no annotations")] * (self._layout.labels == "annotations")

    def _misspelt(self, events: Sequence[Event], recipe: Recipe) -> list[Note]:
        """Return a note on texts that are nearly what stands for a class without events: one of the two is misspelt.

        Other texts are not told, as annotations may hold anything.
        """
        classes = {event.text: self._layout.class_of(event.text) for event in events}
        lacking = set(recipe.classes) - set(classes.values())
        known = self._layout.classes or dict(zip(recipe.classes, recipe.classes, strict=True))
        wanted = [text for text, name in known.items() if name in lacking]
        others = sorted(text for text, name in classes.items() if name not in recipe.classes)
        found = {text: one for text in others if (one := near(text, wanted)) and _digits(one) == _digits(text)}
        pairs = [f"{text!r} is of no class and {one!r} has no event" for text, one in found.items()]
        return [note("misspelt", "{names}: is one of them misspelt?", pairs)] * bool(pairs)

    def _events(self, raw: RawRecording, recording: Recording, content: bytes) -> tuple[Sequence[Event], list[Note]]:
        """Return (a recording's events, of its table where labels are in one, in s of true time; notes on bad rows).

        A row costs itself where its onset is no number, or its duration is one neither and not said to be unknown.
        Raises DareError where the table lacks a column.
        """
        if self._layout.labels != "events":
            return recording.events, []
        table, name = self._layout.events, raw.label_file
        table = Events() if name.lower().endswith(".fif") else table  # as `label_content` makes it
        timed = [table.onset, *[table.duration] * self._layout.spans]
        rows = tables.rows(name, content, [*tables.key_columns(table), table.label, *timed])
        events, bad = [], []
        about = tables.rows_of(raw, tables.by_recording(rows, table), table)
        for row in about:
            has_duration = self._layout.spans and row[table.duration].lower() not in _NOT_AVAILABLE
            onset, duration = _number(row[table.onset]), _number(row[table.duration]) if has_duration else 0.0
            if not math.isfinite(onset + duration):
                bad.append(row["line"])
                continue
            if table.unit == "samples":
                onset, duration = _true_s(onset, recording), duration / recording.sfreq
            events.append(Event(onset, duration, row[table.label]))
        says = "{count} of {total} rows have no number as onset or duration: not used, the first in line {names}"
        return events, happened(note("bad rows", says, bad[:1], count=len(bad), total=len(about)))


def _digits(text: str) -> list[str]:
    return re.findall(r"\d+", text)


def _number(text: str) -> float:
    """Return the number that a text is, with a decimal point or comma; NaN where it is none."""
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return math.nan


def _true_s(sample: float, recording: Recording) -> float:
    """Return the time, gaps counted, of a sample of the file; before and beyond what was read as if without gaps."""
    wanted = sample - recording.first_sample
    begun = [segment for segment in recording.segments if segment.start <= wanted] or recording.segments[:1]
    if not begun:
        return sample / recording.sfreq
    return begun[-1].onset_s + (wanted - begun[-1].start) / recording.sfreq
