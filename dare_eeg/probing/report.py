"""Report: the pictures of a probe and a page that holds them with its figures."""

import base64
import io
from itertools import product
from pathlib import Path
from typing import Any

from dare_eeg.probing.figures.metrics import LEVELS, NAMES
from dare_eeg.probing.results import Figure, Results
from manifests.atomic_io import write_bytes
from manifests.notes import one_line
from manifests.page import render

Curves = list[list[dict[str, float]]]


def draw(folder: Path, results: Results, curves: Curves) -> None:
    """Write confusion.png, curves.png (where something was trained by epochs) and report.html, which holds both."""
    pictures = {"confusion.png": _confusion(results)}
    if any(curves):
        pictures["curves.png"] = _curves(curves)
    else:
        (folder / "curves.png").unlink(missing_ok=True)
    for name, content in pictures.items():
        write_bytes(folder / name, content)
    write_bytes(folder / "report.html", _page(results, pictures).encode())


def text(folder: Path, results: Results) -> str:
    """Return the results as lines a person reads."""
    first = [fold for fold in results.folds if fold.repeat == 0]
    windows = sum(fold.windows["test"] for fold in first)
    asked = f"{results.corpus} by {results.mode}, {results.protocol}, {len(first)} folds, {windows} test windows"
    lines = [", ".join(filter(None, (f"{folder}: {asked}", results.supervision.told)))]
    for level, name in product(LEVELS, NAMES):
        if figure := results.metrics.get(level, {}).get(name):
            bounds = f"  95 % {_bounds(figure)}" if figure.ci95 else ""
            spread = "".join(
                f" ± {sd:.4f} over {what}" for what, sd in (("repeats", figure.sd_repeats), ("seeds", figure.sd)) if sd
            )
            lines.append(f"  {level:9} {name:17} {figure.mean:.4f}{spread}{bounds}")
    if results.electrodes_left_out:
        names = ", ".join(results.electrodes_left_out)
        why = "the network has no embedding for them" if results.encoder else "some windows lack them"
        lines.append(f"  left out, {why}: {names}")
    notes = results.encoder.notes if results.encoder else ()
    lines += [f"  {note}" for note in (*notes, results.contamination.note, *results.cautions)]
    return "\n".join(map(one_line, [*lines, f"  {folder / 'report.html'}"]))


def _confusion(results: Results) -> bytes:
    from matplotlib.figure import Figure

    classes, counts = results.classes, results.confusion.counts
    figure = Figure(figsize=(1.5 + 0.8 * len(classes),) * 2, layout="constrained")
    axes = figure.add_subplot()
    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, (row_counts, row_shares) in enumerate(zip(counts, shares, strict=True)):
        for column, (count, share) in enumerate(zip(row_counts, row_shares, strict=True)):
            colour = "white" if share > 0.6 else "black"
            axes.text(column, row, f"{share:.0%}\n{count}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(classes)), classes, rotation=45)
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    return png(figure)


def _curves(curves: Curves) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    names = [name for name in curves[0][0] if name != "epoch"]
    for axes, name in zip(figure.subplots(1, len(names)), names, strict=True):
        for points in curves:
            axes.plot([point["epoch"] for point in points], [point[name] for point in points], lw=0.8, alpha=0.6)
        axes.set_xlabel("epoch")
        axes.set_ylabel(name.replace("_", " "))
    return png(figure)


def png(figure: Any) -> bytes:
    """Return a figure of matplotlib as a picture, the same bytes each time."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=150, metadata={"Software": None})
    return stream.getvalue()


def _page(results: Results, pictures: dict[str, bytes]) -> str:
    encoded = {name: base64.b64encode(content).decode() for name, content in pictures.items()}
    return render("dare_eeg.probing", "probe.html", results=results, pictures=encoded)


def _bounds(figure: Figure) -> str:
    return "" if figure.ci95 is None else "{:.4f} to {:.4f}".format(*figure.ci95)
