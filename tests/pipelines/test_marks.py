"""What somebody marked as bad, in whatever format: channels are absent, spans are gaps, and both are told."""

import warnings
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from scipy.io import savemat

from manifests import recipe as recipes
from pipelines import run
from pipelines.formats.readers import read, read_header
from pipelines.plan import SetOptions
from pipelines.sources import open_source
from pipelines.workers import Workers
from tests.commands import dare, plan_of, recordings
from tests.judges import samples
from tests.pipelines.cnt_file import cnt_bytes
from tests.pipelines.conftest import Saved
from tests.pipelines.mat_files import save_hdf
from tests.pipelines.own_trees import ELECTRODES, SFREQ, labels, made, recipe, signal_uv, starts, write, write_as

SAID = "C4 is marked bad in its file: taken as absent"
PRETRAIN = ("--for", "pretrain")


def save_fif(path: Path, bads: tuple[str, ...] = (), names: tuple[str, ...] = ELECTRODES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = mne.io.RawArray(signal_uv((), 40) / 1e6, mne.create_info(list(names), SFREQ, "eeg"), verbose="error")
    raw.info["bads"] = list(bads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw.save(path, verbose="error")
    return path


# --- channels ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_bad_channel_of_a_fif_is_absent_from_its_windows(tmp_path: Path) -> None:
    save_fif(tmp_path / "raw" / "a.fif", ("C4",))
    save_fif(tmp_path / "raw" / "b.fif")
    layout = 'files = "{subject}.fif"'
    folder = made(tmp_path / "raw", tmp_path, layout, 'missing = "mask"', *PRETRAIN).parent / "mine-pretrain"
    for sample in samples(folder).values():
        is_bad = sample.fields["recording"] == "a.fif"
        assert [scale == 0 for scale in sample.fields["scale"]] == [False, False, is_bad]
    rows = recordings(folder)
    assert (rows["a.fif"]["channel_map"], rows["b.fif"]["reason"]) == ({"C3": "C3", "CZ": "CZ"}, "")
    assert SAID in rows["a.fif"]["reason"]
    strict = recipe(tmp_path, layout, 'missing = "require"')
    command = ("preprocess", "mine", "--src", tmp_path / "raw", "--recipe", strict, *PRETRAIN, "--dry-run", "--json")
    answer = dare(*command)
    assert (answer.status, "lacks C4" in answer.out, SAID in answer.out) == (0, True, True)


@pytest.mark.parametrize("save", [lambda path, fields: savemat(path, fields, appendmat=False), save_hdf])
def test_bad_channel_of_a_dataset(tmp_path: Path, save: Any) -> None:
    places = np.array([("C3", 0.0), ("Cz", []), ("C4", 1.0)], dtype=[("labels", "O"), ("badchan", "O")])
    fields = {"nbchan": 3.0, "trials": 1.0, "pnts": 5120.0, "srate": float(SFREQ), "event": [], "chanlocs": places}
    save(tmp_path / "a.set", {"EEG": fields | {"data": signal_uv((), 40)}})
    recording = read(tmp_path / "a.set")
    assert recording.electrodes == ("C3", "CZ")
    assert [note.text for note in recording.notes] == [SAID]


def test_bad_channel_of_a_cnt_is_the_one_whose_flag_says_so(saved: Saved) -> None:
    names = ["C3", "AFF1h", "C4"]  # of old headers MNE would take the fifth letter for the flag
    content = bytearray(cnt_bytes(names, np.rint(signal_uv((), 4).T * 10).astype("<i2"), SFREQ, [(101, 3)]))
    content[900 + 2 * 75 + 14] = 1
    recording = read(saved(bytes(content), "a.cnt"))
    assert recording.electrodes == ("C3", "AFF1H")
    assert [note.text for note in recording.notes] == [SAID]


def test_names_that_mne_made_of_equal_ones_are_as_they_were(tmp_path: Path) -> None:
    path = save_fif(tmp_path / "a.fif", ("C3-1",), ("C3-0", "CZ", "C3-1"))
    assert [(one.label, bool(one.fault)) for one in read_header(path).channels] == [
        ("C3", False), ("CZ", False), ("C3", True)
    ]  # fmt: skip
    path = save_fif(tmp_path / "b.fif", (), ("C3-1", "CZ", "C3-2"))
    assert [one.label for one in read_header(path).channels] == ["C3-1", "CZ", "C3-2"]
    path = save_fif(tmp_path / "c.fif", (), ("EEG-0", "EEG-1", "C3-A2"))
    assert [one.label for one in read_header(path).channels] == ["EEG-0", "EEG-1", "C3-A2"]


# --- spans ------------------------------------------------------------------------------------------------------------

SPANS = [(12.0, 4.0, "BAD_muscle"), (15.0, 3.0, "bad blink"), (39.0, 1.0, "BAD_")]


def kept(duration_s: float, window_s: float) -> int:
    """Return how many windows MNE leaves of such a signal."""
    annotations = mne.Annotations(*zip(*SPANS, strict=True))
    info = mne.create_info(list(ELECTRODES), SFREQ, "eeg")
    raw = mne.io.RawArray(signal_uv((), round(duration_s)), info, verbose="error").set_annotations(annotations)
    return len(mne.make_fixed_length_epochs(raw, window_s, reject_by_annotation=True, preload=True, verbose="error"))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".fif", ".edf", ".set", ".vhdr"])
