"""A scan says of every recording which of its channels the recipe gets, or why none of it is used."""

import errno
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import edfio
import mne
import pytest

from manifests import recipe as recipes
from manifests.electrodes import TCP_22
from manifests.errors import DareError
from manifests.plan import ScannedRecording
from pipelines import reading
from pipelines.corpora import CORPORA
from pipelines.formats.registry import files_of
from pipelines.recording import Header
from pipelines.scan import Tree, list_files, scan
from tests.judges import TEN_TWENTY_19, noise_uv, write_edf

OLD_NAMES = {"T7": "T3", "T8": "T4", "P7": "T5", "P8": "T6"}
TUAB_23 = (*TEN_TWENTY_19, "A1", "A2", "T1", "T2")
SPARE = ["PHOTIC-REF", "IBI", "EEG 20-REF", "EEG 128-REF", "EEG EKG1-REF", "PULSE RATE"]


def labels(electrodes: Sequence[str], reference: str = "REF") -> list[str]:
    """Return these electrodes as a hospital spells them."""
    return [f"EEG {OLD_NAMES.get(name, name)}-{reference}" for name in electrodes]


def place(tree: Path, name: str = "aaaaaaaa") -> Path:
    """Return where a normal recording of a patient lies."""
    return tree / "train" / "normal" / "01_tcp_ar" / f"{name}_s001_t000.edf"


def scanned(src: Path, *settings: str, corpus: str = "tuab") -> Tree:
    return scan(src, recipes.load(corpus, None, settings), lambda *_: None)


def only(src: Path, channels: Sequence[str], *settings: str) -> ScannedRecording:
    """Return what a scan says of a recording with these channels."""
    write_edf(place(src), noise_uv(channels, 10, 200), 200)
    (one,) = scanned(src, *settings).recordings
    return one


# --- channels ---------------------------------------------------------------------------------------------------------


def test_electrodes_are_found_by_their_modern_names(tmp_path: Path) -> None:
    one = only(tmp_path, [*SPARE, *labels(TUAB_23)])
    assert one.outcome == ""
    assert one.channel_map == {name: f"EEG {OLD_NAMES.get(name, name)}-REF" for name in one.channel_map}
    assert set(one.channel_map) == set(TUAB_23)


def test_derivation_is_made_of_two_channels_of_one_reference(tmp_path: Path) -> None:
    one = only(tmp_path, labels(TUAB_23), "reference=bipolar tcp")
    assert one.outcome == ""
    assert set(one.channel_map) == set(TCP_22)
    assert one.channel_map["FP1-F7"] == "EEG FP1-REF - EEG F7-REF"
    assert one.channel_map["F7-T7"] == "EEG F7-REF - EEG T3-REF"


def test_derivation_of_two_references_is_none(tmp_path: Path) -> None:
    one = only(tmp_path, ["EEG FP1-REF", "EEG F7-LE", "EEG T3-LE"], "reference=bipolar tcp")
    assert one.channel_map == {"F7-T7": "EEG F7-LE - EEG T3-LE"}


def test_derivation_that_the_file_holds_goes_before_one_that_is_made(tmp_path: Path) -> None:
    one = only(tmp_path, ["EEG FP1-F7", "EEG FP1-REF", "EEG F7-REF"], "reference=bipolar tcp")
    assert one.channel_map == {"FP1-F7": "EEG FP1-F7"}


def test_rate_is_that_of_the_channels_that_are_read(tmp_path: Path) -> None:
    assert only(tmp_path, labels(TUAB_23), "reference=bipolar tcp").sfreq == 200


