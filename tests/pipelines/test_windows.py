"""Windows against plain slices, and against the published way of cutting events."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests import recipe as recipes
from manifests.recipe import Recipe
from pipelines.windows import Cue, Stretch, Window, at_cues, count_on_a_grid, on_a_grid, thin

SFREQ_HZ = 200


def recipe(*settings: str) -> Recipe:
    """Return a recipe of one electrode with windows of one second, half of which is before the cue."""
    own = ("electrodes=C3,C4", "window_s=1", "stride_s=0.5", "offset_s=-0.5")
    return recipes.load("tuev", settings=(*own, *settings))


def ramp(num_samples: int, onset_s: float = 0.0) -> Stretch:
    """Return a stretch whose first row counts its samples."""
    count = np.arange(num_samples, dtype=np.float32)
    return Stretch(onset_s, np.stack([count, -count]), range(len(count)))


def starts(windows: list[Window]) -> list[float]:
    return [round(window.start_s, 6) for window in windows]


@given(st.integers(0, 1500), st.integers(1, 300), st.integers(1, 300))
def test_grid_is_every_window_that_fits(num_samples: int, length: int, stride: int) -> None:
    own = recipe(f"window_s={length / SFREQ_HZ!r}", f"stride_s={stride / SFREQ_HZ!r}")
    windows = on_a_grid([ramp(num_samples, 3.0)], 1, own)
    expected = list(range(0, num_samples - length + 1, stride))
    assert starts(windows) == [round(3.0 + first / SFREQ_HZ, 6) for first in expected]
    for window, first in zip(windows, expected, strict=True):
        np.testing.assert_array_equal(window.data_uv[0], np.arange(first, first + length))
        assert window.label == 1
    assert count_on_a_grid(num_samples / SFREQ_HZ, own) == len(windows)


def test_grid_begins_anew_after_a_gap() -> None:
    windows = on_a_grid([ramp(250, 0.0), ramp(199, 2.0), ramp(300, 7.25)], -1, recipe())
    assert starts(windows) == [0.0, 7.25, 7.75]
    assert [window.data_uv[0, 0] for window in windows] == [0, 0, 100]


@given(
    st.integers(0, 999).map(lambda tenth: tenth / SFREQ_HZ),
    st.sampled_from(["drop", "pad", "wrap"]),
)
def test_event_is_cut_as_from_the_signal_written_three_times(onset_s: float, edges: str) -> None:
    stretch = ramp(1000)
    windows, note = at_cues([stretch], [Cue(onset_s, 4)], recipe(f"edges={edges}"))
    first = round(onset_s * SFREQ_HZ) - SFREQ_HZ // 2
    inside = first >= 0 and first + SFREQ_HZ <= 1000
    if edges == "drop" and not inside:
        assert windows == []
        assert note == "1 of 1 events reach beyond an end of the signal or into a gap: dropped"
        return
    around = stretch.data_uv if edges == "wrap" else np.zeros_like(stretch.data_uv)
    tripled = np.concatenate([around, stretch.data_uv, around], axis=1)
    (window,) = windows
    np.testing.assert_array_equal(window.data_uv, tripled[:, 1000 + first : 1000 + first + SFREQ_HZ])
    assert (window.label, round(window.start_s, 6), note) == (4, round(first / SFREQ_HZ, 6), "")


@pytest.mark.parametrize("edges", ["drop", "pad", "wrap"])
def test_event_in_a_gap_or_past_the_end_is_dropped_and_counted(edges: str) -> None:
    stretches = [ramp(400, 0.0), ramp(400, 3.0)]
    cues = [Cue(onset_s, 0) for onset_s in (1.0, 2.0, 2.9, 4.0, 5.0, 60.0)]
    windows, note = at_cues(stretches, cues, recipe(f"edges={edges}"))
    assert starts(windows) == [0.5, 3.5]
    assert note == "4 of 6 events lie outside the signal or in a gap: dropped"


def test_window_of_an_event_never_reaches_into_a_gap() -> None:
    stretches = [ramp(400, 0.0), ramp(400, 3.0)]
    windows, note = at_cues(stretches, [Cue(1.6, 0), Cue(3.2, 0), Cue(3.5, 0)], recipe())
    assert starts(windows) == [3.0]
    assert note.startswith("2 of 3 events reach beyond")


def test_event_in_a_later_stretch_is_cut_at_its_true_time() -> None:
    ((window,), _) = at_cues([ramp(400, 0.0), ramp(400, 7.25)], [Cue(8.0, 0)], recipe())
    assert window.start_s == 7.5
    assert window.data_uv[0, 0] == round((7.5 - 7.25) * SFREQ_HZ)


@given(st.integers(0, 60), st.integers(0, 80))
def test_thinned_windows_are_spread_evenly_and_in_order(count: int, limit: int) -> None:
    windows = [Window(number, float(number), 0, np.zeros((1, 1), np.float32)) for number in range(count)]
    kept = [round(window.start_s) for window in thin(windows, limit)]
    assert len(kept) == min(count, limit)
    assert kept == sorted(set(kept))
    if 0 < limit < count:
        steps = np.diff([*kept, count + kept[0]])
        assert steps.max() - steps.min() <= 1
