"""Channels of triggers in every format, their edges against MNE's, and a corpus whose labels they are."""

import shutil
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.io import savemat

from pipelines.formats import triggers
from pipelines.formats.readers import open_file
from pipelines.recording import Event
from tests.commands import contents, dare, recordings, unusable
from tests.judges import of_its_own
from tests.pipelines.conftest import assert_refused
from tests.pipelines.own_trees import (
    ELECTRODES,
    SFREQ,
    assert_labels_fit_the_signal,
    labels,
    made,
    recipe,
    refused,
    signal_uv,
    starts,
)
from tests.pipelines.raw_bytes import EdfChannel, edf_bytes, tals

pytestmark = pytest.mark.slow

TASKS = [(4.0, 8.0, "loud"), (14.0, 8.0, "soft"), (24.0, 8.0, "loud")]
CODES = {"loud": 1, "soft": 2}
CLASSES = 'classes = ["soft", "loud"]\nwindow_s = 2\n'
TRIGGERS = 'files = "{subject}.*"\nlabels = "trigger"\nclasses = {1 = "loud", 2 = "soft"}'
ANNOTATIONS = TRIGGERS.replace("trigger", "annotations")
NOTICED = 'no event of use is found, but {} (codes 1, 2) holds triggers: a layout reads them with labels = "trigger"'
SECONDS = 40
BIOSEMI = 0x10FF00
"""What a Status channel may rest at: pins of no use pulled high, and a bit that says the recording is sound."""

Words = NDArray[np.int64]


def pulses(seconds: int = SECONDS, rest: int = 0) -> Words:
    """Return the words of a channel in which the tasks begin with a pulse of a tenth of a second."""
    words = np.full(seconds * SFREQ, rest, np.int64)
    for onset_s, _, what in TASKS:
        words[round(onset_s * SFREQ) : round((onset_s + 0.1) * SFREQ)] |= CODES[what]
    return words


