"""Where electrodes are: as MNE says, on the head, and left as right."""

import re

import mne
import numpy as np

from manifests.electrodes import ALIASES, LINKED_EARS, TCP_22, VOCABULARY
from manifests.positions import positions


def test_every_electrode_is_where_mne_puts_it_when_it_interpolates() -> None:
    montage = mne.channels.make_standard_montage("colin27_1005")
    info = mne.create_info(montage.ch_names, 1.0, "eeg").set_montage(montage)
    assert {mne.io.constants.FIFF.FIFFV_COORD_HEAD} == {channel["coord_frame"] for channel in info["chs"]}
    places = np.array([channel["loc"][:3] for channel in info["chs"]])
    assert places.shape == (343, 3)
    np.testing.assert_allclose(positions(montage.ch_names), places, rtol=0, atol=0.051e-3)  # rounded to 0.1 mm


def test_every_electrode_of_the_network_and_of_common_references_has_a_place_of_its_own() -> None:
    names = [*VOCABULARY, *LINKED_EARS, "M1", "M2", "T9", "T10"]
    places = positions(names)
    assert np.isfinite(places).all()
    assert len(np.unique(places, axis=0)) == len(names)


def test_nose_is_along_y_right_ear_along_x_and_vertex_along_z() -> None:
    places = dict(zip(names := ["CZ", "FPZ", "OZ", "T7", "T8"], positions(names), strict=True))
    assert places["FPZ"][1] == max(place[1] for place in places.values()) > 0.1
    assert places["OZ"][1] == min(place[1] for place in places.values()) < -0.05
    assert places["T8"][0] == max(place[0] for place in places.values()) > 0.07
    assert places["T7"][0] == min(place[0] for place in places.values()) < -0.07
    assert places["CZ"][2] == max(place[2] for place in places.values()) > 0.1


def test_right_half_mirrors_the_left_within_millimetres() -> None:
    known = [name.upper() for name in mne.channels.make_standard_montage("colin27_1005").ch_names]
    sites = [site for name in known if (site := re.fullmatch(r"(\D+?)(\d+)(H?)", name))]
    left = [site for site in sites if int(site[2]) % 2]
    right = positions([f"{site[1]}{int(site[2]) + 1}{site[3]}" for site in left])
    apart = np.linalg.norm(positions([site[0] for site in left]) * (-1, 1, 1) - right, axis=1)
    assert len(left) == len(sites) / 2 > 160
    assert apart.max() < 6e-3
    assert np.median(apart) < 3e-3
    assert np.abs(positions([name for name in known if name.endswith("Z")])[:, 0]).max() < 3e-3


def test_spellings_of_files_and_old_names_are_understood() -> None:
    np.testing.assert_array_equal(positions(list(ALIASES)), positions(list(ALIASES.values())))
    np.testing.assert_array_equal(
        positions(["EEG Fp1-REF", "Fc5.", "EEG T3-LE", "AFF1h"]), positions(["FP1", "FC5", "T7", "AFF1H"])
    )


def test_name_without_a_place_is_a_row_of_nan_in_its_order() -> None:
    places = positions(["PHOTIC", "C3", "C3-CZ", "", "CB1", *TCP_22])
    assert places.shape == (27, 3)
    assert places.dtype == np.float64
    assert np.isfinite(places).all(axis=1).nonzero()[0].tolist() == [1]
    assert np.isnan(np.delete(places, 1, axis=0)).all()


def test_no_names_are_no_places() -> None:
    assert positions([]).shape == (0, 3)


def test_callers_may_change_what_they_get() -> None:
    positions(["CZ"])[:] = 0
    assert positions(["CZ"]).any()
