"""CHB-MIT: seizures from free-text summaries, derivations by name, and one girl who is two cases."""

from collections import Counter
from pathlib import Path

import mne
import numpy as np
import pytest
from scipy.signal import welch

from manifests import recipe as recipes
from manifests.errors import DareError
from manifests.plan import RawRecording
from pipelines import synth
from pipelines.corpora import CORPORA
from pipelines.recording import Recording, Segment
from tests.commands import dare, preprocess, preprocess_by_hand, recordings
from tests.commands import plan as planned
from tests.judges import conditioned_uv, noise_uv, of_recording, samples, seconds, write_edf

SIXTEEN = recipes.load("chbmit").electrodes
ENTRY = "File Name: chb05_01.edf\n"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    synth.write("chbmit", folder / "chbmit", 2, 65.0, 0)
    return folder / "chbmit"


@pytest.fixture(scope="module")
def shards(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return preprocess("chbmit", raw, tmp_path_factory.mktemp("shards"))


def listed(raw: Path) -> dict[str, list[tuple[int, int]]]:
    """Return the seizures of every recording, line by line and with no regular expression."""
    found: dict[str, list[tuple[int, int]]] = {}
    for summary in raw.rglob("*-summary.txt"):
        for line in summary.read_text().splitlines():
            what, _, value = line.partition(":")
            if what == "File Name":
                spans = found.setdefault(value.strip(), [])
            elif what.endswith("Start Time") and "Seizure" in what:
                start = int(value.split()[0])
            elif what.endswith("End Time") and "Seizure" in what:
                spans.append((start, int(value.split()[0])))
    return found


def seizures(text: str, name: str = "chb05_01.edf") -> list[float]:
    """Return the starts of the windows of an hour that a summary makes seizures."""
    recording = Recording(("FZ",), np.zeros((1, 0), np.float32), 256.0, (), (Segment(0, 3600 * 256, 0.0),), ())
    source = RawRecording(path=f"chb05/{name}", subject="chbmit:05", session="05_01", label_file="chb05-summary.txt")
    cues, _ = CORPORA["chbmit"].cues(source, recording, text.encode(), recipes.load("chbmit"))
    assert [cue.onset_s for cue in cues] == [10.0 * number for number in range(360)]
    return [cue.onset_s for cue in cues if cue.label == 1]


def test_windows_that_overlap_a_seizure_are_seizure_and_the_rest_background(raw: Path, shards: Path) -> None:
    spans = listed(raw)
    assert Counter(map(len, spans.values())) == {0: 3, 1: 3, 2: 3}
    rows = recordings(shards)
    assert {Path(path).name for path in rows} == set(spans)
    for path, row in rows.items():
        got = of_recording(shards, path)
        assert [one.start_s for one in got] == [10.0 * number for number in range(int(seconds(raw / path) // 10))]
        for one in got:
            hit = any(one.start_s < stop and start < one.start_s + 10 for start, stop in spans[Path(path).name])
            assert one.label_name == ("seizure" if hit else "background")
        assert row["windows"] == 6
        assert row["outcome"] == "ok"


def test_signal_is_that_of_mne_and_of_two_derivations_alike_the_first(raw: Path, shards: Path) -> None:
    expected = conditioned_uv(raw / "chb01" / "chb01_02.edf", SIXTEEN, (0.1, 75), 60, 256)
    for one in of_recording(shards, "chb01/chb01_02.edf"):
        start = round(one.start_s * 256)
        np.testing.assert_allclose(one.data_uv, expected[:, start : start + 2560], atol=0.05)
    assert (
        "channel 'T8-P8' repeats an electrode: its signal is the same"
        in recordings(shards)["chb01/chb01_02.edf"]["reason"]
    )


def test_case_21_is_the_girl_of_case_1(shards: Path) -> None:
    rows = recordings(shards)
    assert {path.split("/")[0]: row["subject"] for path, row in rows.items()} == {
        "chb01": "chbmit:01",
        "chb02": "chbmit:02",
        "chb21": "chbmit:01",
    }
    assert len({row["session"] for row in rows.values()}) == len(rows)


def test_odd_names_are_recordings_of_their_case() -> None:
    names = ["chb02/chb02_16+.edf", "chb17/chb17a_03.edf", "chb17/chb17c_13.edf", "chb02/chb02_16.edf"]
    others = ["chb02/chb02_16.edf.seizures", "chb17/chb17-summary.txt", "chb1/chb1_1.edf"]
    found = CORPORA["chbmit"].find(sorted(names + others), recipes.load("chbmit"))
    assert [(one.path, one.subject, one.label_file) for one in found] == [
        ("chb02/chb02_16+.edf", "chbmit:02", ""),
        ("chb02/chb02_16.edf", "chbmit:02", ""),
        ("chb17/chb17a_03.edf", "chbmit:17", "chb17/chb17-summary.txt"),
        ("chb17/chb17c_13.edf", "chbmit:17", "chb17/chb17-summary.txt"),
    ]
    assert found[0].lacks is not None
    assert found[0].lacks.text == "seizures: there is no chb02-summary.txt below --src"


@pytest.mark.parametrize(
    "text",
    [
        "Number of Seizures in File: 1\nSeizure Start Time: 417 seconds\nSeizure End Time: 425 seconds\n",
        "Number of Seizures in File: 1\nSeizure 1 Start Time:      417 seconds\nSeizure 1 End Time:  425 seconds\n",
        "File Start Time: 17:20:05\r\nFile End Time: 18:20:15\r\nNumber of Seizures in File: 1\r\n"
        "Seizure Start Time : 417 seconds\r\nSeizure End Time: 425 seconds\r\n",
    ],
)
def test_seizures_are_found_however_they_are_spelt(text: str) -> None:
    assert seizures(ENTRY + text + "\nFile Name: chb05_02.edf\nNumber of Seizures in File: 0\n") == [410.0, 420.0]


def test_seizure_that_ends_with_a_window_does_not_reach_the_next() -> None:
    assert seizures(f"{ENTRY}Number of Seizures in File: 1\nSeizure Start Time: 20 s\nSeizure End Time: 30 s") == [20.0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("File Name: chb05_02.edf\nNumber of Seizures in File: 0\n", "does not name it"),
        (f"{ENTRY}Number of Seizures in File: 1\n", "counts 1 seizures in chb05_01.edf and lists 0 starts and 0 ends"),
        (f"{ENTRY}Number of Seizures in File: 1\nSeizure Start Time: 4 seconds\n", "1 starts and 0 ends"),
        (ENTRY, "does not count the seizures in chb05_01.edf"),
        ("", "does not name it"),
    ],
)
def test_summary_that_leaves_seizures_unknown_is_refused(text: str, said: str) -> None:
    with pytest.raises(DareError, match=said):
        seizures(text)


def test_real_summaries_give_the_real_seizures(real: Path) -> None:
    text = (real / "chbmit_layout_noise" / "chb08" / "chb08-summary.txt").read_text()
    assert seizures(text, "chb08_02.edf") == [10.0 * number for number in range(267, 285)]
    assert seizures(text, "chb08_03.edf") == []


def test_recording_too_short_for_a_window_says_so(real: Path) -> None:
    rows = planned("chbmit", real / "chbmit_layout_noise")["recordings"]
    assert [row["path"] for row in rows] == [f"chb05/chb05_{number}.edf" for number in ("01", "06", "13")]
    assert {row["outcome"] for row in rows} == {"skipped"}
    assert {row["reason"] for row in rows} == {"lasts 2 s, shorter than a window of 10 s"}
    assert all(len(row["channel_map"]) == 16 for row in rows)


def test_recording_of_another_montage_is_skipped_by_what_it_lacks(tmp_path: Path) -> None:
    summary = "".join(f"File Name: chb12_0{number}.edf\nNumber of Seizures in File: 0\n\n" for number in (1, 2))
    for number, labels in ((1, SIXTEEN), (2, ("-", "F7-CS2", *SIXTEEN[2:]))):
        write_edf(tmp_path / "raw" / "chb12" / f"chb12_0{number}.edf", noise_uv(labels, 20, 256), 256)
    (tmp_path / "raw" / "chb12" / "chb12-summary.txt").write_text(summary)
    rows = recordings(preprocess("chbmit", tmp_path / "raw", tmp_path / "out"))
    assert (rows["chb12/chb12_01.edf"]["outcome"], rows["chb12/chb12_01.edf"]["windows"]) == ("ok", 2)
    assert rows["chb12/chb12_02.edf"]["outcome"] == "skipped"
    assert rows["chb12/chb12_02.edf"]["reason"].startswith("lacks FP1-F7, F7-T7")


def test_case_without_a_summary_fails_and_the_others_go_on(raw: Path, tmp_path: Path) -> None:
    for case in ("chb01", "chb02"):
        (tmp_path / "raw" / case).mkdir(parents=True)
        for path in (raw / case).glob("*.edf"):
            (tmp_path / "raw" / case / path.name).symlink_to(path)
    (tmp_path / "raw" / "chb01" / "chb01-summary.txt").symlink_to(raw / "chb01" / "chb01-summary.txt")
    options = ("--out", tmp_path / "out", "--workers", 1, "--strict")
    answer = dare("preprocess", "chbmit", "--src", tmp_path / "raw", *options)
    assert answer.status == 1
    outcomes = {path: (row["outcome"], row["reason"]) for path, row in recordings(tmp_path / "out" / "chbmit").items()}
    assert {path for path, (outcome, _) in outcomes.items() if outcome == "failed"} == {
        f"chb02/chb02_{name}.edf" for name in ("01", "16", "16+")
    }
    assert "there is no chb02-summary.txt" in outcomes["chb02/chb02_01.edf"][1]


def test_recording_read_in_pieces_gives_the_same_windows(raw: Path, shards: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in pieces"
    preprocess_by_hand("chbmit", raw, folder, piece_samples=16 * 256 * 25, piece_grid_s=10.0)
    found, expected = samples(folder), samples(shards)
    assert [(key, one.label_name) for key, one in found.items()] == [
        (key, one.label_name) for key, one in expected.items()
    ]


def test_synthetic_recordings_have_the_traps_of_the_real_ones(raw: Path) -> None:
    names = sorted(path.relative_to(raw).as_posix() for path in raw.rglob("*.edf"))
    assert names == [
        *(f"chb01/chb01_0{number}.edf" for number in (1, 2, 3)),
        *(f"chb02/chb02_{name}.edf" for name in ("01", "16+", "16")),
        *(f"chb21/chb21_0{number}.edf" for number in (1, 2, 3)),
    ]
    labels = {name: mne.io.read_raw_edf(raw / name, verbose="error").ch_names for name in names}
    assert all({"T8-P8-0", "T8-P8-1"} <= set(found) for found in labels.values())
    assert sum(name.startswith("-") for name in labels["chb02/chb02_01.edf"]) == 4
    assert len(labels["chb01/chb01_01.edf"]) == 23


def test_seizures_are_plain_to_see(shards: Path) -> None:
    power = {"background": [], "seizure": []}
    for one in samples(shards).values():
        frequencies, density = welch(one.data_uv, 256, nperseg=512)
        slow = np.log(density[:, (frequencies >= 2) & (frequencies <= 7)].mean(axis=1))
        power[one.label_name].append(slow.max())
    assert np.median(power["seizure"]) > np.median(power["background"]) + 0.5
