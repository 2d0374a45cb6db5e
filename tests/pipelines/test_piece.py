"""Any one file, whatever tree it lies in, gives the windows that it gives as part of a corpus."""

import shutil
import subprocess
import sys
from pathlib import Path

import mne
import numpy as np
import pytest

import pipelines
from manifests import recipe as recipes
from manifests.errors import DareError, MissingError
from tests.commands import preprocess
from tests.judges import noise_uv, of_recording, write_edf
from tests.pipelines.own_trees import write_as

pytest_plugins = ["tests.corpora_fixtures"]

OWN = """
corpus = "mine"
electrodes = ["C3", "CZ", "C4"]
notch_hz = 50
sfreq_hz = 128
band_hz = [0.5, 40]
classes = ["soft", "loud"]
window_s = 2

[layout]
files = "{subject}/*.edf"
labels = "annotations"
"""


def test_file_gives_the_windows_of_its_recording(raw: Path, tmp_path: Path) -> None:
    path = next(raw.glob("tuab/**/train/**/*.edf"))
    alone = shutil.copyfile(path, tmp_path / "any thing.1.edf")
    recipe = recipes.load("tuab", "pretrain")
    folder = preprocess("tuab", raw / "tuab", tmp_path / "set", "--for", "pretrain")
    expected = of_recording(folder, path.relative_to(raw / "tuab").as_posix())
    (cut,) = pipelines.cut(alone, recipe)
    assert len(cut.windows) == len(expected) > 1
    for window, sample in zip(cut.windows, expected, strict=True):
        assert (window.start_s, window.label) == (sample.start_s, -1)
        np.testing.assert_array_equal(window.counts, sample.counts)
        np.testing.assert_array_equal(cut.scale, np.float32(sample.fields["scale"]))


def test_file_whose_name_tells_its_class_has_it(tmp_path: Path) -> None:
    labels = [f"EEG {name}" for name in "Fp1 Fp2 F3 F4 C3 C4".split()]
    path = write_edf(tmp_path / "Subject07_2.edf", noise_uv(labels, 12, 500), 500)
    (cut,) = pipelines.cut(path, recipes.load("eegmat"))
    assert [window.label for window in cut.windows] == [1, 1, 1]
    assert np.count_nonzero(cut.scale) == len(labels)


def test_annotations_tell_the_classes_of_a_recipe_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(OWN)
    events = [(1.0, 0.5, "soft"), (4.0, 0.5, "loud"), (6.0, 0.5, "cough")]
    path = write_edf(tmp_path / "a.edf", noise_uv(["C3", "Cz", "C4"], 12, 256), 256, events)
    (cut,) = pipelines.cut(path, recipes.load("mine", file=tmp_path / "mine.toml"))
    assert [(window.start_s, window.label) for window in cut.windows] == [(1.0, 0), (4.0, 1)]
    assert [note.text for note in cut.notes] == ["1 of 3 events stand for no class: not used"]


