"""Windows against plain slices, and against the published way of cutting events."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests import recipe as recipes
from manifests.notes import text
from manifests.recipe import Recipe
from pipelines.windows import (
    ConditionedSegment,
    LabelledOnset,
    Window,
    at_cues,
    by_overlap,
    count_on_a_grid,
    deduplicated,
    on_a_grid,
    quiet,
    thin,
    within,
)

SFREQ_HZ = 200
ALL_TIME = (-np.inf, np.inf)


def recipe(*settings: str) -> Recipe:
    """Return a recipe of one electrode with windows of one second, half of which is before the cue."""
    own = ("electrodes=C3,C4", "window_s=1", "stride_s=0.5", "offset_s=-0.5")
    return recipes.load("tuev", settings=(*own, *settings))


def ramp(num_samples: int, onset_s: float = 0.0) -> ConditionedSegment:
    """Return a segment whose first row counts its samples."""
    count = np.arange(num_samples, dtype=np.int16)
    return ConditionedSegment(onset_s, np.stack([count, -count]), range(len(count)))


def starts(windows: list[Window]) -> list[float]:
    return [round(window.start_s, 6) for window in windows]


@given(st.integers(0, 1500), st.integers(1, 300), st.integers(1, 300))
def test_grid_is_every_window_that_fits(num_samples: int, length: int, stride: int) -> None:
    own = recipe(f"window_s={length / SFREQ_HZ!r}", f"stride_s={stride / SFREQ_HZ!r}")
    windows = on_a_grid([ramp(num_samples, 3.0)], 1, own)
    expected = list(range(0, num_samples - length + 1, stride))
    assert starts(windows) == [round(3.0 + first / SFREQ_HZ, 6) for first in expected]
    for window, first in zip(windows, expected, strict=True):
        np.testing.assert_array_equal(window.counts[0], np.arange(first, first + length))
        assert window.label == 1
    assert count_on_a_grid(num_samples / SFREQ_HZ, own) == len(windows)


def test_grid_begins_anew_after_a_gap() -> None:
    windows = on_a_grid([ramp(250, 0.0), ramp(199, 2.0), ramp(300, 7.25)], -1, recipe())
    assert starts(windows) == [0.0, 7.25, 7.75]
    assert [window.counts[0, 0] for window in windows] == [0, 0, 100]


@given(
    st.integers(0, 999).map(lambda tenth: tenth / SFREQ_HZ),
    st.sampled_from(["drop", "pad", "wrap"]),
)
def test_event_is_cut_as_from_the_signal_written_three_times(onset_s: float, edges: str) -> None:
    segment = ramp(1000)
    windows, notes, num_beyond = at_cues([segment], [LabelledOnset(onset_s, 4)], ALL_TIME, recipe(f"edges={edges}"))
    first = round(onset_s * SFREQ_HZ) - SFREQ_HZ // 2
    inside = first >= 0 and first + SFREQ_HZ <= 1000
    assert num_beyond == (not inside)
    if edges == "drop" and not inside:
        assert windows == []
        assert text(notes) == "1 of 1 events reach beyond an end of the signal or into a gap: dropped"
        return
    around = segment.counts if edges == "wrap" else np.zeros_like(segment.counts)
    tripled = np.concatenate([around, segment.counts, around], axis=1)
    (window,) = windows
    np.testing.assert_array_equal(window.counts, tripled[:, 1000 + first : 1000 + first + SFREQ_HZ])
    assert (window.label, round(window.start_s, 6), notes) == (4, round(first / SFREQ_HZ, 6), [])


@pytest.mark.parametrize("edges", ["drop", "pad", "wrap"])
def test_event_in_a_gap_or_past_the_end_is_dropped_and_counted(edges: str) -> None:
    segments = [ramp(400, 0.0), ramp(400, 3.0)]
    cues = [LabelledOnset(onset_s, 0) for onset_s in (1.0, 2.0, 2.9, 4.0, 5.0, 60.0)]
    windows, notes, _ = at_cues(segments, cues, ALL_TIME, recipe(f"edges={edges}"))
    assert starts(windows) == [0.5, 3.5]
    assert text(notes) == "4 of 6 events lie outside the signal or in a gap: dropped"


def test_window_of_an_event_never_reaches_into_a_gap() -> None:
    segments = [ramp(400, 0.0), ramp(400, 3.0)]
    windows, notes, _ = at_cues(
        segments, [LabelledOnset(1.6, 0), LabelledOnset(3.2, 0), LabelledOnset(3.5, 0)], ALL_TIME, recipe()
    )
    assert starts(windows) == [3.0]
    assert text(notes).startswith("2 of 3 events reach beyond")


def test_event_in_a_later_stretch_is_cut_at_its_true_time() -> None:
    ((window,), _, _) = at_cues([ramp(400, 0.0), ramp(400, 7.25)], [LabelledOnset(8.0, 0)], ALL_TIME, recipe())
    assert window.start_s == 7.5
    assert window.counts[0, 0] == round((7.5 - 7.25) * SFREQ_HZ)


@given(st.integers(0, 60), st.integers(0, 80))
def test_thinned_windows_are_spread_evenly_and_in_order(count: int, limit: int) -> None:
    windows = [Window(number, float(number), 0, np.zeros((1, 1), np.int16)) for number in range(count)]
    kept = [round(window.start_s) for window in thin(windows, limit)]
    assert len(kept) == min(count, limit)
    assert kept == sorted(set(kept))
    if 0 < limit < count:
        steps = np.diff([*kept, count + kept[0]])
        assert steps.max() - steps.min() <= 1


@given(st.lists(st.integers(0, 1999).map(lambda n: n / SFREQ_HZ), max_size=30), st.integers(0, 2000))
def test_two_spans_share_the_cues_without_loss(onsets_s: list[float], at: int) -> None:
    cues, border_s = [LabelledOnset(onset_s, 0) for onset_s in sorted(onsets_s)], at / SFREQ_HZ
    whole, _, _ = at_cues([ramp(2000)], cues, ALL_TIME, recipe())
    parts = [at_cues([ramp(2000)], cues, span_s, recipe())[0] for span_s in ((-np.inf, border_s), (border_s, np.inf))]
    assert [(one.number, one.start_s) for one in parts[0] + parts[1]] == [(one.number, one.start_s) for one in whole]


def test_quiet_windows_are_those_below_the_limit() -> None:
    loud = recipe("reject_uv=10", "quantum_uv=0.5")
    windows = on_a_grid([ramp(1000)], 0, loud)
    assert starts(quiet(windows, loud)) == []
    short = [Window(n, 0.0, 0, np.array([[n, -n]], np.int16)) for n in range(15, 25)]
    assert [one.number for one in quiet(short, loud)] == [15, 16, 17, 18, 19]
    assert quiet(short, recipe("quantum_uv=0.5")) == short


@pytest.mark.parametrize(("duration_s", "expected"), [(0.9, 0), (1.0, 1), (1.4, 1), (1.5, 2), (3.0, 5)])
def test_cues_within_a_span_are_the_windows_that_fit(duration_s: float, expected: int) -> None:
    found = within(7.0, duration_s, 2, recipe())
    assert found == [LabelledOnset(7.0 + 0.5 * number, 2) for number in range(expected)]


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 200), st.integers(1, 3)), max_size=6))
def test_window_has_the_label_that_covers_most_of_it(drawn: list[tuple[int, int, int]]) -> None:
    spans = [(start / 10, (start + length) / 10, label) for start, length, label in drawn]
    cues = by_overlap(spans, 50.0, 0, recipe())
    assert [cue.onset_s for cue in cues] == [0.5 * number for number in range(99)]
    for cue in cues:
        covered = dict.fromkeys(range(4), 0)
        first = round(10 * cue.onset_s)
        for start, length, label in drawn:
            covered[label] += max(0, min(start + length, first + 10) - max(start, first))
        assert covered[cue.label] == max(covered.values())
        assert (cue.label == 0) == (not any(covered.values()))


# --- labels at one onset ----------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2))))
def test_one_cue_is_left_of_those_that_agree_and_none_of_those_that_do_not(told: list[tuple[int, int]]) -> None:
    cues = [LabelledOnset(second / 4, label) for second, label in told]
    kept, notes = deduplicated(cues, recipe())
    labels = {cue.onset_s: {one.label for one in cues if one.onset_s == cue.onset_s} for cue in cues}
    assert sorted((cue.onset_s, cue.label) for cue in kept) == sorted(
        (onset_s, next(iter(those))) for onset_s, those in labels.items() if len(those) == 1
    )
    assert sum(note.figures["count"] for note in notes) + len(kept) == len(cues)
    assert [cue for cue in dict.fromkeys(cues) if cue in kept] == kept


@pytest.mark.parametrize(("apart_samples", "num_kept"), [(0.0, 1), (0.5, 1), (0.98, 1), (1.0, 2), (1.5, 2)])
@pytest.mark.parametrize("at_s", [0.0, 10.0, 7 / 3, 86_399.995])
def test_onsets_less_than_a_sample_apart_are_one(at_s: float, apart_samples: float, num_kept: int) -> None:
    cues = [LabelledOnset(at_s, 0), LabelledOnset(at_s + apart_samples / SFREQ_HZ, 0)]
    assert len(deduplicated(cues, recipe())[0]) == num_kept


def test_cues_that_agree_stay_as_they_are_in_the_order_they_came() -> None:
    cues = [LabelledOnset(onset_s, label) for onset_s, label in ((9.0, 1), (2.0, 0), (5.5, 1))]
    assert deduplicated(cues, recipe()) == (cues, [])
