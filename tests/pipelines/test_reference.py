"""References, derivations and interpolation against MNE's own, on real recordings."""

from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.typing import NDArray

from manifests import recipe as recipes
from manifests.electrodes import TCP_22
from manifests.errors import DareError
from pipelines.conditioning import Conditioned, condition
from pipelines.formats import readers
from pipelines.recording import Recording, Segment
from tests.commands import preprocess, recordings
from tests.judges import noise_uv, samples, write_edf

NAMES = "FP1 FP2 F7 F3 FZ F4 F8 T7 C3 CZ C4 T8 P7 P3 PZ P4 P8 O1 O2 A1 A2".split()
QUANTUM_UV = 2.0**-8


def conditioned(uv: dict[str, NDArray[np.float64]], *settings: str) -> Conditioned:
    """Return a recording of some channels, µV at 200 Hz, under a recipe that leaves frequencies from 1 to 75 Hz."""
    data_uv = np.stack(list(uv.values())).astype(np.float32)
    recording = Recording(tuple(uv), data_uv, 200.0, (), (Segment(0, data_uv.shape[1], 0.0),), ())
    own = ("band_hz=1,75", "notch_hz=0", f"quantum_uv={QUANTUM_UV}", "electrodes=FP1,F7,T7,C3,CZ,O2")
    return condition(recording, recipes.load("tuab", settings=(*own, *settings)))


def filtered_by_mne(raw: mne.io.BaseRaw) -> NDArray[np.float64]:
    return raw.copy().filter(1, 75, verbose="error").get_data(units="uV")


def as_raw(uv: dict[str, NDArray[np.float64]]) -> mne.io.RawArray:
    info = mne.create_info(list(uv), 200.0, "eeg")
    return mne.io.RawArray(np.stack(list(uv.values())) * 1e-6, info, verbose="error")


def assert_same(found: Conditioned, expected_uv: NDArray[np.float64]) -> None:
    (segment,) = found.segments
    inner = slice(400, -400)  # continued differently at the ends
    np.testing.assert_allclose(segment.counts[:, inner] * QUANTUM_UV, expected_uv[:, inner], rtol=0, atol=0.01)


@pytest.fixture
def uv() -> dict[str, NDArray[np.float64]]:
    return noise_uv(NAMES, 20, 200)


def test_average_is_that_of_the_electrodes_of_the_recipe(uv: dict[str, NDArray[np.float64]]) -> None:
    wanted = ["FP1", "F7", "T7", "C3", "CZ", "O2"]
    raw = as_raw(uv).pick(wanted).set_eeg_reference("average", verbose="error")
    assert_same(conditioned(uv, "reference=average"), filtered_by_mne(raw))


def test_linked_ears_are_the_mean_of_both(uv: dict[str, NDArray[np.float64]]) -> None:
    raw = as_raw(uv).set_eeg_reference(["A1", "A2"], verbose="error")
    raw.pick(["FP1", "F7", "T7", "C3", "CZ", "O2"])
    assert_same(conditioned(uv, "reference=linked ears"), filtered_by_mne(raw))


def test_linked_ears_that_are_not_there_are_refused(uv: dict[str, NDArray[np.float64]]) -> None:
    with pytest.raises(DareError, match=r"lacks A2 of the linked ears.*reference=average"):
        conditioned({name: row for name, row in uv.items() if name != "A2"}, "reference=linked ears")


def test_bipolar_montage_has_the_differences_of_its_pairs(uv: dict[str, NDArray[np.float64]]) -> None:
    plus, minus = zip(*(pair.split("-") for pair in TCP_22), strict=True)
    raw = mne.set_bipolar_reference(as_raw(uv), list(plus), list(minus), list(TCP_22), verbose="error")
    found = conditioned(uv, "reference=bipolar tcp")
    assert_same(found, filtered_by_mne(raw.pick(list(TCP_22))))


