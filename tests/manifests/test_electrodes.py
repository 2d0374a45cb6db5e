"""What files call an electrode, and what we call it."""

import re
from pathlib import Path

import edfio
import mne
import pytest

from manifests.electrodes import (
    PRETRAIN_58,
    VOCABULARY,
    canonical,
    ids,
    numbered_rows,
    other_kind,
    split_reference,
)
from tests.judges import TEN_TWENTY_19

_PUBLISHED = """
    FP1 FPZ FP2 AF7 AF3 AF4 AF8 F7 F5 F3 F1 FZ F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 T7 C5 C3 C1 CZ C2 C4
    C6 T8 TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 P7 P5 P3 P1 PZ P2 P4 P6 P8 PO7 PO5 PO3 POZ PO4 PO6 PO8 O1 OZ O2
"""
PUBLISHED_62 = _PUBLISHED.split()
NOT_PRETRAINED = {"AF7", "AF8", "PO5", "PO6"}
SUCCESSORS = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}


@pytest.mark.parametrize(
    ("label", "name", "reference"),
    [
        ("T3", "T7", ""),
        ("t7", "T7", ""),
        ("T4", "T8", ""),
        ("T5", "P7", ""),
        ("T6", "P8", ""),
        ("Fc5.", "FC5", ""),
        ("Cz..", "CZ", ""),
        ("T10.", "T10", ""),
        ("EEG Fp1", "FP1", ""),
        ("EEG Fp1-Ref", "FP1", "REF"),
        ("EEG FP1-REF", "FP1", "REF"),
        ("EEG FP1-LE", "FP1", "LE"),
        ("  EEG  T3-REF ", "T7", "REF"),
        ("EEG:C3", "C3", ""),
        ("EEG F3 - Ref", "F3", "REF"),
        ("EEG F3 -LE", "F3", "LE"),
        ("F3- AVG", "F3", "AVG"),
        ("EEG F3 \u2013 Ref", "F3", "REF"),
        ("EEG F3\x96Ref", "F3", "REF"),
        ("Fp1-0", "FP1", ""),
        ("T8-P8-1", "T8-P8", ""),
        ("B-1", "B-1", ""),
        ("ECG C3", "ECG C3", ""),
        ("EOG F7 - Ref", "EOG F7", "REF"),
        ("EMG:O2", "EMG:O2", ""),
        ("EEG SEEG C3", "SEEG C3", ""),
        ("RESP1 O2", "RESP1 O2", ""),
        ("EOG horizontal", "EOG HORIZONTAL", ""),
        ("EEG-Fz", "FZ", ""),
        ("EEG-0", "EEG-0", ""),
        ("A1", "A1", ""),
        ("M1", "M1", ""),
        ("CB1", "CB1", ""),
        ("Iz..", "IZ", ""),
        ("EEG 31-REF", "31", "REF"),
        ("EMG-REF", "EMG", "REF"),
        ("ECG EKG-REF", "EKG", "REF"),
        ("ECG ECG", "ECG", ""),
        ("PHOTIC-REF", "PHOTIC", "REF"),
        ("DC1-DC", "DC1-DC", ""),
        ("IBI", "IBI", ""),
    ],
)
def test_label_is_split_into_electrode_and_common_reference(label: str, name: str, reference: str) -> None:
    assert split_reference(label) == (name, reference)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("FP1-F7", "FP1-F7"),
        ("EEG FP1-F7", "FP1-F7"),
        ("C3-A2", "C3-A2"),
        ("EEG A2-A1", "A2-A1"),
        ("F7-T3", "F7-T7"),
        ("T8-P8", "T8-P8"),
    ],
)
def test_derivation_keeps_its_whole_name(label: str, name: str) -> None:
    assert split_reference(label) == (name, "")


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        ([f"A{number}" for number in range(1, 33)], {"A": 32}),
        (["A1", "A2", "A3", "A4", "C1", "C2", "C3", "F3", "CZ"], {"A": 4, "C": 3}),
        (["A'1", "A'2", "A'3", "A'4", "C'1", "C3"], {"A'": 4}),
        ([f"C{number}" for number in range(1, 9)], {"C": 8}),
        ([f"E{number}" for number in range(1, 129)] + ["C3"], {}),
        (["A1", "A2", "M1", "M2", "T1", "T2", "X1", "X2", "X3", "X4", "V1", "V2", "V3", "V4", "V5", "V6"], {}),
        (PUBLISHED_62, {}),
    ],
)
def test_rows_of_contacts_go_on_where_the_ten_ten_system_ends(names: list[str], rows: dict[str, int]) -> None:
    expected = {
        f"{row}{number}": f"{row}1 to {row}{last}" for row, last in rows.items() for number in range(1, last + 1)
    }
    assert numbered_rows(names) == expected


