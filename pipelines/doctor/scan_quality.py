"""Doctor: what each recording of a tree is like, from its header and short stretches, and what a run would say."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from manifests.errors import DareError
from manifests.manifest import Outcome
from manifests.notes import Note, prose, text
from manifests.plan import Piece, PlannedRecording
from manifests.recipe import Recipe
from manifests.shard_format import MOST_COUNTS
from pipelines import corpora, quality, reading
from pipelines import plan as planning
from pipelines.build import NO_WINDOW
from pipelines.conditioned import ConditionedRecording
from pipelines.conditioning import Conditioned
from pipelines.doctor import estimate
from pipelines.doctor.estimate import Facts
from pipelines.doctor.signal_quality import MAINS_HZ, STANDS_OUT_DB, Measures, signal_quality
from pipelines.piece import Cut, windows_of
from pipelines.plan import SetOptions
from pipelines.recording import PLAUSIBLE_SD_UV, SEGMENTS, UNIT_UNKNOWN, Channel, Recording, Segment
from pipelines.scan import Tree
from pipelines.sources import Source
from pipelines.windows import ConditionedSegment
from pipelines.workers import deaf_to_interrupts

STRETCH_S = 20.0
"""Seconds of the first, the middle and the last stretch that are read of every recording."""

CLIPPED_SHARE = 0.001
"""Share of a channel's samples at its highest or lowest value above which it is reported."""

_ONE_PROCESS = 48  # recordings that are read sooner than other processes have started

_PART = 16
"""Recordings that a process is given at once, and that an interrupted command still waits for."""

_READERS = 6
"""Threads of a process that read stretches: one may wait a few times as long as it computes."""


def scan_quality(
    tree: Tree, recipe: Recipe, source: Source, workers: int, progress: Callable[[int, int], None]
) -> Facts:
    """Return the facts and findings of every recording of a tree, the choices that matter for it, and its plan.

    Stretches are read by ``workers`` processes; what cannot be read is a finding. ``progress`` is called with
    (done, total).
    """
    src = source.raw_folder("--dry-run")
    plan = planning.make(tree, recipe, SetOptions())
    rows = []
    for planned, sampled in zip(plan.recordings, _sampled(plan.recordings, recipe, src, workers), strict=True):
        row = _row(planned, tree.channels.get(planned.path, ()), sampled, recipe)
        rows.append(row)
        progress(len(rows), len(tree.recordings))
    return {
        "corpus": recipe.corpus,
        "purpose": recipe.purpose,
        "version": tree.version,
        "complete": estimate.complete(tree, recipe),
        "others": tree.num_others,
        "recordings": rows,
        "choices": estimate.choices(tree, rows, recipe),
        "expected": estimate.expected(tree, rows, recipe, src, workers),
        "plan": plan.as_json(),
    }


def reasons(facts: Facts, outcome: str) -> Counter[str]:
    """Return why recordings end so, each reason with its count."""
    return Counter(row["reason"] for row in facts["recordings"] if row["outcome"] == outcome)


def findings(facts: Facts) -> dict[str, list[tuple[str, str]]]:
    """Return (path, text) of all findings by their kind."""
    found: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in facts["recordings"]:
        for finding in row["findings"]:
            found[finding["kind"]].append((row["path"], finding["text"]))
    return dict(sorted(found.items()))


def _finding(kind: str, text: str) -> dict[str, str]:
    return {"kind": kind, "text": text}


# --- samples ----------------------------------------------------------------------------------------------------------


