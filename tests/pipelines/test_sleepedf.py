"""Sleep-EDF: hypnograms beside nights, what of them becomes windows, and how much wake is kept."""

import re
import shutil
from collections import Counter
from pathlib import Path

import mne
import numpy as np
import pytest
from scipy.signal import welch

from manifests import recipe as recipes
from manifests.notes import text
from manifests.plan import RawRecording
from pipelines import synth
from pipelines.corpora import CORPORA
from pipelines.recording import Recording
from tests.commands import manifest, plan_of, preprocess, preprocess_by_hand, recordings
from tests.judges import of_recording, samples

pytestmark = pytest.mark.slow

STAGES = {"W": "W", "1": "N1", "2": "N2", "3": "N3", "4": "N3", "R": "R"}
NOTHING = Recording((), np.empty((0, 0), np.float32), 100.0, (), (), ())


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    synth.write("sleepedf", folder / "sleepedf", 4, 60.0, 0)
    return folder / "sleepedf"


@pytest.fixture(scope="module")
def shards(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return preprocess("sleepedf", raw, tmp_path_factory.mktemp("shards"))


def hypnogram(psg: Path) -> Path:
    (found,) = psg.parent.glob(f"{psg.name[:7]}?-Hypnogram.edf")
    return found


def epochs(path: Path) -> list[tuple[float, str]]:
    """Return (start in s, stage) of every half minute of a hypnogram, as MNE reads it."""
    found = []
    for one in mne.read_annotations(path):
        name = one["description"].removeprefix("Sleep stage ")
        found += [(one["onset"] + 30.0 * number, STAGES.get(name, "")) for number in range(round(one["duration"] / 30))]
    return found


def test_windows_are_the_scored_epochs_that_mne_finds(raw: Path, shards: Path) -> None:
    rows = recordings(shards)
    assert len(rows) == 8
    for path, row in rows.items():
        expected = [one for one in epochs(hypnogram(raw / path)) if one[1]]
        got = of_recording(shards, path)
        assert [(one.start_s, one.label_name) for one in got] == expected
        assert row["windows"] == len(expected)
        assert "1 windows are Movement time: dropped; 4 windows are Sleep stage ?: dropped" in row["reason"]
        assert row["channel_map"] == {"FPZ-CZ": "EEG Fpz-Cz", "PZ-OZ": "EEG Pz-Oz"}
        assert row["sfreq"] == 100
    assert set(manifest(shards)["splits"]["train"]["labels"]) == set(STAGES.values())


def test_signal_is_the_derivation_at_its_own_rate(raw: Path, shards: Path) -> None:
    path = "sleep-cassette/SC4001E0-PSG.edf"
    recording = mne.io.read_raw_edf(raw / path, include=["EEG Fpz-Cz", "EEG Pz-Oz"], preload=True, verbose="error")
    assert recording.info["sfreq"] == 100
    expected = 1e6 * recording.filter(0.1, 45, verbose="error").get_data()
    for one in of_recording(shards, path):
        start = round(one.start_s * 100)
        assert one.counts.shape == (2, 3000)
        np.testing.assert_allclose(one.data_uv, expected[:, start : start + 3000], atol=0.1)


@pytest.mark.parametrize(("margin_s", "kept"), [(0, 0), (60, 2), (100, 3), (1e6, 6)])
def test_only_wake_near_sleep_is_kept_and_the_rest_is_counted(
    raw: Path, tmp_path: Path, margin_s: float, kept: int
) -> None:
    options = ("--set", f"wake_margin_s={margin_s}", "--subjects", "SC00")
    folder = preprocess("sleepedf", raw, tmp_path, *options)
    # Six epochs of wake come before sleep, and six after it.
    for path, row in recordings(folder).items():
        found = of_recording(folder, path)
        awake = [one.start_s for one in found if one.label_name == "W"]
        all_awake = [start_s for start_s, stage in epochs(hypnogram(raw / path)) if stage == "W"]
        assert awake == all_awake[6 - kept : 6 + kept]
        told = f"{12 - 2 * kept} windows of wake are more than {margin_s:g} s from sleep: dropped"
        assert (told in row["reason"]) == (kept < 6)


def test_real_hypnogram_gives_the_published_number_of_epochs(real: Path) -> None:
    path = real / "formats" / "SC4001EC-Hypnogram.edf"
    source = RawRecording(path="SC4001E0-PSG.edf", subject="sleepedf:SC00", session="N1", label_file=path.name)
    recipe = recipes.load("sleepedf")
    cues, notes = CORPORA["sleepedf"].cues(source, NOTHING, path.read_bytes(), recipe)
    assert Counter(recipe.classes[one.label] for one in cues) == {"W": 188, "N1": 58, "N2": 250, "N3": 220, "R": 125}
    assert text(notes) == (
        "230 windows are Sleep stage ?: dropped; 1809 windows of wake are more than 1800 s from sleep: dropped"
    )


def test_hypnogram_that_ends_before_the_night_is_told_of(raw: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(raw, tmp_path / "raw")
    scored = sorted(copied.rglob("SC*-Hypnogram.edf"))[0]
    content = scored.read_bytes()
    *_, last = re.finditer(rb"\+\d+\x15\d+\x14Sleep stage [W1234R]\x14", content)
    scored.write_bytes(content[: last.start()])
    rows = recordings(preprocess("sleepedf", copied, tmp_path / "out", "--set", "wake_margin_s=1e6"))
    told = {path for path, row in rows.items() if "before the signal: is the hypnogram whole?" in row["reason"]}
    assert {Path(path).name[:7] for path in told} == {scored.name[:7]}


def test_night_read_in_pieces_gives_the_same_windows(raw: Path, shards: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in pieces"
    preprocess_by_hand("sleepedf", raw, folder, limit=4, piece_samples=2 * 100 * 450)
    kept = recordings(folder)
    assert any(row["pieces"] > 1 for row in plan_of(folder)["recordings"])
    expected = {key: one for key, one in samples(shards).items() if one.fields["recording"] in kept}
    found = samples(folder)
    assert [(key, one.start_s, one.label_name) for key, one in found.items()] == [
        (key, one.start_s, one.label_name) for key, one in expected.items()
    ]


def test_nights_and_hypnograms_are_matched_by_their_first_seven_letters() -> None:
    paths = [
        "sleep-cassette/SC4001E0-PSG.edf",
        "sleep-cassette/SC4001EC-Hypnogram.edf",
        "sleep-cassette/SC4002E0-PSG.edf",
        "sleep-cassette/SC4002EH-Hypnogram.edf",
        "sleep-telemetry/ST7011J0-PSG.edf",
        "sleep-telemetry/ST7012JP-Hypnogram.edf",
    ]
    found = CORPORA["sleepedf"].find(paths, recipes.load("sleepedf"))
    assert [(one.path, one.subject, one.session, one.label_file) for one in found] == [
        (paths[0], "sleepedf:SC00", "N1", paths[1]),
        (paths[2], "sleepedf:SC00", "N2", paths[3]),
        (paths[4], "sleepedf:ST01", "N1", ""),
    ]
    assert found[0].lacks is found[1].lacks is None
    assert found[2].lacks is not None
    assert found[2].lacks.text == "stages: there is no ST7011J?-Hypnogram.edf below --src"


def test_times_of_stages_are_whatever_is_a_number_and_the_others_are_counted(raw: Path, tmp_path: Path) -> None:
    tree = tmp_path / "raw"
    shutil.copytree(raw / "sleep-cassette", tree)
    before = recordings(preprocess("sleepedf", tree, tmp_path / "before"))
    path = "SC4001E0-PSG.edf"
    scored = hypnogram(tree / path)
    content = scored.read_bytes()
    onset = re.compile(rb"\+(\d+)(?=\x15\d+\x14Sleep stage 1)")
    scored.write_bytes(onset.sub(rb"\1.", content, count=1))
    same = recordings(preprocess("sleepedf", tree, tmp_path / "same"))[path]
    assert (same["windows"], same["reason"]) == (before[path]["windows"], before[path]["reason"])
    scored.write_bytes(onset.sub(rb":\1", content, count=1))
    lost = recordings(preprocess("sleepedf", tree, tmp_path / "lost"))[path]
    assert lost["windows"] < before[path]["windows"]
    assert "1 annotations cannot be read: their onset or duration is no number" in lost["reason"]


def test_night_without_stages_fails_and_the_others_go_on(raw: Path, tmp_path: Path) -> None:
    tree = tmp_path / "raw"
    tree.mkdir()
    nights = sorted((raw / "sleep-cassette").glob("SC400*-PSG.edf"))
    for psg in nights:
        (tree / psg.name).symlink_to(psg)
    (tree / hypnogram(nights[0]).name).write_bytes(b"no stage")
    (tree / hypnogram(nights[1]).name).symlink_to(hypnogram(nights[1]))
    rows = recordings(preprocess("sleepedf", tree, tmp_path / "out"))
    assert "holds no sleep stage" in rows["SC4001E0-PSG.edf"]["reason"]
    assert [rows[psg.name]["outcome"] for psg in nights] == ["failed", "ok"]


def test_both_nights_are_on_one_side(raw: Path, tmp_path: Path) -> None:
    rows = recordings(preprocess("sleepedf", raw, tmp_path, "--set", "valid_share=0.5"))
    sides = {row["subject"]: set() for row in rows.values()}
    for row in rows.values():
        sides[row["subject"]].add(row["split"])
    assert len(sides) == 4
    assert all(len(splits) == 1 for splits in sides.values())


def test_synthetic_tree_is_the_real_one(raw: Path) -> None:
    names = sorted(path.relative_to(raw).as_posix() for path in raw.rglob("*-PSG.edf"))
    assert names == [
        *(f"sleep-cassette/SC4{subject:02d}{night}E0-PSG.edf" for subject in range(3) for night in (1, 2)),
        *(f"sleep-telemetry/ST701{night}J0-PSG.edf" for night in (1, 2)),
    ]
    assert len({hypnogram(raw / name).name[7] for name in names}) > 1
    for name in names:
        header = (raw / name).read_bytes()[: 256 * 7]
        num_channels = int(header[252:256])
        rates = np.array(header[256 + num_channels * 216 : 256 + num_channels * 224].split(), int)
        assert rates[:5].tolist() == [100, 100, 100, 1, 1]


def test_stages_show_in_their_rhythms(shards: Path) -> None:
    power = {name: [] for name in STAGES.values()}
    for one in samples(shards).values():
        frequencies, density = welch(one.data_uv, 100, nperseg=400)
        bands = [(frequencies >= low) & (frequencies < high) for low, high in ((0.5, 2), (8.5, 11.5), (12.5, 14.5))]
        power[one.label_name].append([np.log(density[:, band].mean()) for band in bands])
    delta, alpha, sigma = ({name: np.mean(found, axis=0)[k] for name, found in power.items()} for k in range(3))
    assert max(delta, key=delta.get) == "N3"
    assert max(alpha, key=alpha.get) == "W"
    assert max(sigma, key=sigma.get) == "N2"
