"""Compare: rows of several ladders side by side, what tells encoders apart on each corpus, and on all of them."""

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dare_eeg.probing.figures import statistics
from dare_eeg.probing.predictions import Contributions, contributions
from dare_eeg.probing.request import row_name
from dare_eeg.probing.results import Figure, Results
from dare_eeg.probing.tables.ladder import METRIC, Kind, controls_of, kind_of, p_of, question_of, table
from manifests import records
from manifests.errors import MissingError, RefusedError
from manifests.records import Part, Record, added

_ENCODERS: tuple[Kind, ...] = ("frozen encoder", "trained encoder")


class Standing(Part):
    """A row that all corpora have: its balanced accuracy and its rank on each, best first; ties share their mean."""

    name: str
    kind: Kind
    transductive: bool
    figures: dict[str, Figure]
    ranks: dict[str, float]
    mean_rank: float


class Difference(Part):
    """By how much a row is above another on a corpus, p by flipping the signs of its subjects' differences.

    ``p_folds`` is that as it is by the corpus's protocol (`ladder.p_of`).
    """

    difference: float
    p: float
    p_folds: float = added(1.0, absent=1.0)
    effect: float
    subjects: int


class Pair(Part):
    """Two rows: the difference on each corpus, its mean, p over corpora by Stouffer, and that for all pairs by Holm.

    Where tested subjects train each other, Stouffer takes `statistics.p_of_folds` of a corpus's p.
    """

    ours: str
    theirs: str
    corpora: dict[str, Difference]
    difference: float
    p: float
    p_holm: float


class Compared(Record):
    """Rows in order of their mean rank, and pairs of them, on corpora by the sha256 of their manifests.

    ``elsewhere`` are rows that not all corpora have, and controls.
    """

    KIND = "comparison"

    corpora: dict[str, str]
    rows: tuple[Standing, ...]
    pairs: tuple[Pair, ...]
    elsewhere: tuple[str, ...]


Rows = dict[str, tuple[Path, Results]]
"""The rows of a corpus by name: folder and results."""


def compare(folders: Sequence[Path]) -> Compared:
    """Return how the rows in folders of rows or ladders compare.

    Each encoder is compared with its controls, baselines and the other encoders. Raises MissingError for a folder
    without results, RefusedError where rows of one corpus do not answer the same question, one name stands for several
    rows, or fewer than two rows can be compared.
    """
    corpora = rows_by_corpus(folders)
    names = set.intersection(*({name for name, row in rows.items() if _counts(row)} for rows in corpora.values()))
    standings = sorted((_standing(name, names, corpora) for name in names), key=lambda row: (row.mean_rank, row.name))
    encoders = [row.name for row in standings if row.kind in _ENCODERS]
    baselines = [row.name for row in standings if row.kind == "baseline"]
    of_first = {row.name: next(iter(corpora.values()))[row.name][1] for row in standings}
    pairs = [
        (name, other)
        for at, name in enumerate(encoders)
        for other in (*encoders[at + 1 :], *controls_of(name, of_first), *baselines)
    ]
    if not pairs:
        reason = f"{len(names)} rows are in all of {', '.join(sorted(corpora))}, and no encoder with a row beside it"
        remedy = "probe each corpus with the same encoders and baselines, and name the folders of their ladders"
        raise RefusedError(reason, path=folders[0], remedy=remedy)
    compared = {name for pair in pairs for name in pair}
    told = {corpus: _told({name: rows[name] for name in compared}) for corpus, rows in corpora.items()}
    tests = [
        {corpus: statistics.sign_flips(of[ours].added, of[theirs].added) for corpus, of in told.items()}
        for ours, theirs in pairs
    ]
    protocols = {corpus: next(iter(rows.values()))[1].protocol for corpus, rows in corpora.items()}
    over_corpora = [
        statistics.stouffer([replace(test, p=p_of(test, protocols[corpus])) for corpus, test in of.items()])
        for of in tests
    ]
    return Compared(
        corpora={corpus: next(iter(rows.values()))[1].manifest_sha256 for corpus, rows in sorted(corpora.items())},
        rows=tuple(standings),
        pairs=tuple(
            Pair(
                ours=ours,
                theirs=theirs,
                corpora={
                    corpus: Difference(**vars(test), p_folds=p_of(test, protocols[corpus]))
                    for corpus, test in sorted(of.items())
                },
                difference=sum(test.difference for test in of.values()) / len(of),
                p=p,
                p_holm=p_holm,
            )
            for (ours, theirs), of, p, p_holm in zip(
                pairs, tests, over_corpora, statistics.holm(over_corpora), strict=True
            )
        ),
        elsewhere=tuple(sorted({name for rows in corpora.values() for name in rows} - names)),
    )