def _sampled(recordings: list[PlannedRecording], recipe: Recipe, src: Path, workers: int) -> Iterator[Facts]:
    """Yield what stretches of each recording show, in order; processes share the work where there is much of it."""
    look = partial(_look, recipe=recipe, src=src)
    num_processes = min(workers, len(recordings) // _ONE_PROCESS)
    if num_processes < 2:
        with ThreadPoolExecutor(_READERS) as threads:
            yield from threads.map(look, recordings)
        return
    parts = [recordings[first : first + _PART] for first in range(0, len(recordings), _PART)]
    with ProcessPoolExecutor(num_processes, get_context("spawn")) as processes:
        with deaf_to_interrupts():
            looked_at = processes.map(partial(_all_of, look), parts)
        for looks in looked_at:
            yield from looks


def _all_of(look: Callable[[PlannedRecording], Facts], recordings: list[PlannedRecording]) -> list[Facts]:
    """Return what stretches of some recordings show; while one waits for the disk, others are computed."""
    with ThreadPoolExecutor(_READERS) as threads:
        return list(threads.map(look, recordings))


def _look(planned: PlannedRecording, recipe: Recipe, src: Path) -> Facts:
    """Return what stretches of a recording show, nothing of one that is not to be used, why where it cannot be read."""
    scanned = planned.scanned
    if scanned.outcome:
        return {}
    try:
        stretches = reading.read_spans(src, scanned.raw, recipe, spans(scanned.duration_s))
        measures = signal_quality(stretches)
        unfit = _unfit(stretches, planned, recipe, src)
        cut = _cut(planned, stretches[0], recipe, src)
    except DareError as problem:
        return {"fault": str(problem.about("", src / scanned.path))}
    except OSError as problem:
        return {"fault": str(problem)}
    except Exception as problem:
        return {"fault": f"unexpected {type(problem).__name__}: {problem}; report it with this file's header"}
    notes = {note.text: note for stretch in stretches for note in stretch.notes}.values()
    return {
        "measures": measures,
        "beyond": quality.share_beyond(stretches, MOST_COUNTS * recipe.quantum_uv),
        "unfit": unfit,
        "gap_s": _gap_s(stretches[-1]),
        "windows": len(cut.windows),
        "labels": Counter(window.label for window in cut.windows),
        "of_labels": cut.notes,
        # Each stretch guesses the unit for itself, and has segments of its own.
        "unit": [note for note in notes if note.kind == UNIT_UNKNOWN][:1],
        "notes": [note for note in notes if note.kind not in (UNIT_UNKNOWN, SEGMENTS)],
    }


def _unfit(stretches: list[Recording], planned: PlannedRecording, recipe: Recipe, src: Path) -> tuple[Note, ...]:
    """Return why a run would skip a recording if all of it is as the stretches are, nothing where it would not."""
    if recipe.quality == "none":
        return ()
    return tuple(quality.unfit(stretches, recipe, partial(reading.channels_read, src, planned.scanned, recipe)))


def spans(duration_s: float) -> list[tuple[float, float]]:
    """Return the seconds to read: the ends and the middle of a recording, or all of a short one."""
    if duration_s <= 3 * STRETCH_S:
        return [(0.0, float("inf"))]
    last = duration_s - STRETCH_S
    return [(start, start + STRETCH_S) for start in (0.0, last / 2, last)]


def _gap_s(last: Recording) -> float:
    """Return by how much the end of a recording lies later in true time than in its signal."""
    if not last.segments:
        return 0.0
    end = last.segments[-1]
    return max(0.0, round(end.onset_s - (last.first_sample + end.start) / last.sfreq, 3))


def _cut(planned: PlannedRecording, stretch: Recording, recipe: Recipe, src: Path) -> Cut:
    """Return what a recording without gaps or rejected windows gives: silence as long is cut as it is."""
    scanned = planned.scanned
    silence = np.broadcast_to(np.float32(0), (len(stretch.electrodes), round(scanned.duration_s * stretch.sfreq)))
    gapless = (Segment(0, silence.shape[1], 0.0),)
    recording = replace(stretch, data_uv=silence, segments=gapless, notes=(), first_sample=0)
    num_samples = int(scanned.duration_s * recipe.sfreq_hz + 1e-6)
    counts = np.broadcast_to(np.int16(0), (len(recipe.electrodes), num_samples))
    present = np.ones(len(recipe.electrodes), np.bool_)
    conditioned = Conditioned([ConditionedSegment(0.0, counts, range(num_samples))], present, (), 0.0, ())
    labels = corpora.of(recipe).label_content(src, scanned.raw)
    at_once = Piece(recording=planned.model_copy(update={"piece_s": 0.0, "pieces": 1}), number=0)
    return windows_of(ConditionedRecording(recording, conditioned, labels), at_once, recipe)


# --- verdicts ---------------------------------------------------------------------------------------------------------


def _row(planned: PlannedRecording, channels: tuple[Channel, ...], sampled: Facts, recipe: Recipe) -> Facts:
    """Return what is known of a recording; a fault in its samples makes it one that a run would lose."""
    scanned = planned.scanned
    labels = scanned.channel_map
    measures: Measures | None = sampled.get("measures")
    outcome, notes = _verdict(planned, sampled)
    by_label: Counter[int] = sampled.get("labels", Counter())
    return {
        "path": scanned.path,
        "subject": scanned.raw.subject,
        "session": scanned.raw.session,
        "split": planned.split,
        "bytes": scanned.bytes,
        "outcome": outcome,
        "reason": text(notes),
        "kind": notes[0].kind if notes else "",
        "sfreq": scanned.sfreq,
        "rates": sorted({channel.sfreq for channel in channels}),
        "units": sorted({channel.unit for channel in channels if channel.label in labels.values()}),
        "duration_s": round(scanned.duration_s, 6),
        "gap_s": sampled.get("gap_s", 0.0),
        "channel_map": labels,
        "renamed": _renamed(labels),
        "missing": [name for name in recipe.electrodes if name not in labels] if channels else [],
        "mains_db": {str(line): _rounded(measures.mains_db[line]) if measures else None for line in MAINS_HZ},
        "sd_uv": _rounded(measures.sd_uv) if measures else None,
        "windows": sampled.get("windows", 0),
        "labels": {name: by_label[number] for number, name in enumerate(recipe.classes) if by_label[number]},
        "findings": [] if outcome != "ok" or measures is None else _findings(channels, sampled, measures, recipe),
    }


def _verdict(planned: PlannedRecording, sampled: Facts) -> tuple[Outcome, tuple[Note, ...]]:
    """Return what a run would say of a recording: not read, lost by a fault, no EEG, without a window, or ok."""
    if "fault" in sampled:
        return "failed", prose(sampled["fault"])
    if sampled.get("unfit"):
        return "skipped", sampled["unfit"]
    if planned.scanned.outcome or sampled["windows"]:
        return planned.scanned.outcome or "ok", planned.scanned.notes
    return "skipped", (NO_WINDOW, *sampled["notes"], *sampled["of_labels"])


def _findings(
    channels: tuple[Channel, ...], sampled: Facts, measures: Measures, recipe: Recipe
) -> list[dict[str, str]]:
    """Return what is worth a look in a recording that can be read, each with the way out where there is one."""
    found = [_finding(note.kind, note.text) for note in (*sampled["notes"], *sampled["of_labels"])]
    if sampled["gap_s"]:
        found.append(_finding("gaps", f"{sampled['gap_s']:g} s are missing between its records: no window crosses one"))
    if measures.missing:
        found.append(_finding("gaps", f"{measures.missing:.1%} of the samples read are marked as missing: not used"))
    if mains := _mains(measures.mains_db, recipe):
        found.append(_finding("mains", mains))
    if measures.flat:
        found.append(_finding("flat", f"{', '.join(measures.flat)}: flat where read, absent if so throughout"))
    if measures.not_finite:
        found.append(_finding("not finite", f"{', '.join(measures.not_finite)}: NaN or infinite, taken as absent"))
    if clipped := {name: share for name, share in measures.clipped.items() if share > CLIPPED_SHARE}:
        shares = ", ".join(f"{name} {share:.1%}" for name, share in clipped.items())
        found.append(_finding("clipped", f"samples held at the highest or lowest value: {shares}"))
    if (share := sampled["beyond"]) > CLIPPED_SHARE:
        top_uv, wider_uv = MOST_COUNTS * recipe.quantum_uv, 4 * recipe.quantum_uv
        says = f"about {share:.1%} of samples lie beyond ±{top_uv:.0f} µV and would be clipped"
        found.append(_finding("out of range", f"{says}: widen with --set quantum_uv={wider_uv:g}"))
    low, high = PLAUSIBLE_SD_UV
    found += [_finding(note.kind, note.text) for note in sampled["unit"]]
    if measures.sd_uv is not None and not low <= measures.sd_uv <= high:
        units = ", ".join(sorted({repr(channel.unit) for channel in channels}))
        found.append(
            _finding("unit", f"median sd {measures.sd_uv:.3g} µV, outside {low:g} to {high:g}: is the unit {units}?")
        )
    return found


def _mains(mains_db: dict[int, float | None], recipe: Recipe) -> str:
    """Say where a mains frequency in the recipe's band stands out and the notch is not there, "" where all is well."""
    seen = {line: level for line, level in mains_db.items() if level is not None and level >= STANDS_OUT_DB}
    loud = [line for line in seen if line <= recipe.band_hz[1] and abs(recipe.notch_hz - line) > 1]
    if not loud:
        return ""
    line = max(loud, key=lambda one: seen[one])
    where = f"the recipe's notch is at {recipe.notch_hz:g} Hz" if recipe.notch_hz else "the recipe has no notch"
    return f"{line} Hz stands out by {seen[line]:.0f} dB and {where}: --set notch_hz={line}"


def _renamed(labels: dict[str, str]) -> dict[str, str]:
    """Return the electrode of every label in the file that is not spelt as its electrode is."""
    return {label: name for name, label in labels.items() if label != name}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