@pytest.mark.parametrize(
    ("told", "kind"), [("EOG", "EOG"), ("ecg1", "ECG1"), ("SpO2", "SPO2"), ("EEG", ""), ("C3", "")]
)
def test_kinds_that_are_no_eeg_are_known(told: str, kind: str) -> None:
    assert other_kind(told) == kind


def test_vocabulary_is_the_published_one_in_its_order() -> None:
    assert list(VOCABULARY) == PUBLISHED_62
    assert len(set(VOCABULARY)) == 62


def test_pretraining_leaves_out_four_electrodes_and_keeps_the_order() -> None:
    assert list(PRETRAIN_58) == [name for name in PUBLISHED_62 if name not in NOT_PRETRAINED]
    assert len(PRETRAIN_58) == 58


def test_electrodes_have_a_place_on_the_head_of_mne() -> None:
    placed = {name.upper() for name in mne.channels.make_standard_montage("easycap-M1").ch_names}
    assert len(set(TEN_TWENTY_19)) == 19
    assert set(TEN_TWENTY_19) <= placed & set(VOCABULARY)
    assert set(VOCABULARY) - placed == {"PO5", "PO6"}


def test_ids_are_positions_and_old_names_are_known() -> None:
    assert ids(["FP1", "T3", "O2"]) == [0, 25, 61]
    assert ids(["EEG T6-REF", "Cz.."]) == [51, 29]


def test_ids_name_every_electrode_that_is_unknown() -> None:
    with pytest.raises(KeyError, match=r"AFZ.*A1"):
        ids(["C3", "AFZ", "A1"])


@pytest.mark.parametrize("name", [*VOCABULARY, "A1", "M1", "CB1", "T1", "FP1-F7", "A2-A1"])
def test_canonical_name_is_its_own(name: str) -> None:
    assert canonical(name) == name
    assert canonical(name.lower()) == name


def test_labels_of_eegmmidb_are_64_electrodes_that_mne_places_too(real: Path) -> None:
    path = real / "eegmmidb" / "S001" / "S001R04.edf"
    raw = mne.io.read_raw_edf(path, verbose="error")
    ours = [canonical(label) for label in raw.ch_names]
    mne.datasets.eegbci.standardize(raw)
    assert ours == [name.upper() for name in raw.ch_names]
    assert len(set(ours)) == 64
    assert set(ours) - set(VOCABULARY) == {"AFZ", "IZ", "T9", "T10"}


def test_labels_of_tuh_map_by_their_grammar(real: Path) -> None:
    paths = sorted((real / "tuh_layout_noise").rglob("*.edf"))
    labels = {signal.label for path in paths for signal in edfio.read_edf(path).signals}
    assert len(labels) > 80
    for label in labels:
        site = re.fullmatch(r"(?:EEG )?(\w+)-(REF|LE)", label)
        expected = (SUCCESSORS.get(site[1], site[1]), site[2]) if site else (label, "")
        if label != "PHOTIC PH":
            assert split_reference(label) == expected


@pytest.mark.parametrize("montage", ["01_tcp_ar", "02_tcp_le", "03_tcp_ar_a"])
def test_every_montage_of_tuh_has_electrodes_of_the_ten_twenty_system(real: Path, montage: str) -> None:
    for path in sorted((real / "tuh_layout_noise").rglob(f"{montage}/*.edf")):
        names = [canonical(signal.label) for signal in edfio.read_edf(path).signals]
        scalp = [name for name in names if name in TEN_TWENTY_19]
        assert len(scalp) == len(set(scalp)) >= 15
