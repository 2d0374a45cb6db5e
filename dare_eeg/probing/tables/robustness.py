"""Robustness: what rows that were fitted on clean windows say of spoiled ones: a figure of encoders and baselines."""

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from dare_eeg.data.shards import Windows
from dare_eeg.data.windows import AnyWindows
from dare_eeg.probing.fit import FoldFit
from dare_eeg.probing.fits import Place
from dare_eeg.probing.fitting import Fitting
from dare_eeg.probing.options import ON_FEATURES
from dare_eeg.probing.report import png
from dare_eeg.probing.request import ProbeRequest, request_of
from dare_eeg.probing.results import RESULTS, Figure, Results
from dare_eeg.probing.summary import Round, window_figures
from dare_eeg.probing.tables.ladder import METRIC, kind_of, question_of, table
from dare_eeg.probing.views.alignment import AlignedView
from dare_eeg.probing.views.spoiling import SPOILINGS, Kind, SpoiledView, Spoiling
from manifests import records
from manifests.atomic_io import canonical_json, sha256_file, write_bytes
from manifests.errors import MissingError
from manifests.manifest import SPLITS
from manifests.records import Part, Record

_FILE = "robustness.json"

Count = Callable[[float, int], None]
"""What is told how many levels are done, of how many."""


class Point(Part):
    """Balanced accuracy by windows that are spoiled in a way to a level: a share, or dB of signal to noise."""

    kind: Kind
    level: float
    figure: Figure


class Robustness(Record):
    """A row, its ``clean`` figure, that of its results, and those of spoiled windows.

    ``dropped`` says what electrodes are that were dropped; ``results_sha256`` is that of the results it belongs to.
    """

    KIND = "robustness"

    corpus: str
    results_sha256: str
    dropped: Literal["absent", "interpolated"]
    clean: Figure
    points: tuple[Point, ...]


def measure(request: ProbeRequest, progress: Count, tell: Callable[[str], None]) -> Robustness:
    """Return the robustness of a row that was probed, and write it beside its results.

    Its fits are those that are kept; those that cannot be are made again.
    """
    path = request.out / RESULTS
    if (there := _kept(request.out)) is not None:
        return there
    results = records.load(Results, path, "probe again")
    fitting = Fitting(request, tell)
    tested = np.unique(np.concatenate([fold.test for parts in fitting.repeats for fold in parts]))
    is_interpolated = request.mode not in ON_FEATURES
    clean = fitting.windows
    if request.options.alignment != "none":
        clean = Windows(request.shards, fitting.windows.manifest, SPLITS)
    points = []
    for number, spoiling in enumerate(SPOILINGS):
        spoiled: AnyWindows = SpoiledView(clean, tested, spoiling, is_interpolated)
        if request.options.alignment != "none":
            spoiled = AlignedView(spoiled)
        rounds = []
        for seed in fitting.seeds:
            for repeat, parts in enumerate(fitting.repeats):
                fits = []
                for fold, part in enumerate(parts):
                    model = fitting.model(Place(repeat, seed, fold))
                    fits.append(FoldFit(model.predict(spoiled, np.searchsorted(tested, part.test)), {}))
                rounds.append(Round(repeat, seed, parts, fits))
        figures = window_figures(fitting.windows, rounds, request.resamples)
        points.append(Point(kind=spoiling.kind, level=spoiling.level, figure=figures[METRIC]))
        progress(number + 1, len(SPOILINGS))
    found = Robustness(
        corpus=request.corpus,
        results_sha256=sha256_file(path),
        dropped="interpolated" if is_interpolated else "absent",
        clean=results.metrics["window"][METRIC],
        points=tuple(points),
    )
    write_bytes(request.out / _FILE, canonical_json(found.as_json()))
    return found