@pytest.mark.parametrize(("others", "others_hz"), [(["A1", "A2"], 400), (["C3"], 1), (["A1", "C3"], 100)])
def test_channels_of_several_rates_are_planned_as_they_are_read(
    tmp_path: Path, others: list[str], others_hz: float
) -> None:
    fast = noise_uv(labels([name for name in TUAB_23 if name not in others or name == "C3"]), 20, 200)
    spare = noise_uv(labels(others), 20, others_hz)
    path = place(tmp_path)
    path.parent.mkdir(parents=True)
    channels = [*((label, data, others_hz) for label, data in spare.items())]
    channels += [(label, data, 200) for label, data in fast.items()]
    signals = [
        edfio.EdfSignal(data, hz, label=label, physical_dimension="uV", physical_range=(-500, 500))
        for label, data, hz in channels
    ]
    edfio.Edf(signals).write(path)
    (one,) = scanned(tmp_path).recordings
    read = reading.read(tmp_path, one.raw, recipes.load("tuab"))
    assert (one.outcome, one.sfreq) == ("", read.sfreq)
    assert set(one.channel_map) == set(read.electrodes)


# --- what a recording must have ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["mask", "interpolate"])
def test_recording_that_lacks_electrodes_is_kept(tmp_path: Path, missing: str) -> None:
    one = only(tmp_path, labels(TEN_TWENTY_19[:12]), f"missing={missing}")
    assert (one.outcome, len(one.channel_map)) == ("", 12)


@pytest.mark.parametrize("missing", ["require", "published-strict"])
def test_recording_that_lacks_electrodes_is_skipped_with_the_way_out(tmp_path: Path, missing: str) -> None:
    one = only(tmp_path, labels(TUAB_23[:-2]), f"missing={missing}")
    assert one.outcome == "skipped"
    assert "T1, T2" in one.reason
    assert "--set missing=mask" in one.reason
    assert only(tmp_path, labels(TUAB_23[:-2]), "missing=mask").outcome == ""


def test_too_few_electrodes_to_interpolate_from_is_a_reason(tmp_path: Path) -> None:
    one = only(tmp_path, labels(["C3", "CZ", "C4", "A1", "A2"]), "missing=interpolate")
    assert one.outcome == "skipped"
    assert "3 electrodes of known place" in one.reason
    whole = only(tmp_path, labels(["C3", "CZ", "C4"]), "missing=interpolate", "electrodes=C3,CZ,C4")
    assert whole.outcome == ""


def test_published_code_drops_what_it_names(tmp_path: Path) -> None:
    assert only(tmp_path, [*SPARE, *labels(TUAB_23)], "missing=published-strict").outcome == ""


@pytest.mark.parametrize(
    ("channels", "said"),
    [
        ([*labels(TUAB_23), "DC1-DC"], "DC1-DC too many"),
        ([*labels(TUAB_23), "EEG OZ-REF"], "EEG OZ-REF too many"),
        ([*labels(TUAB_23), "EEG 20-LE"], "EEG 20-LE too many"),
        ([*labels(TUAB_23), "EEG Cz-REF"], "EEG Cz-REF too many"),
        (labels(TUAB_23, "LE"), "FP1, FP2, F3"),
        ([*labels(TUAB_23[:-1]), "EEG EKG-LE"], "EEG EKG-LE too many"),
        (labels(TUAB_23[:-1]), "T2 missing"),
    ],
)
def test_published_code_leaves_out_all_that_is_not_just_its_own(tmp_path: Path, channels: list[str], said: str) -> None:
    one = only(tmp_path, channels, "missing=published-strict")
    assert one.outcome == "skipped"
    assert said in one.reason
    assert "--set missing=mask" in one.reason
    assert only(tmp_path, channels).outcome == ""


def test_published_code_leaves_out_what_names_a_channel_twice(tmp_path: Path) -> None:
    path = write_edf(place(tmp_path), noise_uv([*labels(TUAB_23), "PHOTIC-REF", "PHOTIC-REX"], 10, 200), 200)
    path.write_bytes(path.read_bytes().replace(b"PHOTIC-REX", b"PHOTIC-REF", 1))
    (one,) = scanned(tmp_path, "missing=published-strict").recordings
    assert "PHOTIC-REF too many" in one.reason
    assert "PHOTIC-REF-0" in mne.io.read_raw_edf(path, verbose="error").ch_names


def test_published_rule_knows_no_derivations(tmp_path: Path) -> None:
    with pytest.raises(DareError, match="missing=require"):
        only(tmp_path, labels(TUAB_23), "missing=published-strict", "reference=bipolar tcp")


