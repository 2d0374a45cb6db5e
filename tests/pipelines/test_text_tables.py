"""Tables of text as recordings: what their lines may look like, what their times tell, and what is refused."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manifests.notes import text
from pipelines.formats.arrays import Arrays
from pipelines.formats.readers import read, read_header
from pipelines.recording import Event
from tests.pipelines.conftest import assert_refused

RNG = np.random.default_rng(0)
NAMES = ("Fp1", "Cz", "T3")
ELECTRODES = ("FP1", "CZ", "T7")
SFREQ = 200.0
UV = RNG.normal(0, 20, (3, 1000)).round(3)
TIMES = np.arange(1000) / SFREQ


def layout(**more: Any) -> Arrays:
    return Arrays("", "channel time", more.pop("labels", ()), more.pop("sfreq", 0.0), **more)


def saved(folder: Path, rows: np.ndarray, names: str = "t,Fp1,Cz,T3", name: str = "a.csv", above: str = "") -> Path:
    np.savetxt(folder / name, rows, "%.16g", ",", header=above + names, comments="")
    return folder / name


def timed(folder: Path, times: np.ndarray, data_uv: np.ndarray = UV) -> Path:
    return saved(folder, np.column_stack([times, data_uv.T]))


@pytest.mark.parametrize(
    ("unit", "times", "tells"),
    [
        ("s", TIMES, 200.0),
        ("s", 1.7e9 + TIMES, 200.0),
        ("ms", np.rint(TIMES * 1000), 200.0),
        ("us", TIMES * 1e6 + 1.7e15, 200.0),
        ("ms", np.rint(np.arange(1000) / 256 * 1000), 256.0),
        ("ms", np.rint(np.arange(1000) / 333.3 * 1e6) / 1000, 333.3),
        ("s", TIMES * 1.0002, 200.0),
        ("s", TIMES + RNG.normal(0, 0.0005, 1000), 200.0),
    ],
)
def test_times_tell_the_rate(tmp_path: Path, unit: str, times: np.ndarray, tells: float) -> None:
    recording = read(timed(tmp_path, times), arrays=layout(time="t", time_unit=unit))
    assert recording.sfreq == pytest.approx(tells, rel=1e-5)
    assert recording.electrodes == ELECTRODES
    np.testing.assert_array_equal(recording.data_uv, UV.astype(np.float32))
    assert [(one.start, one.stop) for one in recording.segments] == [(0, 1000)]


@pytest.mark.parametrize(
    ("cells", "tells"),
    [
        ([f"2024-01-01 00:00:{tenth // 10:02}.{tenth % 10}" for tenth in range(100)], 10.0),
        ([f"12:00:{tenth // 10:02}.{tenth % 10}" for tenth in range(100)], 10.0),
        ([f"2024-03-31T01:59:{tenth // 10:02}.{tenth % 10}00+02:00" for tenth in range(100)], 10.0),
    ],
)
def test_times_of_a_clock_tell_the_rate(tmp_path: Path, cells: list[str], tells: float) -> None:
    lines = [f"{cell},{row[0]},{row[1]},{row[2]}" for cell, row in zip(cells, UV.T, strict=False)]
    (tmp_path / "a.csv").write_text("\n".join(["time,Fp1,Cz,T3", *lines]))
    recording = read(tmp_path / "a.csv", arrays=layout(time="time"))
    assert recording.sfreq == tells
    np.testing.assert_array_equal(recording.data_uv, UV[:, :100].astype(np.float32))


@pytest.mark.parametrize("jitter_s", [0.0, 0.0008])
def test_gaps_in_time_end_segments(tmp_path: Path, jitter_s: float) -> None:
    kept = np.r_[0:300, 301:600, 700:1000]
    times = TIMES + RNG.normal(0, jitter_s, 1000) if jitter_s else TIMES
    recording = read(timed(tmp_path, times[kept], UV[:, kept]), arrays=layout(time="t"))
    found = [(one.start, one.stop, pytest.approx(one.onset_s)) for one in recording.segments]
    assert found == [(0, 300, 0.0), (300, 599, 301 / SFREQ), (599, 899, 700 / SFREQ)]
    assert text(recording.notes) == "2 gaps by its times, 0.505 s in all"
    piece = read(tmp_path / "a.csv", ["CZ"], 2.0, 4.0, layout(time="t"))
    np.testing.assert_array_equal(piece.data_uv, recording.data_uv[[1], 400:800])
    assert [(one.start, one.stop) for one in piece.segments] == [(0, 199), (199, 400)]


@pytest.mark.parametrize("top", [256, 129, 10**9])
def test_counter_tells_what_was_lost_wherever_it_begins_again(tmp_path: Path, top: int) -> None:
    kept = np.r_[0:300, 320:1000]
    arrays = layout(time="t", time_unit="counter", sfreq=SFREQ)
    recording = read(timed(tmp_path, (np.arange(1000) % top)[kept], UV[:, kept]), arrays=arrays)
    found = [(one.start, one.stop, one.onset_s) for one in recording.segments]
    assert found == [(0, 300, 0.0), (300, 980, 320 / SFREQ)]


def test_samples_written_in_bursts_need_the_rate_and_have_no_gaps(tmp_path: Path) -> None:
    path = timed(tmp_path, np.repeat(TIMES[19::20], 20))
    assert_refused(lambda: read(path, arrays=layout(time="t")), "too irregular", "about 20", "state sfreq_hz")
    recording = read(path, arrays=layout(time="t", sfreq=SFREQ))
    assert len(recording.segments) == 1
    later = np.repeat(TIMES[19::20], 20) + 5.0 * (np.arange(1000) >= 400)
    parts = read(timed(tmp_path, later), arrays=layout(time="t", sfreq=SFREQ)).segments
    assert [one.start for one in parts] == [0, 400]
    assert parts[1].onset_s == pytest.approx(7.0, abs=0.2)


LINES = [",".join(map(str, row)) for row in UV.T[:50]]


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("\n".join(["Fp1,Cz,T3", *LINES]), NAMES),
        ("\ufeff" + "\r\n".join(["Fp1,Cz,T3", *LINES, ""]), NAMES),
        ("\n".join(['"Fp1", "Cz", "T3"', *LINES]), NAMES),
        ("\n".join(["Fp1;Cz;T3", *(line.replace(",", ";").replace(".", ",") for line in LINES)]), NAMES),
        ("\n".join(["Fp1\tCz\tT3", *(line.replace(",", "\t").replace(".", ",") for line in LINES)]), NAMES),
        ("\n".join(["# made by me, in 2024", "# Fp1,Cz,T3", *LINES]), NAMES),
        ("\n".join(["Fp1 Cz T3", *(line.replace(",", "  ") for line in LINES)]), NAMES),
        ("\n".join(["Fp1,Cz,T3", "", *LINES[:20], "# paused", "", *LINES[20:]]), NAMES),
        ("\n".join(["Fp1,Cz,T3", *(f"{line}," for line in LINES)]), ()),
        ("\n".join(LINES), ()),
        ("\n".join(["-1,2,\u00b5", *LINES]), ()),
    ],
)
def test_lines_may_be_written_in_many_ways(tmp_path: Path, content: str, names: tuple[str, ...]) -> None:
    (tmp_path / "a.csv").write_text(content, encoding="utf-8", newline="")
    stated = layout(labels=NAMES, sfreq=SFREQ, columns=() if names else ("1", "2", "3"))
    told = layout(sfreq=SFREQ) if names else stated
    for arrays in (told, stated):
        recording = read(tmp_path / "a.csv", arrays=arrays)
        assert recording.electrodes == ELECTRODES
        np.testing.assert_array_equal(recording.data_uv, UV[:, :50].astype(np.float32))


def test_cells_without_a_number_are_missing_samples(tmp_path: Path) -> None:
    lines = LINES.copy()
    lines[5] = lines[5].rsplit(",", 1)[0] + ","
    lines[7] = "railed," + lines[7].partition(",")[2]
    lines[20:35] = ["nan,,NaN"] * 15
    (tmp_path / "a.csv").write_text("\n".join(["Fp1,Cz,T3", *lines, "1.5,2"]))
    recording = read(tmp_path / "a.csv", arrays=layout(sfreq=SFREQ))
    wanted = UV[:, :50].astype(np.float32)
    wanted[2, 5] = wanted[0, 7] = wanted[:, 20:35] = np.nan
    np.testing.assert_array_equal(recording.data_uv, wanted)
    assert [(one.start, one.stop) for one in recording.segments] == [(0, 20), (35, 50)]
    assert text(recording.notes) == "its last line is cut: not used; 15 of 50 samples are in no channel: gaps"


def test_a_line_that_is_no_row_costs_itself_alone(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\n".join(["Fp1,Cz,T3", *LINES[:20], "Marker: hello", *LINES[20:]]))
    recording = read(tmp_path / "a.csv", arrays=layout(sfreq=SFREQ))
    assert [(one.start, one.stop) for one in recording.segments] == [(0, 20), (21, len(LINES) + 1)]
    np.testing.assert_array_equal(recording.data_uv[:, 21:], UV[:, 20 : len(LINES)].astype(np.float32))


def test_lines_that_end_by_cr_alone_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("\r".join(["Fp1,Cz,T3", *LINES]).encode())
    assert_refused(lambda: read(tmp_path / "a.csv", arrays=layout(sfreq=SFREQ)), "ends its lines by CR alone; save it")


@pytest.mark.parametrize("unit", ["s", "counter"])
def test_times_that_are_none_need_the_rate_and_tell_no_gap(tmp_path: Path, unit: str) -> None:
    path = timed(tmp_path, np.full(1000, np.nan))
    assert_refused(lambda: read(path, arrays=layout(time="t")), "its column of times holds no numbers; state sfreq_hz")
    recording = read(path, arrays=layout(time="t", sfreq=SFREQ, time_unit=unit))
    assert [(one.start, one.stop) for one in recording.segments] == [(0, 1000)]


def test_unit_and_scale_are_those_of_the_numbers(tmp_path: Path) -> None:
    path = saved(tmp_path, UV.T, "Fp1,Cz,T3")
    for unit, scale, factor in (("mV", 1.0, 1e3), ("uV", 0.0224, 0.0224), ("V", 1e-6, 1.0)):
        found = read(path, arrays=layout(sfreq=SFREQ, unit=unit, scale=scale)).data_uv
        np.testing.assert_allclose(found, UV * factor, rtol=1e-6)


def test_column_of_labels_is_spans_in_true_time(tmp_path: Path) -> None:
    marks = np.full(1000, "", dtype="U9")
    marks[100:200], marks[200:210], marks[650:660], marks[900:] = "go", "0", "2.0", "stop, now"
    kept = np.r_[0:400, 600:1000]
    rows = [f'{TIMES[at]},{",".join(map(str, UV[:, at]))},"{marks[at]}"' for at in kept]
    (tmp_path / "a.csv").write_text("\n".join(["t,Fp1,Cz,T3,what", *rows]))
    recording = read(tmp_path / "a.csv", arrays=layout(time="t", trial_labels="what"))
    assert recording.electrodes == ELECTRODES
    spans = [(100, 100, "go"), (650, 10, "2"), (900, 100, "stop, now")]
    found = [(one.text, pytest.approx(one.onset_s), pytest.approx(one.duration_s)) for one in recording.events]
    assert found == [(text, start / SFREQ, length / SFREQ) for start, length, text in spans]


def test_table_that_tells_of_itself_needs_no_layout(tmp_path: Path) -> None:
    rows = np.column_stack([np.arange(1000) % 129, UV.T, np.full(1000, 4)])
    above = (
        "title:x, recorded:1, timestamp started:1, sampling:128, subject:, labels:COUNTER AF3 Cz T7 CQ_AF3, chan:5\n"
    )
    path = saved(tmp_path, rows, "", above=above)
    header, recording = read_header(path), read(path)
    assert (header.format, header.channels[0].sfreq) == ("CSV", 128.0)
    assert recording.electrodes[1:4] == ("AF3", "CZ", "T7")
    np.testing.assert_array_equal(recording.data_uv[1:4], UV.astype(np.float32))
    above = "title:x,start timestamp:1.5,headset type:EPOCX,channels:3,sampling rate:eeg_256;mot_64,version:2\n"
    recording = read(saved(tmp_path, rows, "EEG.Counter,EEG.AF3,EEG.Cz,EEG.T7,CQ.AF3", above=above))
    assert (recording.sfreq, recording.electrodes[1:4]) == (256.0, ("AF3", "CZ", "T7"))
    assert "AF3" not in recording.electrodes[4:]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (layout(), "does not say its rate; state sfreq_hz, or time"),
        (layout(sfreq=SFREQ, columns=("t", "Oz")), "has no column 'Oz', but t, Fp1, Cz, T3"),
        (layout(sfreq=SFREQ, columns=("7",)), "has no column '7'"),
        (layout(sfreq=SFREQ, labels=("C3", "C4")), "has 4 columns of numbers (t, Fp1, Cz, T3), where 2 channels"),
        (layout(sfreq=250.0, time="t"), "its times tell 200 Hz, where 250 Hz are stated"),
        (layout(time="Cz"), "its times"),
        (layout(time="t", time_unit="ms"), "its times tell 200000 Hz; is the unit in time_unit right?"),
        (layout(labels=NAMES, columns=("2", "3", "4"), time="5"), "has no column '5'"),
        (layout(sfreq=SFREQ, trial_labels="what"), "has no column 'what'"),
        (None, "is text, not BrainVision"),
    ],
)
def test_table_that_is_not_as_told_is_refused(tmp_path: Path, arrays: Arrays | None, said: str) -> None:
    path = timed(tmp_path, TIMES)
    assert_refused(lambda: read(path, arrays=arrays), "a.csv: ", said)
    assert_refused(lambda: read_header(path, arrays), "a.csv: ", said)


def test_milliseconds_taken_for_seconds_are_refused(tmp_path: Path) -> None:
    path = timed(tmp_path, np.rint(TIMES * 1000))
    said = "its times tell 0.2 Hz; is the unit in time_unit right?"
    assert_refused(lambda: read(path, arrays=layout(time="t")), "a.csv: ", said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"onset,label\nnow,left\n", "holds no rows of numbers"),
        ("Fp1,Cz\n1,2\n".encode("utf-16"), "UTF-16"),
        (b"1,2\n" + b"3," * 3_000_000, "a line of several megabytes"),
    ],
)
def test_text_that_is_no_table_of_numbers_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    assert_refused(lambda: read(tmp_path / "a.csv", arrays=layout(labels=("FP1", "CZ"), sfreq=SFREQ)), "a.csv: ", said)


def test_a_span_of_a_long_table_is_read_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["t,Fp1,Cz,T3", *(f"{at / 200:.3f},{at % 99},{at},1" for at in range(400_000))]))
    assert path.stat().st_size > 7e6
    read_header(path, layout(time="t"))
    tracemalloc.start()
    piece = read(path, ["CZ"], 1000.0, 1010.0, layout(time="t"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(piece.data_uv[0], np.arange(200_000, 202_000))
    assert peak < 6_000_000


def test_table_that_changed_is_read_anew(tmp_path: Path) -> None:
    path = saved(tmp_path, UV.T, "Fp1,Cz,T3")
    assert read(path, arrays=layout(sfreq=SFREQ)).events == ()
    np.testing.assert_array_equal(read(path, arrays=layout(sfreq=SFREQ)).data_uv, UV.astype(np.float32))
    saved(tmp_path, -2 * UV.T, "Fp1,Cz,T3")
    np.testing.assert_allclose(read(path, arrays=layout(sfreq=SFREQ)).data_uv, -2 * UV, rtol=1e-6)


def test_run_of_labels_over_a_gap_lasts_as_long_as_it_took(tmp_path: Path) -> None:
    kept = np.r_[0:400, 600:1000]
    rows = np.column_stack([TIMES[kept], UV[:, kept].T, (kept >= 300) & (kept < 700)])
    path = saved(tmp_path, rows, "t,Fp1,Cz,T3,on")
    (event,) = read(path, arrays=layout(time="t", trial_labels="on")).events
    assert event == Event(pytest.approx(1.5), pytest.approx(2.0), "1")