def test_pair_without_one_of_its_electrodes_is_absent(uv: dict[str, NDArray[np.float64]]) -> None:
    found = conditioned({name: row for name, row in uv.items() if name != "A1"}, "reference=bipolar tcp")
    assert [name for name, there in zip(TCP_22, found.present, strict=True) if not there] == ["A1-T7"]


def test_derivation_that_is_a_channel_of_the_file_is_taken_as_it_is(uv: dict[str, NDArray[np.float64]]) -> None:
    own = {"FP1-F7": uv["O1"], "FP1": uv["FP1"], "F7": uv["F7"]}
    found = conditioned(own, 'electrodes=["FP1-F7"]')
    assert_same(found, filtered_by_mne(as_raw({"FP1-F7": uv["O1"]})))


@pytest.mark.parametrize("lost", [("CZ",), ("T7", "CZ")])
def test_interpolation_is_that_of_mne(real: Path, lost: tuple[str, ...]) -> None:
    whole = readers.read(real / "eegmat" / "Subject00_2.edf", NAMES[:19])
    recipe = recipes.load("eegmat", settings=("missing=interpolate", "band_hz=1,75", "sfreq_hz=500"))
    kept = [row for row, name in enumerate(whole.electrodes) if name not in lost]
    electrodes = tuple(whole.electrodes[row] for row in kept)
    found = condition(Recording(electrodes, whole.data_uv[kept], 500.0, (), whole.segments, ()), recipe)
    assert found.present.all()
    assert set(found.interpolated) == set(lost)
    places = mne.channels.make_standard_montage("colin27_1005")
    spelt = {name.upper(): name for name in places.ch_names}
    info = mne.create_info([spelt[name] for name in whole.electrodes], 500.0, "eeg")
    raw = mne.io.RawArray(whole.data_uv * 1e-6, info, verbose="error").set_montage(places)
    raw.info["bads"] = [spelt[name] for name in lost]
    raw.interpolate_bads(verbose="error").filter(1, 75, verbose="error").notch_filter(50, verbose="error")
    (segment,) = found.segments
    for name in lost:
        ours_uv = segment.counts[recipe.electrodes.index(name)] * recipe.quantum_uv
        expected_uv = raw.get_data(spelt[name], units="uV")[0]
        np.testing.assert_allclose(ours_uv[1000:-1000], expected_uv[1000:-1000], rtol=0, atol=recipe.quantum_uv)


def test_electrode_without_a_place_on_the_head_stays_absent(uv: dict[str, NDArray[np.float64]]) -> None:
    own = {name: row for name, row in uv.items() if name != "CZ"}
    found = conditioned(own, "electrodes=FP1,F7,T7,C3,CZ,T1", "missing=interpolate")
    assert found.interpolated == ("CZ",)
    assert found.present.tolist() == [True] * 5 + [False]


def test_required_electrode_is_missed_by_name(uv: dict[str, NDArray[np.float64]]) -> None:
    with pytest.raises(DareError, match=r"lacks C3; take the recording with --set missing=mask \(C3 is flat"):
        conditioned(uv | {"C3": np.full(4000, 3.0)}, "missing=require")


def test_difference_between_two_references_is_absent_from_plan_and_shard_alike(tmp_path: Path) -> None:
    labels = [f"EEG {name}-{'LE' if name == 'F7' else 'REF'}" for name in NAMES]
    edf = tmp_path / "raw" / "edf" / "train" / "normal" / "01_tcp_ar" / "aaaaaaaa_s001_t000.edf"
    write_edf(edf, noise_uv(labels, 20, 250), 250)
    folder = preprocess("tuab", tmp_path / "raw", tmp_path / "out", "--set", "preset=tcp")
    (row,) = recordings(folder).values()
    (sample, *_) = samples(folder).values()
    held = [name for name, scale in zip(sample.fields["channels"], sample.fields["scale"], strict=True) if scale]
    assert sorted(held) == sorted(row["channel_map"]) == sorted(set(TCP_22) - {"FP1-F7", "F7-T7"})