def test_linked_ears_need_the_ears_unless_the_file_has_them_already(tmp_path: Path) -> None:
    ears = only(tmp_path, labels(TUAB_23), "reference=linked ears")
    assert ears.outcome == ""
    earless = only(tmp_path, labels(TEN_TWENTY_19), "reference=linked ears")
    assert earless.outcome == "skipped"
    assert "A1, A2" in earless.reason
    assert "--set reference=average" in earless.reason
    assert only(tmp_path, labels(TEN_TWENTY_19, "LE"), "reference=linked ears").outcome == ""


# --- the tree ---------------------------------------------------------------------------------------------------------


def test_recordings_of_equal_channels_share_them(tmp_path: Path) -> None:
    for name in ("aaaaaaaa", "aaaaaaab"):
        write_edf(place(tmp_path, name), noise_uv(labels(TUAB_23), 10, 200), 200)
    tree = scanned(tmp_path)
    one, other = (tree.channels[recording.path] for recording in tree.recordings)
    assert one is other
    assert len(one) == 23


def test_tree_remembers_how_many_it_found(tmp_path: Path) -> None:
    for name in ("aaaaaaaa", "aaaaaaab"):
        write_edf(place(tmp_path, name), noise_uv(labels(TUAB_23), 10, 200), 200)
    tree = scanned(tmp_path).only(set(), 1)
    assert (len(tree.recordings), tree.num_found) == (1, 2)