def write(
    folder: Path, shards: Path, question: Results, progress: Count, tell: Callable[[str], None]
) -> dict[str, Robustness]:
    """Write robustness.json, .csv and .png of the rows of a ladder; return those that are in the figure, best first.

    They are its encoders and scratch, as far as they were measured, and its best baseline, which is measured on
    ``shards`` where it was not, unless something that it wants is not installed; nothing is written of none.
    """
    results = {path.parent.name: records.load(Results, path, "remove it") for path in folder.glob(f"*/{RESULTS}")}
    rows = {name: row for name, row in results.items() if question_of(row) == question_of(question)}
    ranked = sorted(rows, key=lambda name: (-rows[name].metrics["window"][METRIC].mean, name))
    kinds = {name: kind_of(rows[name]) for name in ranked}
    best = [name for name in ranked if kinds[name] == "baseline"][:1]
    for name in best:
        try:
            measure(request_of(rows[name], folder / name, shards), progress, tell)
        except MissingError as problem:  # what it is made of need not be installed for the rows that were asked
            tell(f"{folder / name}: not in the figure of robustness: {problem.reason}")
    wanted = [name for name in ranked if name in best or kinds[name] not in ("baseline", "control")]
    shown = {name: one for name in wanted if (one := _kept(folder / name)) is not None}
    if shown:
        write_bytes(folder / _FILE, canonical_json({name: one.as_json() for name, one in shown.items()}))
        write_bytes(folder / "robustness.csv", _csv(shown))
        write_bytes(folder / "robustness.png", _drawn(shown, 1 / len(question.classes)))
    return shown


def written(
    root: Path, request: ProbeRequest, question: Results, progress: Count, tell: Callable[[str], None]
) -> dict[str, Robustness]:
    """Return what a command that asked of some rows shows: the figure of a ladder in ``root``, or a single row's."""
    if request.out.parent == root:
        return write(root, request.shards, question, progress, tell)
    alone = _kept(request.out)
    return {} if alone is None else {request.out.name: alone}


def markdown(rows: Mapping[str, Robustness]) -> str:
    """Return a table in Markdown: how windows are spoiled, and what each row then reaches."""
    lines = [["clean", *(f"{row.clean.mean:.3f}" for row in rows.values())]]
    for number, spoiling in enumerate(SPOILINGS):
        lines.append([spoiling.text, *(f"{row.points[number].figure.mean:.3f}" for row in rows.values())])
    return table(["spoiled", *rows], lines)


def _kept(row: Path) -> Robustness | None:
    """Return the robustness that is kept of the results of a row, None where it is not."""
    if not (row / _FILE).is_file():
        return None
    found = records.load(Robustness, row / _FILE, "remove it, and ask again with --robustness")
    levels = tuple(Spoiling(point.kind, point.level) for point in found.points)
    return found if found.results_sha256 == sha256_file(row / RESULTS) and levels == SPOILINGS else None


def _csv(rows: Mapping[str, Robustness]) -> bytes:
    stream = io.StringIO()
    lines = csv.writer(stream, lineterminator="\n")
    lines.writerow(["row", "spoiled by", "level", METRIC, "low", "high"])
    for name, row in rows.items():
        for kind, level, figure in [("", "", row.clean), *((one.kind, one.level, one.figure) for one in row.points)]:
            lines.writerow([name, kind, level, figure.mean, *(figure.ci95 or ("", ""))])
    return stream.getvalue().encode(errors="surrogateescape")


def _drawn(rows: Mapping[str, Robustness], chance: float) -> bytes:
    """Return a picture with a panel for each way of spoiling, worse to the right, a line a row, and one of chance."""
    from matplotlib.figure import Figure as Canvas

    kinds = list(dict.fromkeys(spoiling.kind for spoiling in SPOILINGS))
    canvas = Canvas(figsize=(3.2 * len(kinds), 3.6), layout="constrained")
    for axes, kind in zip(canvas.subplots(1, len(kinds), sharey=True), kinds, strict=True):
        levels = [spoiling.level for spoiling in SPOILINGS if spoiling.kind == kind]
        is_noise = kind.endswith("noise")
        ticks = ["clean", *(f"{level:g}" if is_noise else f"{level:.0%}" for level in levels)]
        for name, row in rows.items():
            figures = [row.clean, *(point.figure for point in row.points if point.kind == kind)]
            (line,) = axes.plot(range(len(ticks)), [figure.mean for figure in figures], marker="o", ms=3, label=name)
            bounds = [figure.ci95 or (figure.mean, figure.mean) for figure in figures]
            lows, highs = zip(*bounds, strict=True)
            axes.fill_between(range(len(ticks)), lows, highs, color=line.get_color(), alpha=0.12, lw=0)
        axes.axhline(chance, color="gray", ls="--", lw=0.8)
        axes.set_xticks(range(len(ticks)), ticks)
        axes.set_title(kind, fontsize=10)
        axes.set_xlabel("dB of signal to noise" if is_noise else "share")
    canvas.axes[0].set_ylabel(METRIC.replace("_", " "))
    canvas.axes[0].legend(fontsize=7, loc="lower left")
    return png(canvas)
