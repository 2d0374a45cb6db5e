"""First recipe: a recipe for a tree that nobody wrote one for, with a comment on each line and honest where unsure."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from manifests import recipe as recipes
from manifests.electrodes import canonical
from manifests.errors import DareError, MissingError
from manifests.layout import Layout
from manifests.notes import one_line
from pipelines.contents import contents, is_signal
from pipelines.corpora import CORPORA, bids
from pipelines.path_pattern import ending, files_pattern
from pipelines.survey import OF_EVENTS, Labels, Survey, known_electrodes, survey

_NETWORK_HZ, _TOP_HZ, _LOW_HZ = 256.0, 75.0, 0.1
_BELOW_NYQUIST_HZ = 4.0
_MOST_CLASSES = 8
_LEAST_SUBJECTS = 4  # for a part to train, one to validate and one to test that say something
_WINDOWS_S = (4.0, 2.0, 1.0, 0.5)
_MOST_LISTED = 12
_NO_CLASS = re.compile(r"bad|boundary|edge|record|total|segment|start|stop|end|sync|n/?a$|$", re.IGNORECASE)
_NAME = re.compile(r"[^a-z0-9]")


def first_recipe(place: Path) -> str:
    """Return the text of a recipe for the recordings below a folder, or for a file; DareError where there are none."""
    folder, only = (place, "") if place.is_dir() else (place.parent, place.name)
    found = survey(folder, only)
    name = _corpus(folder)
    head = [
        f"# Made by dare recipe --init {place}: {_amount(found)}.",
        f"# Try it: dare preprocess {name} --recipe mine.toml --src {folder} --dry-run",
        *_known(found),
        _line("corpus", name, "of small letters and digits; what the set is called"),
        _line("licence", "", "fill in: under what terms these recordings may be used"),
        _line("citation", "", "fill in: what to cite"),
    ]
    body = _of_recordings(found) if found.recordings else _of_bare_numbers(found)
    if not body:
        why = next(iter(found.faults.values()), "no file has the ending of a recording")
        raise MissingError(
            f"holds no recording that can be read as it is ({why})",
            path=place,
            remedy="dare inspect FILE says what is in it and which layout would read it",
        )
    return "\n".join(one_line(line).encode("utf-8", "replace").decode() for line in [*head, *body]) + "\n"


def _of_recordings(found: Survey) -> list[str]:
    """Return the lines that say how recordings are cut, and where they lie."""
    layout, num_subjects = _layout(found)
    labels = _labels(found)
    held_out = _held_out(num_subjects) if labels.choices else []
    fields = [*_unread(found), *_electrodes(found), *_mains(found), *_rates(found), *labels.choices, *held_out]
    return [*fields, "", *layout, *labels.layout]


def _of_bare_numbers(found: Survey) -> list[str]:
    """Return these lines for files that say nothing of their channels, by what is in the first; none where none is."""
    suffixes = Counter(ending(path) for path in found.unknown).most_common(1)
    paths = [path for path in found.unknown if ending(path) == suffixes[0][0]]
    for path in paths[:_MOST_LISTED]:
        with suppress(DareError, OSError):
            held = contents(found.folder / path)
            if is_signal(held):
                alike = [one for one in paths if _is_alike(found, one, path)]
                pattern, told = files_pattern(alike)
                names = list(dict.fromkeys(map(canonical, held["channels"])))
                told_of = f"of the channels of {path}; the network knows 10-10 names alone"
                return [
                    _line("electrodes", known_electrodes(names) or names, told_of),
                    _line("notch_hz", 0, "could not tell: state the mains, 50 or 60"),
                    _line("band_hz", [_LOW_HZ, 40], "could not tell; it may end at half of the rate"),
                    "",
                    "[layout]",
                    _line("files", pattern, f"guessed from names; {told}"),
                    _line("labels", "none", "docs/own_corpus.md says where labels may be"),
                    "",
                    *held["layout"],
                ]
    return []


def _is_alike(found: Survey, path: str, other: str) -> bool:
    """Return whether a file is of the kind of another: a table of the same columns, an array that may be signal."""
    if path.endswith(".npy"):  # of which the header tells
        with suppress(DareError, OSError):
            return is_signal(contents(found.folder / path))
    return path not in found.tables or found.tables[path] == found.tables.get(other)


def layout_of(found: Survey) -> list[str]:
    """Return the lines of the layout that reads what a survey found."""
    return [*_layout(found)[0], *_labels(found).layout]


def _line(field: str, value: object, comment: str) -> str:
    return f"{field} = {json.dumps(value, ensure_ascii=False)}  # {comment}"


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" + "s" * (count != 1)


def _amount(found: Survey) -> str:
    if not found.recordings:
        return f"{_counted(len(found.unknown), 'file')}, which say nothing of their channels"
    hours = sum(header.duration_s for header in found.recordings.values()) / 3600
    of_some = f" in the {len(found.recordings)} looked into" * (len(found.recordings) < found.num_likely)
    return f"{_counted(found.num_likely, 'recording')}, {hours:.2f} h{of_some}"


def _listed(counts: Iterable[tuple[object, int]]) -> str:
    pairs = list(counts)
    more = f" and {len(pairs) - _MOST_LISTED} more" if len(pairs) > _MOST_LISTED else ""
    return ", ".join(f"{what} in {count}" for what, count in pairs[:_MOST_LISTED]) + more


def _corpus(folder: Path) -> str:
    name = _NAME.sub("", folder.resolve().name.lower())[:20] or "mine"
    return f"my{name}" if name in recipes.names() else name


def _known(found: Survey) -> list[str]:
    """Say that the tree looks like a corpus that has a recipe."""
    looks = [name for name, one in CORPORA.items() if one.find(found.paths, recipes.load(name))]
    return [
        f"# It looks like {name}, which needs no recipe: dare preprocess {name} --src {found.folder}" for name in looks
    ]


def _unread(found: Survey) -> list[str]:
    first = next(iter(found.faults.items()), ("", ""))
    count = _counted(len(found.faults), "file")
    return [f"# {count} could not be read, such as {first[0]}: {first[1]}"] * bool(found.faults)


def _electrodes(found: Survey) -> list[str]:
    """Name the electrodes that most recordings have."""
    counts, total = found.electrodes, len(found.recordings)
    common = [name for name, count in counts.items() if 2 * count > total]
    chosen = known_electrodes(common) or known_electrodes(counts)
    if not chosen:
        rest = common or list(counts)
        return [
            "# could not tell: no channel is called as a site of the 10-10 system, by which alone the network knows it",
            _line("electrodes", rest, "leave out what is no EEG"),
        ]
    partly = [(name, counts[name]) for name in chosen if counts[name] < total]
    others = [name for name in counts if name not in chosen]
    told = "electrodes that most recordings have"
    told += f"; {_listed(partly)} of {total}" if partly else f": all {total} of them"
    told += f"; left out: {', '.join(others[:_MOST_LISTED])}" if others else ""
    return [_line("electrodes", chosen, told)]


def _mains(found: Survey) -> list[str]:
    """State the mains line that stands out in most of the recordings looked into."""
    looked, loud, notched = len(found.measures), found.loud_mains, found.notched
    if loud:
        line, count = loud.most_common(1)[0]
        other = f"; {_listed(one for one in loud.items() if one[0] != line)}" if len(loud) > 1 else ""
        return [_line("notch_hz", line, f"the mains: {line} Hz stands out in {count} of {looked} looked into{other}")]
    if notched:
        line, count = notched.most_common(1)[0]
        return [
            _line(
                "notch_hz", line, f"no mains line stands out; {line} Hz was filtered out before in {count} of {looked}"
            )
        ]
    return [
        _line(
            "notch_hz",
            0,
            f"could not tell: no line stands out in {looked} looked into; 50 or 60 where you know the mains",
        )
    ]


def _rates(found: Survey) -> list[str]:
    """State a rate for the windows, and a band that all recordings hold."""
    rates = found.rates
    slowest, commonest = _slowest(rates), max(rates, key=lambda rate: (rates[rate], rate))
    sfreq = _NETWORK_HZ if commonest > _NETWORK_HZ or not commonest.is_integer() else commonest
    half = min(slowest, sfreq) / 2
    high = (
        _TOP_HZ
        if half > _TOP_HZ
        else float(int(half - _BELOW_NYQUIST_HZ) if half > 2 * _BELOW_NYQUIST_HZ else 0.9 * half)
    )
    recorded = _listed((f"{rate:g} Hz", count) for rate, count in rates.most_common())
    held = f"what {slowest:g} Hz holds" if high < _TOP_HZ else "what the network was trained on"
    slower = sum(count for rate, count in rates.items() if rate < slowest)
    held += f"; {_counted(slower, 'recording')} slower than that are skipped" if slower else ""
    return [
        _line("sfreq_hz", _plain(sfreq), f"recorded at {recorded}; pretraining takes 256 whatever this says"),
        _line("band_hz", [min(_LOW_HZ, high / 2), _plain(high)], held),
    ]


def _slowest(rates: Counter[float]) -> float:
    """Return the lowest rate that a band is worth being cut for: at most a tenth of the recordings is slower."""
    ranked = sorted(rates)
    return next(
        rate
        for rate in ranked
        if sum(rates[one] for one in ranked if one < rate) * 10 + rates[rate] * 10 > rates.total()
    )


def _plain(value: float) -> int | float:
    return int(value) if value.is_integer() else value


# --- labels -----------------------------------------------------------------------------------------------------------


class _Labelled:
    """Lines on labels: the ``choices`` of the recipe, and those of its layout."""

    def __init__(self, choices: list[str], layout: list[str]) -> None:
        self.choices, self.layout = choices, layout


def _labels(found: Survey) -> _Labelled:
    """Take as classes the texts of the first place whose events can be classes; what is in doubt is commented out."""
    doubtful: list[str] = []
    for labels in found.labels:
        texts = [text for text in sorted(labels.texts) if not _NO_CLASS.match(text)]
        clear = [text for text in texts if 2 * labels.recordings[text] >= max(labels.recordings.values())]
        is_common = 2 * max(labels.recordings.values()) >= labels.num_looked
        if is_common and 2 <= len(clear) <= _MOST_CLASSES and len(texts) <= _MOST_CLASSES:
            return _of(labels, clear, doubtful)
        counts = ", ".join(f"{text!r} {count}" for text, count in labels.texts.most_common(_MOST_LISTED))
        doubtful += [
            f"# could not tell classes from {_where(labels)}: {counts}",
            f'# if they are: classes = [...] above, and here labels = "{labels.where}", classes = {{ TEXT = "CLASS" }}',
        ]
    return _Labelled([], [*doubtful, *_elsewhere(found), 'labels = "none"  # no class was found: for pretraining'])


def _of(labels: Labels, texts: list[str], doubtful: list[str]) -> _Labelled:
    """Return the lines by which these texts are classes."""
    lasts_s = sorted(labels.durations_s)[len(labels.durations_s) // 4] if labels.lasts_s else 0.0
    gap_s = sorted(labels.gaps_s)[len(labels.gaps_s) // 4] if labels.gaps_s else _WINDOWS_S[0]
    window_s = next((one for one in _WINDOWS_S if one <= (lasts_s or gap_s)), _WINDOWS_S[-1])
    counts = ", ".join(f"{text} {labels.texts[text]}" for text in texts)
    lasting = f"events last {labels.lasts_s:g} s" if lasts_s else f"an event comes every {gap_s:g} s or more"
    choices = [
        _line("classes", texts, f"of {_where(labels)}: {counts}; leave out what is no class of yours"),
        _line("window_s", _plain(window_s), f"{lasting}; pretraining takes 10 whatever this says"),
    ]
    layout = [*doubtful, _line("labels", labels.where, _where(labels))]
    if labels.where == "events" and labels.column != "trial_type":
        layout.append(_line("events.label", labels.column, "the column that tells what an event is"))
    if lasts_s >= 2 * window_s:
        layout.append(_line("spans", True, "as many windows as fit into an event"))
    return _Labelled(choices, layout)


def _where(labels: Labels) -> str:
    place = {"trigger": "the codes of its trigger channel", "annotations": "annotations of the files"}
    where = place.get(labels.where, f"the column {labels.column} of *_events.tsv")
    return f"{where}, in {max(labels.recordings.values())} of {labels.num_looked} looked into"


def _elsewhere(found: Survey) -> list[str]:
    """Say which files may hold labels: tables, and FIF files of events."""
    lines = [
        f"# {path} has the columns {', '.join(columns[:_MOST_LISTED])}: labels may be there"
        for path, columns in list(found.tables.items())[:3]
    ]
    fif = [path for path in found.paths if path.endswith(OF_EVENTS)]
    return lines + [
        f'# {path} holds events: labels = "events", events.file = "{_events_file(found, path)}" if each has its own, '
        'and classes = { CODE = "CLASS" }'
        for path in fif[:1]
    ]


def _events_file(found: Survey, path: str) -> str:
    """Return how a layout names a file of events: by its recording's path, or by the subject that both are of."""
    stem, end = path[: -len(OF_EVENTS[0])], path[-len(OF_EVENTS[0]) :]
    if any(one.startswith(f"{stem}.") for one in found.recordings):
        return f"{{path}}{end}"
    named = Layout(files=files_pattern(list(found.recordings))[0])
    subjects = {match["subject"] for one in found.recordings if (match := named.match(one))}
    whose = max((one for one in subjects if one in stem), key=len, default="")
    return (stem.replace(whose, "{subject}") if whose else "{path}") + end