def test_link_that_leads_back_is_not_followed_and_others_are(tmp_path: Path) -> None:
    for folder in ("raw/one", "raw/two", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.edf").write_bytes(b"")
    src = tmp_path / "raw"
    for link, target in {
        "up": ".",
        "one/top": "../..",
        "one/two": "../two",
        "two/one": "../one",
        "out": "../elsewhere",
    }.items():
        (src / link).symlink_to(target)
    assert list_files(src) == ["one/a.edf", "one/two/a.edf", "out/a.edf", "two/a.edf", "two/one/a.edf"]


def test_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = os.scandir

    def denied(path: str) -> Iterator[os.DirEntry[str]]:
        if str(path).endswith("locked"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return listing(path)

    (tmp_path / "locked").mkdir()
    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(
        DareError, match=r"locked: cannot be read \(Permission denied\); mend that, or name another folder"
    ):
        list_files(tmp_path)


def test_packed_recordings_are_counted_beside_the_others(tmp_path: Path) -> None:
    path = write_edf(place(tmp_path), noise_uv(labels(TUAB_23), 10, 200), 200)
    path.with_name("aaaaaaab_s001_t000.edf.gz").write_bytes(b"")
    path.with_name("notes.txt.gz").write_bytes(b"")
    assert scanned(tmp_path).num_others == 1


def test_tree_of_archives_alone_is_to_be_unpacked(tmp_path: Path) -> None:
    for name in ("tuab.tar", "a.edf.gz"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(
        DareError, match=r"among 2 files \(1 of them raw EEG by their ending\); 2 are packed: unpack them"
    ):
        scanned(tmp_path)


@pytest.mark.parametrize("inside", ["edf", "edf/train", "edf/train/normal"])
def test_src_within_the_tree_is_told_which_to_take(tmp_path: Path, inside: str) -> None:
    write_edf(place(tmp_path / "edf"), noise_uv(labels(TUAB_23), 10, 200), 200)
    if inside == "edf":
        assert len(scanned(tmp_path / inside).recordings) == 1
        return
    with pytest.raises(DareError, match=rf"lies within the tree of tuab; take --src {tmp_path / 'edf'}$"):
        scanned(tmp_path / inside)


@pytest.mark.parametrize(
    ("corpus", "path", "label_file"),
    [
        ("tuab", "edf/eval/normal/01_tcp_ar/aaaaaaaa_s001_t000.edf", ""),
        ("tuev", "edf/train/aaaaaaaa/aaaaaaaa_00000001.edf", "edf/train/aaaaaaaa/aaaaaaaa_00000001.rec"),
        ("tuev", "edf/eval/000/bckg_000_a_.edf", "edf/eval/000/bckg_000_a_.rec"),
        ("tuar", "edf/01_tcp_ar/aaaaaaaa_s001_t000.edf", "edf/01_tcp_ar/aaaaaaaa_s001_t000.csv"),
        ("tueg", "edf/000/aaaaaaaa/s001_2003/01_tcp_ar/aaaaaaaa_s001_t000.edf", ""),
        ("eegmat", "Subject00_1.edf", ""),
        ("hgd", "train/1.edf", ""),
        ("physionetmi", "S001/S001R04.edf", ""),
        ("sleepedf", "SC4001E0-PSG.edf", "SC4001EC-Hypnogram.EDF"),
        ("chbmit", "chb01/chb01_03.edf", "chb01/chb01-summary.txt"),
    ],
)
def test_case_of_the_extension_does_not_count(corpus: str, path: str, label_file: str) -> None:
    (lower,) = CORPORA[corpus].find([path, label_file], recipes.load(corpus))
    (upper,) = CORPORA[corpus].find([path.replace(".edf", ".EDF"), label_file], recipes.load(corpus))
    assert upper == lower.model_copy(update={"path": path.replace(".edf", ".EDF")})
    assert (upper.label_file, upper.lacks) == (label_file, None)


def test_companions_belong_to_a_recording(tmp_path: Path) -> None:
    for name in ("a.vhdr", "a.eeg", "a.vmrk", "b.set", "b.fdt", "c.set", "d.edf", "d.eeg"):
        (tmp_path / name).write_bytes(b"")
    found = {name: [file.name for file in files_of(tmp_path / name)] for name in ("a.vhdr", "b.set", "c.set", "d.edf")}
    assert found == {
        "a.vhdr": ["a.vhdr", "a.eeg", "a.vmrk"],
        "b.set": ["b.set", "b.fdt"],
        "c.set": ["c.set"],
        "d.edf": ["d.edf"],
    }


def test_companion_that_changes_changes_the_fingerprint(real: Path, tmp_path: Path) -> None:
    for suffix in (".set", ".fdt"):
        shutil.copyfile(real / "formats" / f"eeglab_data{suffix}", tmp_path / f"eeglab_data{suffix}")
    own = tmp_path / "own.toml"
    own.write_text(
        'corpus = "own"\nelectrodes = ["FZ", "CZ"]\nnotch_hz = 60\nband_hz = [0.1, 50]\n'
        '[layout]\nfiles = "{subject}.set"\nlabels = "none"\n'
    )
    recipe = recipes.load("own", None, (), own)

    def scan_it() -> ScannedRecording:
        (one,) = scan(tmp_path, recipe, lambda *_: None).recordings
        return one

    before = scan_it()
    assert before.bytes == sum((tmp_path / f"eeglab_data{suffix}").stat().st_size for suffix in (".set", ".fdt"))
    samples = bytearray((tmp_path / "eeglab_data.fdt").read_bytes())
    samples[-1] ^= 1
    (tmp_path / "eeglab_data.fdt").write_bytes(samples)
    after = scan_it()
    assert (after.bytes, after.duration_s) == (before.bytes, before.duration_s)
    assert after.fingerprint != before.fingerprint


# --- slow disks -------------------------------------------------------------------------------------------------------


def test_many_headers_are_waited_for_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"aaaaaaa{letter}" for letter in "abcdefghijklmnopqrstuvwx"]
    for name in names:
        write_edf(place(tmp_path, name), noise_uv(labels(TUAB_23), 10, 200), 200)
    all_waiting = threading.Barrier(len(names), timeout=60)
    read_header = reading.read_header

    def far_away(*arguments: object) -> Header:
        all_waiting.wait()
        return read_header(*arguments)

    monkeypatch.setattr(reading, "read_header", far_away)
    assert [Path(one.path).name[:8] for one in scanned(tmp_path).recordings] == names
