"""Trees of nobody's corpus: recordings whose 10 Hz rhythm is as strong as the task that is done, in every format."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import mne
import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from pipelines.synth.edf_writer import Annotation, Channel, write_edf_plus
from tests.commands import dare, preprocess
from tests.judges import Sample, of_its_own, samples

SFREQ = 128
ELECTRODES = ("C3", "CZ", "C4")
LOUD_UV, SOFT_UV = 60.0, 15.0
SHORTEST = f'corpus = "mine"\nelectrodes = {list(ELECTRODES)}\nnotch_hz = 0\nsfreq_hz = {SFREQ}\nband_hz = [0.5, 40]\n'

Task = tuple[float, float, str]
"""Onset and duration in seconds, and what is done: ``loud`` or anything else, which is soft."""

TASKS: list[Task] = [(4.0, 8.0, "loud"), (14.0, 8.0, "soft"), (24.0, 8.0, "loud")]
CLASSES = 'classes = ["soft", "loud"]\nwindow_s = 2\n'
BY_SUBJECT = 'files = "{subject}/{session}.edf"\n'


def signal_uv(tasks: Sequence[Task], seconds: int, sfreq: int = SFREQ) -> NDArray[np.float64]:
    """Return (3, T): a 10 Hz rhythm, loud while a task says so."""
    times = np.arange(seconds * sfreq) / sfreq
    strength = np.full(times.size, SOFT_UV)
    for onset_s, duration_s, what in tasks:
        if what == "loud":
            strength[(times >= onset_s) & (times < onset_s + duration_s)] = LOUD_UV
    return np.stack([strength * np.sin(2 * np.pi * 10 * times + phase) for phase in (0.0, 1.0, 2.0)])


def write(path: Path, tasks: Sequence[Task] = (), marks: Sequence[Task] = (), seconds: int = 40) -> Path:
    """Write an EDF+ file in which the tasks are done and the marks annotated."""
    channels = [Channel(name, SFREQ, row) for name, row in zip(ELECTRODES, signal_uv(tasks, seconds), strict=True)]
    write_edf_plus(path, channels, [Annotation(*mark) for mark in marks])
    return of_its_own(path)


def write_subjects(folder: Path) -> Path:
    """Write four subjects with a recording each, tasks annotated by other names, and papers that are no recordings."""
    for subject in ("S1", "S2", "S3", "S4"):
        marks = [(onset_s, duration_s, {"loud": "T1", "soft": "T2"}[what]) for onset_s, duration_s, what in TASKS]
        write(folder / subject / "day1.edf", TASKS, [*marks, (36.0, 0.0, "Jane Doe coughs")])
    (folder / "README.txt").write_text("papers")
    return folder


def table(delimiter: str, names: str, lines: Sequence[tuple[object, ...]]) -> str:
    """Return a table of these columns, named with commas between, and lines."""
    return "\n".join([names.replace(",", delimiter), *(delimiter.join(map(str, line)) for line in lines), ""])


def write_as(suffix: str, path: Path, tasks: Sequence[Task], seconds: int = 40) -> Path:
    """Write what `write` does, the tasks annotated, as EDF, FIF, BrainVision, EEGLAB or MAT, by the suffix."""
    file = path.with_suffix(suffix)
    file.parent.mkdir(parents=True, exist_ok=True)
    data_uv = signal_uv(tasks, seconds)
    if suffix == ".edf":
        return write(file, tasks, tasks, seconds)
    if suffix == ".fif":
        info = mne.create_info(list(ELECTRODES), SFREQ, "eeg")
        info["description"] = str(file)
        raw = mne.io.RawArray(data_uv / 1e6, info, verbose="error")
        onsets, durations, texts = zip(*tasks, strict=True)
        raw.set_annotations(mne.Annotations(onsets, durations, texts)).save(file, verbose="error")
    elif suffix == ".vhdr":
        _write_brainvision(file, data_uv, tasks)
    elif suffix == ".set":
        _write_eeglab(file, data_uv, tasks)
    else:
        savemat(file, {"eeg": data_uv.T, "other": np.zeros(3), "whose": str(file)})
    return file


def recipe(folder: Path, layout: str, more: str = "") -> Path:
    """Write the shortest recipe with these fields and this layout; without classes its windows are as it states."""
    file = folder / "mine.toml"
    fields = f"{SHORTEST}{more}\n"
    stated = [line for line in fields.splitlines() if line.startswith(("sfreq_hz", "window_s", "stride_s"))]
    windows = "" if "classes" in more else "\n".join(["[pretrain]", *dict.fromkeys(stated), ""])
    file.write_text(f"{fields}{windows}[layout]\n{layout}\n")
    return file


def made(src: Path, folder: Path, layout: str, more: str = "", *options: object) -> Path:
    """Preprocess a tree by a recipe of one's own, which must go well, and return the set."""
    return preprocess("mine", src, folder / "shards", "--recipe", recipe(folder, layout, more), *options)


