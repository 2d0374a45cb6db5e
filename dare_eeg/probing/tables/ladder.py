"""Ladder: the rows of one question side by side, best first, whoever wins, and which of them subjects tell apart."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from dare_eeg.encoders.named import SCRATCH, is_control
from dare_eeg.probing.figures import statistics
from dare_eeg.probing.options import ON_FEATURES, is_baseline
from dare_eeg.probing.predictions import PREDICTIONS, contributions
from dare_eeg.probing.results import Figure, Results
from manifests import records
from manifests.atomic_io import canonical_json, write_bytes
from manifests.errors import DamagedError
from manifests.recipe import EvaluationProtocol
from manifests.records import Part, Record, added

Kind = Literal["baseline", "scratch", "frozen encoder", "trained encoder", "control"]
"""What takes part in a row; what trains more than a head on features is a kind of its own, as are permuted labels."""

METRIC = "balanced_accuracy"


class Comparison(Part):
    """How a row differs from another over subjects: ``p`` by flipping signs.

    ``p_holm`` is that where the tested subjects train nobody, else `statistics.p_of_folds` of it, corrected for all
    comparisons.
    """

    against: str
    difference: float
    p: float
    p_holm: float
    effect: float
    subjects: int


class Rung(Part):
    """A row: what it is, its figures by window, how many candidates its search had, and whom it was compared with.

    Its encoder has so many parameters, and so many numbers of a network were trained; 0 where there is none.
    ``transductive`` rows saw the tested windows without labels.
    """

    name: str
    kind: Kind
    transductive: bool
    candidates: int
    encoder_parameters: int = added(0, absent=0)
    trained_parameters: int = added(0, absent=0)
    metrics: dict[str, Figure]
    comparisons: tuple[Comparison, ...]
    cautions: tuple[str, ...]


class Ladder(Record):
    """All rows of one set, protocol, number of repeats, shots and calibration, best first; ``others`` answer others."""

    KIND = "ladder"

    corpus: str
    manifest_sha256: str
    protocol: EvaluationProtocol
    repeats: int
    shots: int = added(0, absent=0)
    calibrate: int = added(0, absent=0)
    rows: tuple[Rung, ...]
    others: tuple[str, ...]


def write(folder: Path, question: Results) -> Ladder:
    """Write ladder.json, ladder.md and ladder.csv of the rows below a folder that answer the question of one of them.

    Each encoder is compared with its controls, with the best baseline, and with the other encoders. Raises DamagedError
    where the predictions of a row are not of the windows of the others.
    """
    found = {path.parent.name: records.load(Results, path, "remove it") for path in folder.glob("*/results.json")}
    rows = {name: row for name, row in found.items() if question_of(row) == question_of(question)}
    ranked = sorted(rows, key=lambda name: (-rows[name].metrics["window"][METRIC].mean, name))
    comparisons = _comparisons(folder, ranked, rows)
    ladder = Ladder(
        corpus=question.corpus,
        manifest_sha256=question.manifest_sha256,
        protocol=question.protocol,
        repeats=len(question.repeats),
        shots=question.supervision.shots,
        calibrate=question.supervision.calibrate,
        rows=tuple(_rung(name, rows[name], comparisons.get(name, ())) for name in ranked),
        others=tuple(sorted(found.keys() - rows.keys())),
    )
    write_bytes(folder / "ladder.json", canonical_json(ladder.as_json()))
    write_bytes(folder / "ladder.md", markdown(ladder).encode())
    write_bytes(folder / "ladder.csv", _csv(ladder))
    return ladder


def markdown(ladder: Ladder) -> str:
    """Return a ladder as a table in Markdown, which reads well on a terminal, too; of comparisons those of most use."""
    kinds = {row.name: row.kind for row in ladder.rows}
    heads = [
        "row",
        "balanced accuracy",
        "± repeats",
        "95 % over subjects",
        "budget",
        "encoder",
        "trained",
        "kind",
        "against (p by Holm)",
    ]
    body = []
    for row in ladder.rows:
        figure = row.metrics[METRIC]
        bounds = "" if figure.ci95 is None else "{:.3f} to {:.3f}".format(*figure.ci95)
        first = [one for one in row.comparisons if kinds[one.against] in ("scratch", "baseline")]
        first = first or list(row.comparisons[:1])
        told = [f"{one.against} {one.difference:+.3f} ({one.p_holm:.3g})" for one in first]
        more = len(row.comparisons) - len(first)
        against = "; ".join([*told, *([f"{more} more in ladder.json"] if more else [])])
        spread = f"{figure.sd_repeats:.3f}" if figure.sd_repeats else ""
        kind = f"{row.kind}, transductive" if row.transductive else row.kind
        sizes = [_told_number(number) for number in (row.encoder_parameters, row.trained_parameters)]
        body.append([row.name, f"{figure.mean:.3f}", spread, bounds, str(row.candidates), *sizes, kind, against])
    return table(heads, body) + _legend(ladder)


def _legend(ladder: Ladder) -> str:
    """Return what a reader must know of the columns, and which rows stand elsewhere."""
    count = sum(len(row.comparisons) for row in ladder.rows)
    lines = [
        "budget: what was chosen among, candidates or epochs; encoder, trained: parameters; ± over other folds of the "
        f"same subjects; p is corrected for all {count} comparisons, so it grows as rows join"
    ]
    if ladder.others:
        lines.append(
            f"{len(ladder.others)} rows beside these answer another question (protocol, repeats, shots ...), and stand "
            f"in the ladder again once one of them is asked: {', '.join(ladder.others[:3])}"
            f"{' ...' if len(ladder.others) > 3 else ''}"
        )
    return "\n".join(["", *lines, ""])


def table(heads: list[str], body: list[list[str]]) -> str:
    """Return a table in Markdown, its columns even."""
    widths = [max(len(line[column]) for line in [heads, *body]) for column in range(len(heads))]
    lines = [heads, ["-" * width for width in widths], *body]
    told = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    return "\n".join([*told, ""])


def question_of(row: Results) -> tuple[object, ...]:
    """Return what rows of one ladder agree in: set, protocol, repeats, shots and calibration."""
    few = row.supervision
    return row.corpus, row.manifest_sha256, row.protocol, row.repeats, few.shots, few.calibrate


def kind_of(row: Results) -> Kind:
    """Return what takes part in a row."""
    if row.supervision.permuted:
        return "control"
    if is_baseline(row.mode):
        return "baseline"
    if row.encoder is not None and is_control(row.encoder.path):
        return "scratch"
    return "frozen encoder" if row.mode in ON_FEATURES else "trained encoder"


def controls_of(name: str, rows: Mapping[str, Results]) -> list[str]:
    """Return the rows by the same mode that tell what an encoder's pretraining has bought.

    They are drawn weights of its own architecture or, where there are none, our scratch; those with its own options
    where there are such.
    """
    row = rows[name]
    drawn = {
        other: (one.encoder, one.practice)
        for other, one in rows.items()
        if one.encoder is not None and kind_of(one) == "scratch" and one.mode == row.mode
    }
    own = [one for one, (encoder, _) in drawn.items() if row.encoder is not None and encoder.size == row.encoder.size]
    found = own or [one for one, (encoder, _) in drawn.items() if encoder.path == SCRATCH]
    return [one for one in found if drawn[one][1] == row.practice] or found


def _rung(name: str, row: Results, comparisons: tuple[Comparison, ...]) -> Rung:
    budgets = [fit.get("candidates", 1) for fold in row.folds for fit in fold.selected]
    return Rung(
        name=name,
        kind=kind_of(row),
        transductive=row.practice.is_transductive,
        candidates=int(max(budgets)),
        encoder_parameters=row.encoder_parameters,
        trained_parameters=row.trained_parameters,
        metrics=row.metrics["window"],
        comparisons=comparisons,
        cautions=row.cautions,
    )


def _comparisons(folder: Path, ranked: list[str], rows: dict[str, Results]) -> dict[str, tuple[Comparison, ...]]:
    """Return whom each encoder is compared with; of two encoders the better one is."""
    kinds = {name: kind_of(rows[name]) for name in ranked}
    best_baseline = [name for name in ranked if kinds[name] == "baseline"][:1]
    encoders = [name for name in ranked if kinds[name] in ("frozen encoder", "trained encoder")]
    pairs = []
    for place, name in enumerate(encoders):
        controls = controls_of(name, {one: rows[one] for one in ranked})
        pairs += [(name, other) for other in (*controls, *best_baseline, *encoders[place + 1 :])]
    told = {name: contributions(folder / name) for name in {one for pair in pairs for one in pair}}
    tests = []
    for ours, theirs in pairs:
        if told[ours].windows != told[theirs].windows:
            reason = f"its windows are not those of {theirs}"
            raise DamagedError(reason, path=folder / ours / PREDICTIONS, remedy="remove both folders and probe again")
        tests.append(statistics.sign_flips(told[ours].added, told[theirs].added))
    corrected = statistics.holm([p_of(test, rows[ours].protocol) for test, (ours, _) in zip(tests, pairs, strict=True)])
    found: dict[str, tuple[Comparison, ...]] = {}
    for (ours, theirs), test, p_holm in zip(pairs, tests, corrected, strict=True):
        found[ours] = (*found.get(ours, ()), Comparison(against=theirs, p_holm=p_holm, **vars(test)))
    return found


def p_of(test: statistics.PairedTest, protocol: EvaluationProtocol) -> float:
    """Return a p by flipping signs, as it is by a protocol: by folds of subjects these train each other."""
    return statistics.p_of_folds(test.p) if protocol in ("kfold", "loso", "stratified") else test.p


def _told_number(number: int) -> str:
    """Return how many parameters there are as a person reads it, "" for none."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number or "")


def _csv(ladder: Ladder) -> bytes:
    stream = io.StringIO()
    lines = csv.writer(stream, lineterminator="\n")
    of_row = ["row", "kind", "transductive", "candidates", "encoder_parameters", "trained_parameters"]
    lines.writerow([*of_row, "metric", "mean", "sd_repeats", "sd_seeds", "low", "high"])
    for row in ladder.rows:
        for name, figure in row.metrics.items():
            low, high = figure.ci95 or ("", "")
            sizes = row.encoder_parameters, row.trained_parameters
            facts = [row.name, row.kind, row.transductive, row.candidates, *sizes]
            lines.writerow([*facts, name, figure.mean, figure.sd_repeats, figure.sd, low, high])
    return stream.getvalue().encode(errors="surrogateescape")