def _held_out(num_subjects: int) -> list[str]:
    if num_subjects < _LEAST_SUBJECTS:
        return [f"# test_share = 0.2 holds subjects out for the test; of {num_subjects} folds over all say more"]
    return [_line("test_share", 0.2, "of the subjects are for the test alone; 0 for folds over all of them")]


# --- layout -----------------------------------------------------------------------------------------------------------


def _layout(found: Survey) -> tuple[list[str], int]:
    """Return (the lines that say where recordings lie, how many subjects these tell)."""
    if found.is_bids:
        people = {match["subject"] for path in found.recordings if (match := bids.match(path))}
        return ["[layout]", _line("bids", True, f"sub-*/[ses-*/]eeg/*_eeg.*: {_counted(len(people), 'subject')}")], len(
            people
        )
    suffixes = Counter(ending(path) for path in found.recordings)
    suffix = suffixes.most_common(1)[0][0]
    paths = [path for path in found.recordings if ending(path) == suffix]
    others = [one for one in suffixes if one.lower() != suffix.lower()]
    pattern, told = files_pattern(paths)
    named = Layout(files=pattern)
    matched = sorted({match["subject"] for path in paths if (match := named.match(path))})
    shown = f"{_counted(len(matched), 'subject')}: {', '.join(matched[:4])}{' ...' * (len(matched) > 4)}"
    return [
        "[layout]",
        *[f"# {', '.join(others)} lie there too; one recipe reads files of one ending"] * bool(others),
        _line("files", pattern, f"{shown}; {told}"),
    ], len(matched)
