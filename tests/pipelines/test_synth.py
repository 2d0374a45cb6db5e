"""The synthetic corpora, read back with the readers the real ones are read with."""

import hashlib
import re
from collections import Counter
from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.signal import welch

from manifests.errors import DareError
from pipelines import synth
from pipelines.synth.gdf_writer import Event, write_gdf
from tests.judges import TEN_TWENTY_19, read_raw, scalp_uv

pytestmark = pytest.mark.slow

SIZES = {"tuab": (16, 40.0), "tuev": (5, 30.0), "bcic2b": (5, 64.0), "physionetmi": (3, 20.0)}
SMALLEST = {
    "tuab": (4, 10.0),
    "tuev": (4, 30.0),
    "bcic2a": (1, 10.0),
    "bcic2a-bnci": (1, 10.0),
    "bcic2b": (1, 10.0),
    "bcic2b-bnci": (1, 10.0),
    "physionetmi": (1, 20.0),
    "hgd": (1, 31.0),
    "sleepedf": (1, 10.0),
    "chbmit": (1, 40.0),
}
TUH_STRICT_23 = "FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 A1 A2 FZ CZ PZ T1 T2"
TUH_EXTRAS = {"EEG EKG1-REF", "EEG ROC-REF", "EEG LOC-REF", "EEG 26-REF", "EMG-REF", "PHOTIC-REF"}
TUH_TRENDS = {"IBI", "BURSTS", "SUPPR"}
CUES = {"769", "770", "783"}


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("synth")
    for corpus, (subjects, seconds) in SIZES.items():
        synth.write(corpus, root / corpus, subjects, seconds, 0)
    return {corpus: root / corpus for corpus in SIZES}


def files(root: Path, suffix: str) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.suffix == suffix)