def test_no_window_reaches_into_a_bad_span(tmp_path: Path, suffix: str) -> None:
    path = write_as(suffix, tmp_path / "raw" / "a", SPANS)
    if suffix == ".vhdr":  # as MNE exports them, and as Analyzer marks intervals
        markers = path.with_suffix(".vmrk")
        markers.write_text(
            markers.read_text().replace("Stimulus,BAD_", "Comment,BAD_").replace("Stimulus", "Bad Interval")
        )
    layout = f'files = "{{subject}}{suffix}"'
    more = "window_s = 2\nstride_s = 2"
    folder = made(tmp_path / "raw", tmp_path, layout, more, *PRETRAIN).parent / "mine-pretrain"
    found = [at for at, _ in starts(folder)[path.name]]
    assert found == [0, 2, 4, 6, 8, 10, *range(18, 37, 2)]
    assert len(found) == kept(40, 2) == 16
    texts = (
        ("Bad Interval/bad blink", "Comment/BAD_, Comment/BAD_muscle")
        if suffix == ".vhdr"
        else ("BAD_, BAD_muscle", "bad blink")
    )
    said = f"7 s are marked as bad ({', '.join(texts)}): not used"
    assert recordings(folder)[path.name]["reason"] == said


@pytest.mark.slow
def test_class_that_is_called_bad_marks_no_span(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / "raw" / f"{name}.edf", (), [(4.0, 4.0, "bad"), (10.0, 4.0, "good")])
    layout = 'files = "{subject}.edf"\nlabels = "annotations"'
    folder = made(tmp_path / "raw", tmp_path, layout, 'classes = ["bad", "good"]\nwindow_s = 2')
    assert labels(folder) == {"bad": 2, "good": 2}


@pytest.mark.slow
def test_recording_that_is_bad_throughout_gives_no_window(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "a.edf", (), [(0.0, 40.0, "BAD_all")])
    write(tmp_path / "raw" / "b.edf")
    folder = made(tmp_path / "raw", tmp_path, 'files = "{subject}.edf"', "", *PRETRAIN).parent / "mine-pretrain"
    row = recordings(folder)["a.edf"]
    assert (row["outcome"], row["reason"]) == ("skipped", "gives no window; 40 s are marked as bad (BAD_all): not used")


@pytest.mark.slow
def test_pieces_of_a_recording_with_bad_spans_are_the_whole(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "a.edf", (), [(33.0, 11.0, "BAD_a"), (60.0, 76.0, "BAD_b")], seconds=240)
    file = recipe(tmp_path, 'files = "{subject}.edf"', "window_s = 2\nstride_s = 2")
    chosen = recipes.load("mine", "pretrain", (), file)
    source = open_source(tmp_path / "raw")
    folders = []
    for name, piece_samples in (("whole", 1 << 25), ("pieces", 3 * SFREQ * 20)):
        folders.append(tmp_path / name)
        options = SetOptions(piece_samples=piece_samples, piece_grid_s=10.0)
        tree = source.scan(chosen, lambda *_: None)
        run.preprocess(tree, chosen, source, folders[-1], Workers(1), options, lambda *_: None)
    whole, pieces = map(starts, folders)
    assert plan_of(folders[1])["recordings"][0]["pieces"] == 12
    assert pieces == whole
    assert not [at for at, _ in whole["a.edf"] if 31 < at < 44 or 58 < at < 136]
    assert recordings(folders[1]) == recordings(folders[0])
