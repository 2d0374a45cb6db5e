"""Times in EDF+: of annotations, whatever is a number, and of records, rounded or not."""

from dataclasses import replace

import mne
import numpy as np
import pytest

from manifests.notes import text
from pipelines.formats.readers import read
from pipelines.recording import Event, Segment
from tests.pipelines.conftest import Saved
from tests.pipelines.raw_bytes import EEG, STEADY, EdfChannel, edf_bytes, noise, tals


@pytest.mark.parametrize(
    ("onset", "duration", "expected_s"),
    [
        ("+1.5", "0.25", (1.5, 0.25)),
        ("+1.50000000000000001", "0.2500000000000000", (1.5, 0.25)),
        ("+1.5e0", "2.5E-1", (1.5, 0.25)),
        ("+15e-1", "+.25", (1.5, 0.25)),
        ("1.5", "25e-02", (1.5, 0.25)),
        ("+1,5", ",25", (1.5, 0.25)),
        (" +1.5 ", " 0.25 ", (1.5, 0.25)),
        ("+.5", "1.", (0.5, 1.0)),
        ("+2.", "", (2.0, 0.0)),
        ("-.5", "-1", (-0.5, 0.0)),
    ],
)
def test_times_of_annotations_are_whatever_is_a_number(
    saved: Saved, onset: str, duration: str, expected_s: tuple[float, float]
) -> None:
    channel = tals(f"+0||;{onset}~{duration}|seizure|;", *STEADY[1:])
    recording = read(saved(edf_bytes([EEG, channel], reserved="EDF+C")))
    assert recording.events == (Event(*expected_s, "seizure"),)
    assert recording.notes == ()


@pytest.mark.parametrize("reserved", ["EDF+C", ""])
def test_annotations_that_cannot_be_read_are_counted(saved: Saved, reserved: str) -> None:
    lost = ("+0:00:01|spike|;", "+1~long|spike|;", "+1e999|spike|;", "+1", "spike")
    recording = read(saved(edf_bytes([EEG, tals(f"+0||;{';'.join(lost)};+2|cue|;", *STEADY[1:])], reserved=reserved)))
    assert recording.events == (Event(2.0, 0.0, "cue"),)
    (found,) = recording.notes
    assert (found.kind, found.figures) == ("illegible annotations", {"count": 5})
    assert found.text == "5 annotations cannot be read: their onset or duration is no number"


def test_times_of_records_that_are_no_numbers_are_no_damage(saved: Saved) -> None:
    clocks = tals(*(f"+0:00:0{second}||;+{second}.5|cue|;" for second in range(4)))
    recording = read(saved(edf_bytes([EEG, clocks], reserved="EDF+C")))
    assert recording.segments == (Segment(0, 400, 0.0),)
    assert [event.onset_s for event in recording.events] == [0.5, 1.5, 2.5, 3.5]
    assert "4 annotations cannot be read" in text(recording.notes)


def test_annotation_as_windows_writes_it(saved: Saved) -> None:
    channel = EdfChannel("EDF Annotations", [b"+0\x14\x14\0+1\x14eyes \x96 open\x14\0", b"+1\x14\x14\0"] * 2)
    assert read(saved(edf_bytes([EEG, channel]))).events[0].text == "eyes – open"


def timed(onsets_s: list[str], duration: str, reserved: str) -> bytes:
    """Return a file of a record of 20 samples at each of these times."""
    channel = replace(EEG, records=noise(0, len(onsets_s), 20))
    return edf_bytes([channel, tals(*(f"{onset}||;" for onset in onsets_s))], duration=duration, reserved=reserved)


@pytest.mark.parametrize("decimals", [0, 1, 2, 3])
@pytest.mark.parametrize("reserved", ["EDF+C", "EDF+D", ""])
def test_rounded_times_of_records_make_no_gap(saved: Saved, reserved: str, decimals: int) -> None:
    path = saved(timed([f"+{number / 8:.{decimals}f}" for number in range(100)], "0.125", reserved))
    assert read(path).segments == (Segment(0, 2000, 0.0),)
    assert mne.io.read_raw_edf(path, verbose="error").n_times == 2000


@pytest.mark.parametrize("sd_s", [0.0005, 0.004, 0.02])
def test_jitter_in_the_times_of_records_makes_no_gap_where_there_is_none(saved: Saved, sd_s: float) -> None:
    late_s = np.random.default_rng(0).normal(0, sd_s, 300).clip(-0.09, 0.09)
    path = saved(timed([f"+{number * 0.2 + late:.4f}" for number, late in enumerate(late_s - late_s[0], 1)], "0.2", ""))
    assert read(path).segments == (Segment(0, 6000, 0.0),)


@pytest.mark.parametrize("reserved", ["EDF+C", "EDF+D"])
def test_gap_shows_among_rounded_times(saved: Saved, reserved: str) -> None:
    onsets_s = [f"+{number / 8 + (1 if number >= 40 else 0):.2f}" for number in range(100)]
    recording = read(saved(timed(onsets_s, "0.125", reserved)))
    assert [(one.start, one.stop) for one in recording.segments] == [(0, 800), (800, 2000)]
    assert recording.segments[1].onset_s == pytest.approx(6.0)


@pytest.mark.parametrize("name", ["boundary", "New Segment/"])
def test_an_annotation_that_says_so_ends_a_segment(saved: Saved, name: str) -> None:
    cues = tals(f"+0||;+1.5|{name}|;+0.25|cue|;", *STEADY[1:])
    recording = read(saved(edf_bytes([EEG, cues], reserved="EDF+C")))
    assert recording.segments == (Segment(0, 150, 0.0), Segment(150, 400, 1.5))
    assert {"cue", name} == {event.text for event in recording.events}