def test_formats_that_mne_reads_are_cut_too(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(OWN)
    signal_uv = np.stack(list(noise_uv(["C3", "CZ", "C4"], 12, 256).values()))
    raw = mne.io.RawArray(signal_uv * 1e-6, mne.create_info(["C3", "Cz", "C4"], 256, "eeg"), verbose="error")
    raw.save(tmp_path / "a_eeg.fif", verbose="error")
    recipe = recipes.load(
        "mine", "pretrain", ("sfreq_hz=128", "window_s=2", "stride_s=2", "band_hz=0.5,40"), tmp_path / "mine.toml"
    )
    (cut,) = pipelines.cut(tmp_path / "a_eeg.fif", recipe)
    assert len(cut.windows) == 6


@pytest.mark.slow
def test_tables_of_a_bids_tree_tell_of_a_file_in_it(tmp_path: Path) -> None:
    root, tasks = tmp_path / "bids", [(2.0, 8.0, "loud"), (14.0, 8.0, "soft")]
    for suffix, subject in ((".edf", "sub-01"), (".vhdr", "sub-02")):
        stem = root / subject / "eeg" / f"{subject}_task-listen"
        write_as(suffix, stem.with_name(f"{stem.name}_eeg"), tasks)
        rows = "".join(f"{onset_s}\t{duration_s}\t{what}\n" for onset_s, duration_s, what in tasks)
        stem.with_name(f"{stem.name}_events.tsv").write_text(f"onset\tduration\ttrial_type\n{rows}")
    marks = "name\ttype\tstatus\nC3\tEEG\tgood\nCz\tEEG\tbad\nC4\tEEG\tgood\n"
    (root / "task-listen_channels.tsv").write_text(marks)  # inherited by both
    text = OWN.partition("[layout]")[0] + '[layout]\nbids = true\nlabels = "events"\nspans = true\n'
    (tmp_path / "mine.toml").write_text(text)
    made = preprocess("mine", root, tmp_path / "shards", "--recipe", tmp_path / "mine.toml")
    recipe = recipes.load("mine", file=tmp_path / "mine.toml")
    for path in ("sub-01/eeg/sub-01_task-listen_eeg.edf", "sub-02/eeg/sub-02_task-listen_eeg.vhdr"):
        (cut,) = pipelines.cut(root / path, recipe)
        assert cut.scale.tolist() == [recipe.quantum_uv, 0, recipe.quantum_uv]
        of_set = of_recording(made, path)
        assert len(of_set) == len(cut.windows) > 0
        for window, sample in zip(cut.windows, of_set, strict=True):
            np.testing.assert_array_equal(window.counts, sample.counts)
            assert (window.start_s, window.label) == (sample.start_s, sample.fields["label"])


@pytest.mark.parametrize(
    ("seconds", "channels", "said"),
    [(1.0, ["C3", "Cz", "C4"], "shorter than a window"), (12.0, ["X1", "X2"], "no usable electrode")],
)
def test_file_of_no_use_is_refused_in_one_line(tmp_path: Path, seconds: float, channels: list[str], said: str) -> None:
    (tmp_path / "mine.toml").write_text(OWN)
    path = write_edf(tmp_path / "a.edf", noise_uv(channels, seconds, 256), 256, [(0.1, 0.1, "soft")])
    with pytest.raises(DareError, match=rf"a\.edf: .*{said}.*; cut another file, or this one by another recipe$"):
        list(pipelines.cut(path, recipes.load("mine", file=tmp_path / "mine.toml")))


def test_file_that_tells_no_class_is_refused_where_there_are_classes(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "nameless.edf", noise_uv(["EEG Fp1", "EEG C3"], 12, 500), 500)
    with pytest.raises(DareError, match=r"nameless\.edf: .*tells no class; name it as the corpus does, or"):
        list(pipelines.cut(path, recipes.load("eegmat")))


@pytest.mark.parametrize("corpus", ["chbmit", "physionetmi", "seed", "seediv", "sleepedf", "tuar", "tusl", "tusz"])
def test_file_of_which_nothing_tells_the_labels_lacks_them_and_is_not_damaged(tmp_path: Path, corpus: str) -> None:
    recipe = recipes.load(corpus)
    path = write_edf(tmp_path / "nameless.edf", noise_uv(list(recipe.electrodes), 40, 250), 250)
    with pytest.raises(MissingError, match=r"nameless\.edf: "):
        list(pipelines.cut(path, recipe))
    (cut,) = pipelines.cut(path, recipe.model_copy(update={"classes": ()}))
    assert cut.windows


def test_labels_that_lie_beside_a_file_are_found(raw: Path, shards: Path) -> None:
    path = next(raw.glob("tuev/**/train/**/*.edf"))
    (cut,) = pipelines.cut(
        path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path, recipes.load("tuev")
    )
    expected = of_recording(shards / "tuev", path.relative_to(raw / "tuev").as_posix())
    assert [(one.start_s, one.label) for one in cut.windows] == [(one.start_s, one.fields["label"]) for one in expected]


def test_labels_that_do_not_lie_beside_a_file_are_asked_for(raw: Path, tmp_path: Path) -> None:
    alone = shutil.copy(next(raw.glob("bcic2b/**/B0104E.gdf")), tmp_path)
    with pytest.raises(
        MissingError, match=r"B0104E\.gdf: true labels: .*; put its labels where the corpus has them, or cut"
    ):
        list(pipelines.cut(alone, recipes.load("bcic2b")))


def test_labels_that_lie_in_a_table_of_the_tree_are_asked_for_in_vain(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(OWN.replace('"annotations"', '"events"'))
    path = write_edf(tmp_path / "a.edf", noise_uv(["C3", "Cz", "C4"], 12, 256), 256)
    with pytest.raises(DareError, match=r"a\.edf: its labels are in a table, .*: preprocess its tree"):
        list(pipelines.cut(path, recipes.load("mine", file=str(tmp_path / "mine.toml"))))


@pytest.mark.parametrize("name", ["nowhere.edf", "."])
def test_what_is_no_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DareError, match="cannot be "):
        list(pipelines.cut(tmp_path / name, recipes.load("tuab", "pretrain")))


def test_pipelines_is_light_until_something_is_cut() -> None:
    code = "import sys, pipelines; print({'scipy', 'mne'} & set(sys.modules)); pipelines.cut; pipelines.slice"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "set()\n"
    assert "module 'pipelines' has no attribute 'slice'" in done.stderr
