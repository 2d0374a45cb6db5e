"""Published: our rows of corpora beside published ones, and in what each of those was had otherwise."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dare_eeg.probing.options import ON_FEATURES, is_baseline
from dare_eeg.probing.results import Figure, Results
from dare_eeg.probing.tables.compare import Rows, rows_by_corpus
from dare_eeg.probing.tables.ladder import METRIC, kind_of, table
from manifests import published
from manifests.manifest import SPLITS
from manifests.published import PublishedRow, Reported, Study
from manifests.records import Part, Record


class Line(Part):
    """A row of ours at one level, or a published one.

    ``trained`` and ``level`` are "" where they are unknown, ``unread`` are metrics that could not be read. Of a
    published row ``differences`` are those of its protocol from ours, in words, ``unknown`` what cannot be compared.
    """

    name: str
    whose: Literal["ours", "published"]
    trained: str
    level: str
    metrics: dict[str, Reported]
    unread: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    source: str = ""


class Beside(Record):
    """By corpus our rows and the published ones together, best first; none of a corpus that nobody published of."""

    KIND = "published comparison"

    corpora: dict[str, tuple[Line, ...]]


@dataclass(frozen=True)
class _Ours:
    """What our rows of a corpus were asked and how; of each fact all that is true of one of them."""

    window_s: frozenset[float]
    protocol: frozenset[str]
    subjects: frozenset[int]
    among: frozenset[int]
    level: frozenset[str]
    trained: frozenset[str]
    selected: frozenset[str]
    metrics: frozenset[str]


def beside(folders: Sequence[Path]) -> Beside:
    """Return the rows in folders of rows or ladders, but controls, beside published ones of their corpora.

    Raises as `compare` does for folders that hold no rows, or rows that do not go together.
    """
    return Beside(corpora={corpus: _lines(corpus, rows) for corpus, rows in sorted(rows_by_corpus(folders).items())})


def markdown(found: Beside) -> str:
    """Return, by corpus, a table in Markdown and below it the differences of the published rows, by number."""
    return "\n".join(_section(corpus, lines) for corpus, lines in found.corpora.items())


def as_csv(found: Beside) -> bytes:
    """Return a line for each row and metric; of several differences one stands after the other."""
    stream = io.StringIO()
    lines = csv.writer(stream, lineterminator="\n")
    lines.writerow(
        ["corpus", "row", "whose", "trained", "level", "metric", "mean", "spread", "differences", "unknown", "source"]
    )
    for corpus, rows in found.corpora.items():
        for row in rows:
            figures: dict[str, Reported | None] = {**row.metrics, **dict.fromkeys(row.unread)}
            for metric, figure in figures.items():
                mean, spread = ("", "") if figure is None else (figure.mean, figure.spread)
                facts = [corpus, row.name, row.whose, row.trained, row.level, metric, mean, spread]
                lines.writerow([*facts, "; ".join(row.differences), "; ".join(row.unknown), row.source])
    return stream.getvalue().encode(errors="surrogateescape")


def _lines(corpus: str, rows: Rows) -> tuple[Line, ...]:
    if not (studies := published.studies(corpus)):
        return ()
    counting = {name: row for name, (_, row) in rows.items() if kind_of(row) != "control"}
    ours = _asked(list(counting.values()))
    lines = [
        Line(
            name=name,
            whose="ours",
            trained=f"{_trained(row)}, transductive" if row.practice.is_transductive else _trained(row),
            level=level,
            metrics={metric: _reported(figure) for metric, figure in figures.items()},
        )
        for name, row in counting.items()
        for level, figures in row.metrics.items()
    ]
    lines += [_line(study, row, ours) for study in studies for row in study.rows]
    return tuple(sorted(lines, key=_rank))


def _rank(line: Line) -> tuple[object, ...]:
    """Return by what lines are sorted: balanced accuracy, then those without it by the metric that they have."""
    if METRIC in line.metrics:
        return 0, "", -line.metrics[METRIC].mean, line.name
    metric, figure = next(iter(line.metrics.items()), ("", Reported(mean=0)))
    return 1, metric, -figure.mean, line.name


def _reported(figure: Figure) -> Reported:
    return Reported(mean=figure.mean, spread=figure.sd_repeats or figure.sd or None)


def _asked(rows: list[Results]) -> _Ours:
    return _Ours(
        window_s=frozenset(row.window_s for row in rows if row.window_s),
        protocol=frozenset(row.protocol for row in rows),
        subjects=frozenset(_who(row, "test") for row in rows),
        among=frozenset(_who(row, *SPLITS) for row in rows),
        level=frozenset(level for row in rows for level in row.metrics),
        trained=frozenset(_trained(row) for row in rows),
        selected=frozenset(_selected(row) for row in rows),
        metrics=frozenset(metric for row in rows for metric in row.metrics["window"]),
    )


def _who(row: Results, *sides: str) -> int:
    """Return how many subjects are on some side of a fold."""
    return len({name for fold in row.folds for side in sides for name in fold.subjects[side]})


def _trained(row: Results) -> str:
    """Return what was trained, in the words of published rows where they have any."""
    if is_baseline(row.mode):
        return "supervised"
    if row.mode in ON_FEATURES:
        return "frozen"
    if row.mode == "conv-linear":
        return "frozen behind a trained adapter"
    return "supervised" if kind_of(row) == "scratch" else "fine-tuned"


def _selected(row: Results) -> str:
    """Return what chose the penalty or the epoch."""
    practice = row.practice
    if practice.penalty is not None or row.mode == "majority":
        return "nothing"
    if is_baseline(row.mode) or row.mode in ON_FEATURES:
        return "valid" if practice.penalty_by == "valid" and not is_baseline(row.mode) else "train"
    return practice.choose_on


def _line(study: Study, row: PublishedRow, ours: _Ours) -> Line:
    trained = row.trained or study.trained
    facts: list[tuple[str, str, object, frozenset[object]]] = [
        ("length of windows", "windows of {} s", study.window_s, frozenset(ours.window_s)),
        ("split", f"split {study.split}", study.protocol, frozenset(ours.protocol)),
        ("subjects tested", "{} subjects tested", study.subjects, frozenset(ours.subjects)),
        ("subjects in all", "{} subjects in all", study.among, frozenset(ours.among)),
        ("level", "scored by {}", study.level, frozenset(ours.level)),
        ("training", "{}", trained, frozenset(ours.trained)),
        ("what it was chosen on", "chosen on {}", study.selected, frozenset(ours.selected)),
    ]
    differences, unknown = [], []
    for what, said, theirs, of_ours in facts:
        if theirs is None or not of_ours:
            unknown.append(what if theirs is None else f"our {what}")
        elif theirs not in of_ours:
            told = said.format(_shown(theirs))
            differences.append(f"{told} (ours {' or '.join(sorted(map(_shown, of_ours)))})")
    figures = study.figures(row)
    if figures and not figures.keys() & ours.metrics:
        differences.append(f"in {_words(*figures)} alone (ours not)")
    spread = ["what ± is"] if not study.spread and any(figure.spread for figure in figures.values()) else []
    hands = ", second hand" if study.second_hand else ""
    return Line(
        name=row.model,
        whose="published",
        trained=trained or "",
        level=study.level or "",
        metrics=figures,
        unread=study.unread(row),
        differences=(*differences, *filter(None, (study.note, row.note))),
        unknown=(*unknown, *spread),
        source=f"{study.source}{hands}" + (f"; ± is {study.spread}" if study.spread else ""),
    )


def _shown(fact: object) -> str:
    return f"{fact:g}" if isinstance(fact, float) else str(fact)


def _words(*metrics: str) -> str:
    return ", ".join(metric.replace("_", " ") for metric in metrics)


def _section(corpus: str, lines: tuple[Line, ...]) -> str:
    if not lines:
        return f"{corpus}: no published rows are kept of it\n"
    theirs = [line for line in lines if line.whose == "published"]
    named = dict.fromkeys(name for line in theirs for name in (*line.metrics, *line.unread))
    metrics = sorted(named, key=lambda name: name != METRIC)
    notes: dict[tuple[str, tuple[str, ...], tuple[str, ...]], int] = {}
    body = []
    for line in lines:
        place = "ours"
        if line.whose == "published":
            place = f"[{notes.setdefault((line.source, line.differences, line.unknown), len(notes) + 1)}]"
        body.append([line.name, *(_cell(line, name) for name in metrics), line.level, line.trained, place])
    heads = ["row", *(_words(name) for name in metrics), "scored by", "trained", "whose"]
    told = [_note(number, *note) for note, number in notes.items()]
    return f"{corpus}\n\n{table(heads, body)}\n" + "".join(told)


def _cell(line: Line, metric: str) -> str:
    if metric in line.unread:
        return published.UNREAD
    figure = line.metrics.get(metric)
    if figure is None:
        return ""
    return f"{figure.mean:.3f}" + ("" if figure.spread is None else f" ± {figure.spread:.3f}")


def _note(number: int, source: str, differences: tuple[str, ...], unknown: tuple[str, ...]) -> str:
    apart = f"\n    otherwise: {'; '.join(differences)}" if differences else ""
    return f"[{number}] {source}{apart}" + (f"\n    unknown: {', '.join(unknown)}\n" if unknown else "\n")
