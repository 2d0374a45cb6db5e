"""Doctor's page: what the doctor found, as a table on a terminal and as one HTML file that needs no other."""

from collections import Counter
from pathlib import Path

from manifests.atomic_io import write_bytes
from manifests.notes import PROSE
from manifests.page import render
from pipelines.doctor.estimate import Facts
from pipelines.doctor.scan_quality import findings, reasons

_SHOWN = 200
"""Recordings up to which each has its line on the terminal; of more, as many of those with something to say."""

_ON_PAGE = 2000
_EXAMPLES = 12
_OFTEN = 3
"""Recordings that share a reason above which it is told once, and not in the line of each."""

_HEADINGS = ("recording", "subject", "split", "Hz", "s", "electrodes", "50 Hz", "60 Hz", "sd µV", "windows", "findings")
_NUMBERS = range(3, 10)


def text(facts: Facts) -> str:
    """Return a line for each recording, aligned, and what the whole tree comes to, as a person reads it."""
    rows, shown = facts["recordings"], _to_show(facts["recordings"], _SHOWN)
    common = {reason for reason, count in Counter(row["reason"] for row in rows).items() if count > _OFTEN}
    table = [(*_HEADINGS, "verdict"), *((*_cells(row), _short_verdict(row, common)) for row in shown)]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(_HEADINGS))]
    lines = ["  ".join([*map(_aligned, cells, widths, range(len(widths))), cells[-1]]) for cells in table]
    if len(shown) < len(rows):
        lines.append(
            f"... {len(shown)} of {len(rows)} recordings shown, those with findings first; --html and --json hold more"
        )
    for heading, points in _sections(facts):
        lines += ["", heading, *(f"  {point}" for point in points)]
    return "\n".join([*lines, "", _plan(facts)])


def write(path: Path, facts: Facts) -> None:
    """Write the page; raises DareError where it cannot be written."""
    write_bytes(path, html(facts).encode())


def html(facts: Facts) -> str:
    """Return the page, light or dark as its reader's screen is."""
    return render(
        "pipelines.doctor",
        "page.html",
        title=f"{facts['corpus']} {facts['version']}".strip(),
        plan=_plan(facts),
        sections=_sections(facts),
        headings=(*_HEADINGS[:-1], "verdict and findings", "channels"),
        numbers=_NUMBERS,
        rows=[_on_page(row) for row in _to_show(facts["recordings"], _ON_PAGE)],
        num_rows=len(facts["recordings"]),
    )


def _on_page(row: Facts) -> Facts:
    """Return what the page shows of a recording."""
    channels = ", ".join(f"{name} = {label}" for name, label in row["channel_map"].items())
    return {
        "cells": _cells(row)[:-1],
        "outcome": row["outcome"],
        "verdict": _verdict(row),
        "findings": [_said(finding["text"]) for finding in row["findings"]],
        "num_channels": len(row["channel_map"]),
        "channels": _said(channels),
        "missing": ", ".join(row["missing"]),
    }


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column in _NUMBERS else cell.ljust(width)


def _to_show(rows: list[Facts], most: int) -> list[Facts]:
    """Return all recordings, or of more than ``most`` those that failed or have findings, as many as may be."""
    if len(rows) <= most:
        return rows
    return [row for row in rows if row["findings"] or row["outcome"] == "failed"][:most]


def _cells(row: Facts) -> tuple[str, ...]:
    """Return a recording's cells under the headings; what was not measured is a dash."""
    known = len(row["channel_map"])
    return (
        _said(row["path"]),
        _said(row["subject"]),
        row["split"],
        f"{row['sfreq']:g}" if row["sfreq"] else "-",
        f"{row['duration_s']:g}" if row["duration_s"] else "-",
        f"{known}/{known + len(row['missing'])}" if known else "-",
        *("-" if level is None else f"{level:+.0f} dB" for level in row["mains_db"].values()),
        "-" if row["sd_uv"] is None else f"{row['sd_uv']:.3g}",
        str(row["windows"]) if row["outcome"] == "ok" else "-",
        ", ".join(dict.fromkeys(finding["kind"] for finding in row["findings"])) or "-",
    )


def _verdict(row: Facts) -> str:
    return _said(": ".join(filter(None, (row["outcome"], row["reason"]))))


def _short_verdict(row: Facts, common: set[str]) -> str:
    """Return the verdict, of a reason that many share only its kind: below the table it is told once."""
    if not row["reason"] or row["reason"] not in common:
        return _verdict(row)
    kind = [row["kind"]] if row["kind"] != PROSE else []
    return _verdict(row | {"reason": ", ".join([*kind, "see below"])})