def markdown(found: Compared) -> str:
    """Return a comparison as two tables in Markdown."""
    corpora = list(found.corpora)
    rows = [
        [
            row.name,
            f"{row.kind}, transductive" if row.transductive else row.kind,
            *(f"{row.figures[corpus].mean:.3f} ({row.ranks[corpus]:g})" for corpus in corpora),
            f"{row.mean_rank:.2f}",
        ]
        for row in found.rows
    ]
    pairs = [
        [
            pair.ours,
            pair.theirs,
            *(_told_difference(pair.corpora[one]) for one in corpora),
            f"{pair.difference:+.3f} ({pair.p:.3g}; {pair.p_holm:.3g})",
        ]
        for pair in found.pairs
    ]
    left = f"\nLeft out, as controls or not on each corpus: {', '.join(found.elsewhere)}.\n" if found.elsewhere else ""
    standings = table(["row", "kind", *(f"{one}: balanced accuracy (rank)" for one in corpora), "mean rank"], rows)
    heads = ["row", "against", *(f"{one} (p, subjects)" for one in corpora), "mean (p by Stouffer; by Holm)"]
    return f"{standings}\n{table(heads, pairs)}{left}"


def _told_difference(of: Difference) -> str:
    return f"{of.difference:+.3f} ({of.p_folds:.3g}, {of.subjects})"


def as_csv(found: Compared) -> bytes:
    """Return the pairs of a comparison, a line for each corpus and one, without a corpus, for all of them."""
    stream = io.StringIO()
    lines = csv.writer(stream, lineterminator="\n")
    lines.writerow(["row", "against", "corpus", "difference", "p", "p_holm", "effect", "subjects"])
    for pair in found.pairs:
        for corpus, of in pair.corpora.items():
            lines.writerow([pair.ours, pair.theirs, corpus, of.difference, of.p, "", of.effect, of.subjects])
        lines.writerow([pair.ours, pair.theirs, "", pair.difference, pair.p, pair.p_holm, "", ""])
    return stream.getvalue().encode(errors="surrogateescape")


def rows_by_corpus(folders: Sequence[Path]) -> dict[str, Rows]:
    """Return the rows in folders of rows or ladders by corpus; raises as `compare` does for what is no set of rows."""
    found: dict[str, Rows] = {}
    for folder in dict.fromkeys(row.resolve() for one in folders for row in _rows_below(one)):
        row = records.load(Results, folder / "results.json", "probe again, or leave it out")
        rows, name = found.setdefault(row.corpus, {}), name_of(row)
        for other, theirs in rows.values():
            if question_of(row) != question_of(theirs):
                reason = f"is of another set, protocol, repeats or shots than {other}, both of {row.corpus}"
                raise RefusedError(reason, path=folder, remedy="compare rows that answer one question")
        if name in rows:
            reason = f"is {name} on {row.corpus}, as {rows[name][0]} is"
            raise RefusedError(reason, path=folder, remedy="leave out one of them")
        for other, theirs in (of[name] for of in found.values() if name in of):
            if _what(row) != _what(theirs):
                reason = f"is called {name}, as {other} is, but is of other weights or options"
                raise RefusedError(reason, path=folder, remedy="leave out one of them")
        rows[name] = folder, row
    return found


def _rows_below(folder: Path) -> list[Path]:
    """Return the folders of the rows of a ladder, or the folder itself of a row.

    Of a folder whose rows answer several questions they are those of the question that most of them answer.
    """
    if (folder / "results.json").is_file():
        return [folder]
    questions: dict[tuple[object, ...], list[Path]] = {}
    for path in sorted(folder.glob("*/results.json")):
        row = records.load(Results, path, "probe again, or leave it out")
        questions.setdefault(question_of(row), []).append(path.parent)
    if not questions:
        remedy = "name the folder of a row or of a ladder, as probes/CORPUS"
        raise MissingError("holds no results of a probe", path=folder, remedy=remedy)
    return max(questions.values(), key=len)


def name_of(row: Results) -> str:
    """Return what `dare probe` calls a row."""
    encoder, size = ("", "") if row.encoder is None else (row.encoder.path, row.encoder.size)
    return row_name(encoder, size, row.mode, row.practice, row.supervision)


def _counts(row: tuple[Path, Results]) -> bool:
    return kind_of(row[1]) != "control"


def _what(row: Results) -> tuple[object, ...]:
    """Return what must be the same on every corpus."""
    encoder = None if row.encoder is None else (row.encoder.sha256, row.encoder.size)
    return encoder, row.practice, row.supervision


def _standing(name: str, names: set[str], corpora: dict[str, Rows]) -> Standing:
    _, row = next(iter(corpora.values()))[name]
    figures = {corpus: rows[name][1].metrics["window"][METRIC] for corpus, rows in sorted(corpora.items())}
    ranks = {}
    for corpus, figure in figures.items():
        others = [corpora[corpus][other][1].metrics["window"][METRIC].mean for other in names - {name}]
        above, beside = (sum(one > figure.mean for one in others), sum(one == figure.mean for one in others))
        ranks[corpus] = 1 + above + beside / 2
    return Standing(
        name=name,
        kind=kind_of(row),
        transductive=row.practice.is_transductive,
        figures=figures,
        ranks=ranks,
        mean_rank=sum(ranks.values()) / len(ranks),
    )


def _told(rows: Rows) -> dict[str, Contributions]:
    """Return what subjects add to the figure of each row of a corpus, all of the same windows."""
    told = {name: contributions(folder) for name, (folder, _) in rows.items()}
    first = min(rows)
    for name, (folder, _) in rows.items():
        if told[name].windows != told[first].windows:
            reason = f"has tested other windows than {rows[first][0]}"
            raise RefusedError(reason, path=folder, remedy="probe both again, or leave out one of them")
    return told