def refused(src: Path, folder: Path, layout: str, more: str = "") -> str:
    """Return the one line by which preprocessing gave up."""
    answer = dare("preprocess", "mine", "--src", src, "--out", folder, "--recipe", recipe(folder, layout, more))
    assert answer.status == 2
    return answer.complaint


def starts(folder: Path) -> dict[str, list[tuple[float, str]]]:
    """Return, by recording, when each window starts and the name of its label."""
    found: dict[str, list[tuple[float, str]]] = {}
    for sample in samples(folder).values():
        found.setdefault(sample.fields["recording"], []).append((sample.start_s, sample.label_name))
    return found


def labels(folder: Path) -> Counter[str]:
    """Return how many windows have which label."""
    return Counter(sample.label_name for sample in samples(folder).values())


def assert_labels_fit_the_signal(folder: Path) -> None:
    """Assert that there are loud and soft windows, and that each is as loud as its label says."""
    windows = list(samples(folder).values())
    assert {sample.label_name for sample in windows} == {"loud", "soft"}
    for sample in windows:
        wanted_uv = LOUD_UV if sample.label_name == "loud" else SOFT_UV
        np.testing.assert_allclose(_strength_uv(sample), wanted_uv, rtol=0.1)


def _strength_uv(sample: Sample) -> NDArray[np.float64]:
    return sample.data_uv.std(axis=1) * np.sqrt(2)


def _write_brainvision(file: Path, data_uv: NDArray[np.float64], tasks: Sequence[Task]) -> None:
    marks = [
        f"Mk{number}=Stimulus,{what},{round(onset_s * SFREQ) + 1},{round(duration_s * SFREQ)},0"
        for number, (onset_s, duration_s, what) in enumerate(tasks, start=1)
    ]
    names = [f"Ch{number}={name},,0.1,µV" for number, name in enumerate(ELECTRODES, start=1)]
    common = f"Codepage=UTF-8\nDataFile={file.stem}.eeg\n"
    file.write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\n"
        f"{common}MarkerFile={file.stem}.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\n"
        f"NumberOfChannels={len(ELECTRODES)}\nSamplingInterval={1e6 / SFREQ}\n[Binary Infos]\nBinaryFormat=INT_16\n"
        "[Channel Infos]\n" + "\n".join(names) + "\n",
        encoding="utf-8",
    )
    file.with_suffix(".vmrk").write_text(
        f"Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\n{common}[Marker Infos]\n"
        + "\n".join(marks)
        + "\n",
        encoding="utf-8",
    )
    np.rint(data_uv.T * 10).astype("<i2").tofile(file.with_suffix(".eeg"))


def _write_eeglab(file: Path, data_uv: NDArray[np.float64], tasks: Sequence[Task]) -> None:
    events = np.array(
        [(onset_s * SFREQ + 1, duration_s * SFREQ, what) for onset_s, duration_s, what in tasks],
        dtype=[("latency", "f8"), ("duration", "f8"), ("type", "O")],
    )
    channels = np.array([(name,) for name in ELECTRODES], dtype=[("labels", "O")])
    num_channels, num_samples = data_uv.shape
    fields = {
        "setname": file.stem,
        "nbchan": float(num_channels),
        "pnts": float(num_samples),
        "trials": 1.0,
        "srate": float(SFREQ),
        "xmin": 0.0,
        "xmax": (num_samples - 1) / SFREQ,
        "data": data_uv.astype(np.float32),
        "chanlocs": channels,
        "event": events,
        "ref": "common",
    }
    savemat(file, {"EEG": fields}, appendmat=False)