def _sections(facts: Facts) -> list[tuple[str, list[str]]]:
    """Return (heading, points) of what the recordings come to together; sections with nothing to say are left out."""
    sections = [
        ("tree", _tree(facts)),
        ("electrodes", _electrodes(facts)),
        ("findings", _findings(facts)),
        ("classes", _classes(facts)),
        ("choices", _choices(facts["choices"])),
        ("expected", _expected(facts)),
        *(
            (f"{outcome} {sum(counts.values())}", [f"{count}: {_said(reason)}" for reason, count in _first(counts)])
            for outcome in ("skipped", "failed")
            if (counts := reasons(facts, outcome))
        ),
        ("notes", facts["plan"]["notes"]),
    ]
    return [(heading, points) for heading, points in sections if points]


def _tree(facts: Facts) -> list[str]:
    rates = Counter(f"{row['sfreq']:g} Hz" for row in facts["recordings"] if row["sfreq"])
    others = f"{facts['others']} other raw files belong to no recording of {facts['corpus']}: left alone"
    return [
        *filter(None, [facts["complete"]]),
        *filter(None, [", ".join(f"{rate} in {count}" for rate, count in _first(rates))]),
        *[others] * bool(facts["others"]),
    ]


def _electrodes(facts: Facts) -> list[str]:
    """Say which electrodes go by an older name, which are missing, and in how many recordings."""
    older = Counter(
        f"{_said(label)} is {name}"
        for row in facts["recordings"]
        for label, name in row["renamed"].items()
        if name not in label.upper() and " - " not in label
    )
    missing = Counter(name for row in facts["recordings"] for name in row["missing"])
    said = (("renamed", older), ("missing", missing))
    return [
        f"{what}: {', '.join(f'{name} in {count}' for name, count in _first(counts))}"
        for what, counts in said
        if counts
    ]


def _findings(facts: Facts) -> list[str]:
    points = []
    for kind, found in findings(facts).items():
        path, example = found[0]
        num_recordings = len({path for path, _ in found})
        points.append(f"{kind}: {num_recordings} recordings, such as {_said(path)}: {_said(example)}")
    return points


def _classes(facts: Facts) -> list[str]:
    """Say how many windows each class has, where there are classes; one without any may be misspelt."""
    names = facts["plan"]["recipe"]["classes"]
    counts = Counter[str]()
    for row in facts["recordings"]:
        counts.update(row["labels"])
    lacking = [f"{name}: no label stands for it" for name in names if not counts[name]]
    return [", ".join(f"{name} {counts[name]:,}" for name in names), *lacking] if counts else []


def _choices(choices: Facts) -> list[str]:
    """Say of each contested field what it is, what the tree says to it, and what the others would skip."""
    lacking = f"{choices['missing']['recordings_lacking']} recordings lack an electrode"
    named = ", ".join(f"{name} in {count}" for name, count in choices["reference"]["references"].items())
    mains = [
        f"{line} Hz {what} in {count}"
        for field, what in (("stands_out", "stands out"), ("notched_before", "has been notched before"))
        for line, count in choices["notch_hz"][field].items()
        if count
    ]
    seen = {"missing": lacking, "reference": f"the files' own: {named}", "notch_hz": ", ".join(mains) or "no line seen"}
    points = []
    for field, choice in choices.items():
        value = choice["value"]
        skips = {other: count for other, count in choice.get("would_skip", {}).items() if other != value}
        others = ", ".join(f"{other} {count}" for other, count in skips.items())
        stated = f"{field} = {value:g}" if isinstance(value, float) else f"{field} = {value}"
        points.append(f"{stated}: {seen[field]}" + (f"; would skip for their channels: {others}" if others else ""))
    return points


def _expected(facts: Facts) -> list[str]:
    expected = facts["expected"]
    counts = ", ".join(f"{split} {count:,}" for split, count in expected["windows"].items() if count) or "none"
    size, minutes = expected["bytes"] / 1e6, expected["minutes"]
    duration = f"{minutes:.1f} min" if minutes >= 1 else f"{max(1, round(60 * minutes))} s"
    return [
        f"windows: {counts} (before gaps and rejected windows), {size:,.1f} MB",
        f"about {duration} with {expected['workers']} workers on this machine, extrapolated from a timed sample",
    ]


def _plan(facts: Facts) -> str:
    num_usable = sum(row["outcome"] == "ok" for row in facts["recordings"])
    num_shards = len(facts["plan"]["shards"])
    return f"{num_usable} of {len(facts['recordings'])} recordings to {num_shards} shards; nothing was written"


def _first(counts: Counter[str]) -> list[tuple[str, int]]:
    """Return the commonest, the rest in sum."""
    ranked = counts.most_common()
    rest = sum(count for _, count in ranked[_EXAMPLES:])
    return ranked[:_EXAMPLES] + [("others", rest)] * bool(rest)


def _said(words: str) -> str:
    """Return words that any terminal and file can take: bytes of a file name that are no UTF-8 are spelt out."""
    return words.encode("utf-8", "backslashreplace").decode()