def cues(raw: mne.io.BaseRaw) -> list[tuple[int, str]]:
    return [
        (round(note["onset"] * raw.info["sfreq"]), note["description"])
        for note in raw.annotations
        if note["description"] in CUES
    ]


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def spectrum(samples: NDArray[np.float64], sfreq: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return welch(samples, sfreq, nperseg=round(4 * sfreq))


def peak_ratio(samples: NDArray[np.float64], sfreq: float, hz: float, reach_hz: float = 0.5) -> float:
    """Power at a frequency over the power two to five hertz away."""
    frequencies, power = spectrum(samples, sfreq)
    distance = np.abs(frequencies - hz)
    around = (distance >= 2.0) & (distance <= 5.0)
    return float(power[..., distance <= reach_hz].max() / np.median(power[..., around]))


class TestDoor:
    def test_an_unknown_corpus_is_answered_with_the_known_ones(self, tmp_path: Path) -> None:
        with pytest.raises(DareError, match="tuab, tuev, bcic2b, physionetmi"):
            synth.write("tuaab", tmp_path / "out", 4, 30.0, 0)

    def test_a_folder_in_use_is_refused_and_left_as_it_was(self, tmp_path: Path) -> None:
        (tmp_path / "precious.edf").write_bytes(b"mine")
        with pytest.raises(DareError, match=re.escape(str(tmp_path))):
            synth.write("tuab", tmp_path, 4, 30.0, 0)
        assert [path.name for path in tmp_path.iterdir()] == ["precious.edf"]

    @pytest.mark.parametrize(
        ("corpus", "subjects", "seconds"),
        [
            ("tuab", 3, 60.0),
            ("tuev", 3, 60.0),
            ("bcic2b", 10, 60.0),
            ("physionetmi", 0, 60.0),
            ("tuev", 4, 29.0),
            ("tuab", 4, float("nan")),
        ],
    )
    def test_what_a_corpus_cannot_hold_is_refused(
        self, corpus: str, subjects: int, seconds: float, tmp_path: Path
    ) -> None:
        with pytest.raises(DareError, match=corpus):
            synth.write(corpus, tmp_path / "out", subjects, seconds, 0)
        assert not (tmp_path / "out").exists()

    @pytest.mark.slow
    @pytest.mark.parametrize(("corpus", "size"), SMALLEST.items())
    def test_same_arguments_same_bytes_and_another_seed_other_signals(
        self, corpus: str, size: tuple[int, float], tmp_path: Path
    ) -> None:
        written = synth.write(corpus, tmp_path / "first", *size, 7)
        synth.write(corpus, tmp_path / "again", *size, 7)
        synth.write(corpus, tmp_path / "other", *size, 8)
        first, again, other = (digests(tmp_path / name) for name in ("first", "again", "other"))
        assert sorted(path.relative_to(tmp_path / "first").as_posix() for path in written) == sorted(first)
        assert first == again
        assert first.keys() == other.keys()
        signals = [name for name in first if name.endswith((".edf", ".gdf"))]
        assert all(first[name] != other[name] for name in signals)


class TestEveryCorpus:
    @pytest.mark.parametrize("corpus", SIZES)
    def test_mne_reads_microvolts_of_a_human_size(self, corpus: str, corpora: dict[str, Path]) -> None:
        paths = files(corpora[corpus], ".edf") + files(corpora[corpus], ".gdf")
        assert paths
        for path in paths:
            channels = scalp_uv(path)
            wanted = [samples for name, samples in channels.items() if name in TEN_TWENTY_19]
            assert len(wanted) in (3, 19)
            assert 5.0 < np.median(np.std(wanted, axis=1)) < 100.0

    @pytest.mark.slow
    @pytest.mark.parametrize("corpus", ["tuab", "tuev", "physionetmi"])
    def test_the_alpha_rhythm_is_at_the_back_of_the_head(self, corpus: str, corpora: dict[str, Path]) -> None:
        ratios = []
        for path in files(corpora[corpus], ".edf"):
            raw, channels = read_raw(path), scalp_uv(path)
            frequencies, back = spectrum((channels["O1"] + channels["O2"]) / 2, raw.info["sfreq"])
            _, front = spectrum((channels["F3"] + channels["F4"]) / 2, raw.info["sfreq"])
            alpha = (frequencies >= 7.5) & (frequencies <= 12.0)
            flank = (frequencies >= 14.0) & (frequencies <= 18.0)
            assert back[alpha].max() > 5 * back[flank].mean()
            ratios.append(back[alpha].mean() / front[alpha].mean())
        assert np.median(ratios) > 2.0

    @pytest.mark.slow
    @pytest.mark.parametrize("corpus", ["tuab", "tuev", "physionetmi"])
    def test_american_recordings_carry_60_hz(self, corpus: str, corpora: dict[str, Path]) -> None:
        for path in files(corpora[corpus], ".edf"):
            sfreq = read_raw(path).info["sfreq"]
            assert peak_ratio(scalp_uv(path)["CZ"], sfreq, 60.0) > 4.0

    def test_the_graz_amplifier_takes_50_hz_out(self, corpora: dict[str, Path]) -> None:
        for path in files(corpora["bcic2b"], ".gdf"):
            samples = read_raw(path).get_data()[1] * 1e6
            assert peak_ratio(samples[samples > samples.min()], 250.0, 50.0) < 4.0

    def test_neighbouring_electrodes_agree_more_than_distant_ones(self, corpora: dict[str, Path]) -> None:
        channels = scalp_uv(files(corpora["physionetmi"], ".edf")[0])
        near = np.corrcoef(channels["C3"], channels["C1"])[0, 1]
        far = np.corrcoef(channels["C3"], channels["F8"])[0, 1]
        assert near > far + 0.2


class TestTuab:
    TREE = re.compile(r"edf/(train|eval)/(normal|abnormal)/01_tcp_ar/([a-z]{8})_s(\d{3})_t(\d{3})\.edf")

    def cells(self, root: Path) -> list[tuple[str, str, str]]:
        matches = [self.TREE.fullmatch(path.relative_to(root).as_posix()) for path in files(root, ".edf")]
        assert all(matches)
        return [(match[1], match[2], match[3]) for match in matches if match]

    @pytest.mark.parametrize("subjects", [4, 5, 16])
    def test_each_class_in_each_split_and_one_train_subject_in_both(self, subjects: int, tmp_path: Path) -> None:
        synth.write("tuab", tmp_path, subjects, 10.0, 0)
        cells = self.cells(tmp_path)
        assert {(split, label) for split, label, _ in cells} == {
            (split, label) for split in ("train", "eval") for label in ("normal", "abnormal")
        }
        train = {name for split, _, name in cells if split == "train"}
        evaluation = {name for split, _, name in cells if split == "eval"}
        assert not train & evaluation
        assert len(train | evaluation) == subjects
        normal, abnormal = ({name for _, label, name in cells if label == side} for side in ("normal", "abnormal"))
        assert len(normal & abnormal) == 1
        assert normal & abnormal <= train

    def test_labels_rates_and_order(self, corpora: dict[str, Path]) -> None:
        paths = files(corpora["tuab"], ".edf")
        raws = [read_raw(path) for path in paths]
        wanted = {f"EEG {name}-REF" for name in TUH_STRICT_23.split()} | TUH_EXTRAS | TUH_TRENDS
        assert all(set(raw.ch_names) == wanted and len(raw.ch_names) == len(wanted) for raw in raws)
        assert len({tuple(raw.ch_names) for raw in raws}) == len(raws)
        assert Counter(raw.info["sfreq"] for raw in raws) == {250.0: len(raws) - 1, 256.0: 1}
        assert {raw.n_times / raw.info["sfreq"] for raw in raws} == {SIZES["tuab"][1]}

    def test_header_is_plain_edf_with_a_birth_in_the_year_0(self, corpora: dict[str, Path]) -> None:
        for path in files(corpora["tuab"], ".edf"):
            header = path.read_bytes()[: 256 * 33]
            name = path.stem[:8]
            assert re.fullmatch(rf"{name} [FM] 01-JAN-0000 {name} Age:\d+ +", header[8:88].decode("ascii"))
            assert header[192:236].strip() == b""
            rates = np.array(header[256 + 32 * 216 : 256 + 32 * 224].split(), int)
            assert sorted(set(rates.tolist())) in ([1, 250], [1, 256])
            assert Counter(rates.tolist())[1] == len(TUH_TRENDS)


class TestTuev:
    TRAIN = re.compile(r"edf/train/([a-z]{8})/\1_\d{8}\.(edf|rec)")
    EVAL = re.compile(r"edf/eval/(\d{3})/(bckg|pled|gped|spsw|eyem|artf)_\1_a_\d*\.(edf|rec)")
    NAMES = ("spsw", "gped", "pled", "eyem", "artf", "bckg")

    def rows(self, path: Path) -> NDArray[np.float64]:
        return np.loadtxt(path.with_suffix(".rec"), delimiter=",", ndmin=2)

    def test_tree(self, corpora: dict[str, Path]) -> None:
        root = corpora["tuev"]
        for path in files(root, ".edf") + files(root, ".rec"):
            name = path.relative_to(root).as_posix()
            assert self.TRAIN.fullmatch(name) or self.EVAL.fullmatch(name)
        assert not files(root, ".htk")
        assert len(files(root, ".lab")) == 22 * len(files(root, ".edf"))
        assert any(path.stem.endswith("_a_") for path in files(root, ".edf"))

    def test_rows_are_one_second_on_the_22_derivations(self, corpora: dict[str, Path]) -> None:
        for path in files(corpora["tuev"], ".rec"):
            assert all(re.fullmatch(r"\d+,\d+\.\d,\d+\.\d,[1-6]", line) for line in path.read_text().splitlines())
            rows = self.rows(path)
            assert set(rows[:, 0]) <= set(range(22))
            np.testing.assert_allclose(rows[:, 2] - rows[:, 1], 1.0)

    @pytest.mark.parametrize("split", ["train", "eval"])
    def test_all_six_classes_survive_a_five_second_window(self, split: str, corpora: dict[str, Path]) -> None:
        found: set[float] = set()
        for path in files(corpora["tuev"] / "edf" / split, ".rec"):
            rows = self.rows(path)
            inside = (rows[:, 1] >= 2.0) & (rows[:, 2] + 2.0 <= SIZES["tuev"][1])
            found |= set(rows[inside, 3])
        assert found == {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}

    def test_the_rows_hold_every_trap_of_the_real_ones(self, corpora: dict[str, Path]) -> None:
        tables = [self.rows(path) for path in files(corpora["tuev"], ".rec")]
        assert sorted(len(rows) for rows in tables)[0] == 1
        assert sorted(len(rows) for rows in tables)[1] > 1
        rows, end_s = max(tables, key=len), SIZES["tuev"][1]
        by_event = Counter((row[1], row[3]) for row in rows)
        assert max(by_event.values()) > 1
        starts = {(row[0], row[3], round(row[1] * 10)) for row in rows}
        assert any((channel, label, tenth + 1) in starts for channel, label, tenth in starts)
        labels_at = {start: {row[3] for row in rows if row[1] == start} for start in set(rows[:, 1])}
        assert max(len(labels) for labels in labels_at.values()) > 1
        assert rows[:, 1].min() < 2.0
        assert end_s in rows[:, 2]
        assert rows[:, 2].max() > end_s

    def test_lab_files_say_what_the_rec_file_says(self, corpora: dict[str, Path]) -> None:
        for path in files(corpora["tuev"], ".rec"):
            found = []
            for channel in range(22):
                for line in path.with_name(f"{path.stem}_ch{channel:03d}.lab").read_text().splitlines():
                    start, stop, name = line.split()
                    found.append((channel, int(start) / 1e5, int(stop) / 1e5, self.NAMES.index(name) + 1))
            np.testing.assert_allclose(sorted(found), sorted(map(tuple, self.rows(path))))

    def test_no_subject_of_the_abnormal_corpus_is_here(self, corpora: dict[str, Path]) -> None:
        abnormal = {path.name[:8] for path in files(corpora["tuab"], ".edf")}
        events = {path.name[:8] for path in files(corpora["tuev"] / "edf" / "train", ".edf")}
        assert not abnormal & events


class TestBcic2b:
    def test_names_and_labels(self, corpora: dict[str, Path]) -> None:
        wanted = {f"B{number:02d}{name}" for number in range(1, 6) for name in ("01T", "02T", "03T", "04E", "05E")}
        assert {path.stem for path in files(corpora["bcic2b"], ".gdf")} == wanted
        assert {path.stem for path in files(corpora["bcic2b"] / "true_labels", ".mat")} == wanted

    def test_channels_and_events(self, corpora: dict[str, Path]) -> None:
        for path in files(corpora["bcic2b"], ".gdf"):
            raw = read_raw(path)
            assert raw.ch_names == ["EEG:C3", "EEG:Cz", "EEG:C4", "EOG:ch01", "EOG:ch02", "EOG:ch03"]
            assert raw.info["sfreq"] == 250.0
            codes = set(raw.annotations.description)
            calibration = set() if path.stem in ("B0102T", "B0504E") else {"276", "277", "1072"}
            cue = {"769", "770"} if path.stem.endswith("T") else {"783"}
            feedback = set() if path.stem[3:] in ("01T", "02T") else {"781"}
            assert codes == {"32766", "768", "1023"} | calibration | cue | feedback

    def test_every_cue_has_a_label_and_cues_that_tell_agree(self, corpora: dict[str, Path]) -> None:
        for path in files(corpora["bcic2b"], ".gdf"):
            labels = loadmat(path.parent / "true_labels" / f"{path.stem}.mat")["classlabel"]
            assert labels.dtype == np.uint8
            assert labels.shape == (max(8, int(SIZES["bcic2b"][1] // 8)), 1)
            assert Counter(labels.ravel().tolist()) == {1: len(labels) // 2, 2: len(labels) // 2}
            found = cues(read_raw(path))
            assert len(found) == len(labels)
            if path.stem.endswith("T"):
                assert [{"769": 1, "770": 2}[code] for _, code in found] == labels.ravel().tolist()

    def test_cues_come_three_seconds_into_a_trial_with_four_to_follow(self, corpora: dict[str, Path]) -> None:
        for path in files(corpora["bcic2b"], ".gdf"):
            raw = read_raw(path)
            onsets = np.rint(raw.annotations.onset * 250).astype(int)
            at = {code: onsets[raw.annotations.description == code] for code in ("768", "1023", "32766")}
            cue = np.array([sample for sample, _ in cues(raw)])
            np.testing.assert_array_equal(cue - at["768"], 750)
            assert set(at["1023"]) <= set(at["768"])
            borders = np.append(at["32766"][1:] - 100, raw.n_times)
            assert all(sample + 1000 <= borders[borders > sample].min() for sample in cue)

    def test_runs_are_parted_by_100_samples_at_the_digital_minimum(self, corpora: dict[str, Path]) -> None:
        for path in files(corpora["bcic2b"], ".gdf"):
            raw = read_raw(path)
            signal_uv = raw.get_data() * 1e6
            starts = np.rint(raw.annotations.onset[raw.annotations.description == "32766"] * 250).astype(int)
            expected = np.zeros(raw.n_times, bool)
            for start in starts[1:]:
                expected[start - 100 : start] = True
            limits = np.array([-100.0] * 3 + [-1000.0] * 3)[:, None]
            np.testing.assert_array_equal(
                np.isclose(signal_uv, limits, atol=1e-6), np.broadcast_to(expected, signal_uv.shape)
            )


class TestGdfWriter:
    def test_mne_reads_back_within_half_a_step_and_events_to_the_sample(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        signal_uv = rng.uniform(-99.0, 99.0, (2, 1003))
        events = [Event(0, 32766), Event(0, 768), Event(17, 1023), Event(1002, 770)]
        write_gdf(tmp_path / "a.gdf", ["EEG:C3", "EOG:ch01"], np.array([100.0, 1000.0]), signal_uv, 250, events)
        raw = read_raw(tmp_path / "a.gdf")
        half_step_uv = np.array([100.0, 1000.0])[:, None] / 65535
        assert (np.abs(raw.get_data() * 1e6 - signal_uv) <= half_step_uv * (1 + 1e-6)).all()
        assert [(round(note["onset"] * 250), int(note["description"])) for note in raw.annotations] == events

    def test_missing_is_the_digital_minimum_and_no_sample_is_mistaken_for_it(self, tmp_path: Path) -> None:
        signal_uv = np.array([[0.0, np.nan, -500.0, 500.0]])
        write_gdf(tmp_path / "a.gdf", ["EEG:C3"], np.array([100.0]), signal_uv, 250, [Event(0, 32766)])
        digital = np.frombuffer((tmp_path / "a.gdf").read_bytes(), "<i2", count=4, offset=512)
        assert digital[1:].tolist() == [-32768, -32767, 32767]


class TestPhysionetmi:
    def test_tree_rates_and_official_labels(self, corpora: dict[str, Path]) -> None:
        root = corpora["physionetmi"]
        wanted = {f"S{number:03d}/S{number:03d}R{run:02d}.edf" for number in (1, 2, 3) for run in range(1, 15)}
        assert {path.relative_to(root).as_posix() for path in files(root, ".edf")} == wanted
        for path in files(root, ".edf"):
            raw = read_raw(path)
            assert raw.info["sfreq"] == (128.0 if path.parent.name == "S003" else 160.0)
            assert len(raw.ch_names) == 64
            assert (raw.ch_names[:2], raw.ch_names[8], raw.ch_names[42:44]) == (
                ["Fc5.", "Fc3."],
                "C3..",
                ["T9..", "T10."],
            )
            assert path.read_bytes()[192:197] == b"EDF+C"
            mne.datasets.eegbci.standardize(raw)

    def test_annotations_by_run(self, corpora: dict[str, Path]) -> None:
        for path in files(corpora["physionetmi"], ".edf"):
            notes = read_raw(path).annotations
            if path.stem.endswith(("R01", "R02")):
                assert [(note["onset"], note["duration"], note["description"]) for note in notes] == [(0, 20, "T0")]
            else:
                assert notes.description.tolist()[::2] == ["T0", "T0"]
                assert sorted(notes.description.tolist()[1::2]) == ["T1", "T2"]
                np.testing.assert_allclose(notes.duration, [4.2, 4.1, 4.2, 4.1])
                assert notes.onset[-1] + 4.1 <= 20.0