def bdf(path: Path, words: Words, label: str = "Status", width: int = 3, more: tuple[Any, ...] = (), **f: Any) -> Path:
    """Write a BDF, or with a width of 2 an EDF, with words beside the signal of the tasks, in records of a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    num_records, top = len(words) // SFREQ, 1 << (8 * width - 1)
    signed = (words + top) % (2 * top) - top
    eeg = np.rint(signal_uv(TASKS, num_records) * 10).astype(np.int64)
    at_ends = (f"{-top}", f"{top - 1}")
    tenths = (f"{-top / 10:.8g}"[:8], f"{(top - 1) / 10:.8g}"[:8])
    channels = [EdfChannel(name, row.reshape(-1, SFREQ), physical=tenths, digital=at_ends)
                for name, row in zip(ELECTRODES, eeg, strict=True)]  # fmt: skip
    stored = EdfChannel(label, signed.reshape(-1, SFREQ), b"Boolean", at_ends, at_ends)
    path.write_bytes(edf_bytes([*channels, stored, *more], width, **f))
    return of_its_own(path)


def fif(path: Path, words: Words, label: str = "STI 014", kind: str = "stim") -> Path:
    """Write a FIF file with words in a channel of this kind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.vstack([signal_uv(TASKS, len(words) // SFREQ) / 1e6, words])
    info = mne.create_info([*ELECTRODES, label], SFREQ, ["eeg"] * 3 + [kind])
    mne.io.RawArray(data, info, verbose="error").save(path, fmt="double", verbose="error")
    return path


def eeglab(path: Path, words: Words) -> Path:
    """Write an EEGLAB dataset with words as its last channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.vstack([signal_uv(TASKS, len(words) // SFREQ), words]).astype(np.float32)
    names = np.array([(name,) for name in (*ELECTRODES, "Status")], [("labels", "O")])
    fields = {"nbchan": 4.0, "trials": 1.0, "pnts": float(len(words)), "srate": float(SFREQ), "data": data}
    savemat(path, {"EEG": fields | {"chanlocs": names, "event": np.zeros((0, 0))}}, appendmat=False)
    return path


def found(path: Path, name: str = "") -> list[tuple[int, int]]:
    """Return (sample, code) of every trigger."""
    events, _ = triggers.read(open_file(path), name)
    return [(round(event.onset_s * SFREQ), int(event.text)) for event in events]


def by_mne(raw: mne.io.BaseRaw, **how: Any) -> list[tuple[int, int]]:
    """Return (sample, code) of every rising edge by MNE."""
    events = mne.find_events(raw, shortest_event=1, verbose="error", **how)
    return [(int(sample) - raw.first_samp, int(code)) for sample, _, code in events]


# --- edges ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(0, 2**16 - 1))
def test_edges_are_those_of_mne(tmp_path_factory: pytest.TempPathFactory, codes: list[int], scale: int) -> None:
    words = np.zeros(SFREQ, np.int64)
    words[1 : 1 + 3 * len(codes)] = np.repeat(np.array(codes) * scale % 2**16, 3)
    folder = tmp_path_factory.mktemp("edges")
    stored = fif(folder / "a_raw.fif", words)
    wanted = by_mne(mne.io.read_raw_fif(stored, verbose="error"))
    assert found(stored) == wanted
    assert found(bdf(folder / "a.bdf", words)) == wanted
    assert found(bdf(folder / "a.edf", words, "TRIG", 2)) == wanted


def test_words_of_status_are_masked_to_their_trigger_bits(tmp_path: Path) -> None:
    path = bdf(tmp_path / "a.bdf", pulses(rest=BIOSEMI) | (1 << 23))
    raw = mne.io.read_raw_bdf(path, preload=True, verbose="error")
    wanted = by_mne(raw, mask=0xFF, mask_type="and")
    assert found(path) == wanted == [(round(at_s * SFREQ), CODES[what]) for at_s, _, what in TASKS]


def test_a_bit_of_the_amplifier_that_changes_is_no_trigger(tmp_path: Path) -> None:
    words = pulses()
    words[SFREQ::300] |= 1 << 16
    words[2 * SFREQ :] |= 1 << 20
    assert [code for _, code in found(bdf(tmp_path / "a.bdf", words))] == [1, 2, 1]


def test_codes_that_are_held_are_told_where_they_fall(tmp_path: Path) -> None:
    words = np.repeat([0, 1, 3, 2, 5, 0, 4], SFREQ)
    path = bdf(tmp_path / "a.bdf", words)
    events, notes = triggers.read(open_file(path))
    assert events == tuple(Event(at_s, 0.0, code) for at_s, code in ((1.0, "1"), (2.0, "3"), (4.0, "5"), (6.0, "4")))
    assert [one.text for one in notes] == ["1 changes of Status are to a lower code that is not 0: no triggers"]


def test_gaps_count_in_the_time_of_a_trigger(tmp_path: Path) -> None:
    starts_s = [0, 1, 2, 10, 11, 12]
    times = tals(*(f"+{at_s}\x14\x14\0" for at_s in starts_s), label="BDF Annotations")
    words = np.zeros(6 * SFREQ, np.int64)
    words[4 * SFREQ + 32 : 4 * SFREQ + 40] = 7
    path = bdf(tmp_path / "a.bdf", words, more=(times,), reserved="BDF+D")
    assert triggers.read(open_file(path))[0] == (Event(11.25, 0.0, "7"),)


def test_real_status_equals_mne(real: Path) -> None:
    path = real / "formats/mne_test_2048hz.bdf"
    raw = mne.io.read_raw_bdf(path, verbose="error")
    wanted = [(sample / 2048, str(code)) for sample, code in by_mne(raw)]
    assert [(event.onset_s, event.text) for event in triggers.read(open_file(path))[0]] == wanted != []


# --- which channel ----------------------------------------------------------------------------------------------------


def test_whole_words_come_before_single_bits(tmp_path: Path) -> None:
    words, label_of = pulses(), {"STI 001": 5, "STI 014": 1, "STI101": 0}
    data = np.vstack([signal_uv(TASKS, SECONDS) / 1e6, *(words * factor for factor in label_of.values())])
    info = mne.create_info([*ELECTRODES, *label_of], SFREQ, ["eeg"] * 3 + ["stim"] * 3)
    path = tmp_path / "a_raw.fif"
    mne.io.RawArray(data, info, verbose="error").save(path, verbose="error")
    assert [code for _, code in found(path)] == [1, 2, 1]
    assert [code for _, code in found(path, "sti 001")] == [5, 10, 5]


def test_channel_of_another_name_and_kind_is_read_where_it_is_named(tmp_path: Path) -> None:
    words = pulses()
    for path in (bdf(tmp_path / "a.bdf", words, "Photo"), fif(tmp_path / "a_raw.fif", words, "Photo", "misc")):
        assert [code for _, code in found(path, "Photo")] == [1, 2, 1]
        assert_refused(lambda path=path: found(path), "has no channel that is called Status", "layout.trigger")
        assert_refused(lambda path=path: found(path, "Lamp"), "has no channel 'Lamp'", "layout.trigger")


def test_channel_at_rest_is_said_to_hold_no_trigger(tmp_path: Path) -> None:
    file = open_file(bdf(tmp_path / "a.bdf", np.full(4 * SFREQ, BIOSEMI)))
    events, (said,) = triggers.read(file)
    assert (events, said.text, triggers.noticed(file)) == ((), "Status holds no trigger", ())


# --- a corpus of one's own --------------------------------------------------------------------------------------------


@pytest.fixture
def src(tmp_path: Path) -> Path:
    """A recording of each format that may hold triggers, each of a subject of its own, without annotations."""
    folder = tmp_path / "raw"
    bdf(folder / "S1.bdf", pulses(rest=BIOSEMI))
    bdf(folder / "S2.edf", pulses(), "Trigger", 2)
    fif(folder / "S3.fif", pulses())
    eeglab(folder / "S4.set", pulses(rest=BIOSEMI) - (1 << 23))
    return folder


def tars(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(folder).items() if name.endswith(".tar")}


def test_triggers_are_the_labels_in_every_format(src: Path, tmp_path: Path) -> None:
    folder = made(src, tmp_path, TRIGGERS, CLASSES)
    cut = [(4.0, "loud"), (14.0, "soft"), (24.0, "loud")]
    assert starts(folder) == dict.fromkeys(("S1.bdf", "S2.edf", "S3.fif", "S4.set"), cut)
    assert_labels_fit_the_signal(folder)


def test_recording_without_an_event_says_which_channel_holds_triggers(src: Path, tmp_path: Path) -> None:
    for number in (5, 6):
        times = [f"+{second}\x14\x14\0" for second in range(SECONDS)]
        times[4] = times[4] + "+4\x14loud\x14\0"
        annotated = tals(*times, label="BDF Annotations")
        bdf(src / f"S{number}.bdf", pulses(), more=(annotated,), reserved="BDF+C")
    rows = recordings(made(src, tmp_path, ANNOTATIONS.replace("1 =", "loud ="), CLASSES))
    assert {path: row["outcome"] for path, row in rows.items() if row["windows"]} == {"S5.bdf": "ok", "S6.bdf": "ok"}
    for path, label in {"S1.bdf": "Status", "S2.edf": "Trigger", "S3.fif": "STI 014", "S4.set": "Status"}.items():
        assert rows[path]["outcome"] == "skipped"
        assert NOTICED.format(label) in rows[path]["reason"]
        assert NOTICED.format(label) in dare("inspect", src / path).out
    assert "trigger" not in rows["S5.bdf"]["reason"] + dare("inspect", src / "S5.bdf").out.partition("notes")[2]


def test_annotations_that_are_no_classes_do_not_hide_the_triggers(tmp_path: Path) -> None:
    times = [f"+{second}\x14\x14\0" for second in range(SECONDS)]
    times[0] += "+0\x14recording begins\x14\0"
    for number in (1, 2):
        more = (tals(*times, label="BDF Annotations"),)
        bdf(tmp_path / f"raw/S{number}.bdf", pulses(), more=more, reserved="BDF+C")
    said = refused(tmp_path / "raw", tmp_path, ANNOTATIONS, CLASSES)
    assert NOTICED.format("Status") in said


def test_recording_without_a_channel_of_triggers_fails_with_the_way_out(src: Path, tmp_path: Path) -> None:
    bdf(src / "S5.bdf", pulses(), "Lamp")
    rows = recordings(made(src, tmp_path, TRIGGERS, CLASSES))
    assert rows["S5.bdf"]["outcome"] == "failed"
    assert "to read triggers from; name one in layout.trigger" in rows["S5.bdf"]["reason"]
    shutil.rmtree(src)
    for number in (1, 2):
        bdf(src / f"S{number}.bdf", pulses(), "Lamp")
    (tmp_path / "named").mkdir()
    assert labels(made(src, tmp_path / "named", f'{TRIGGERS}\ntrigger = "Lamp"', CLASSES)) == {"loud": 4, "soft": 2}


def test_archive_keeps_triggers_and_refuses_to_take_annotations_for_them(src: Path, tmp_path: Path) -> None:
    from_raw = made(src, tmp_path, TRIGGERS, CLASSES)
    for name in ("archive", "cut"):
        (tmp_path / name).mkdir()
    archive = made(src, tmp_path / "archive", TRIGGERS, CLASSES, "--format", "zarr")
    shutil.rmtree(src)
    again = made(archive, tmp_path / "cut", TRIGGERS, CLASSES)
    tars = [
        {name: one for name, one in contents(folder).items() if name.endswith(".tar")} for folder in (from_raw, again)
    ]
    assert tars[0] == tars[1] != {}
    other = recipe(tmp_path, ANNOTATIONS, CLASSES)
    answer = dare("preprocess", "mine", "--src", archive, "--out", tmp_path / "other", "--recipe", other)
    unusable(answer, "keeps the events of labels = 'trigger', the recipe has 'annotations'")


def test_pretraining_does_not_look_for_triggers(src: Path, tmp_path: Path) -> None:
    rows = recordings(made(src, tmp_path, ANNOTATIONS, CLASSES, "--for", "pretrain"))
    assert all(row["windows"] == SECONDS // 10 for row in rows.values())
    assert not any("trigger" in row["reason"].lower() for row in rows.values())
