"""Signal: from a recording as read to conditioned stretches. Pure functions of arrays, µV in, µV out."""

import numpy as np
from numpy.typing import NDArray

from manifests.errors import DareError
from manifests.recipe import Recipe
from pipelines.recording import Recording
from pipelines.windows import Stretch


def condition(recording: Recording, recipe: Recipe) -> tuple[list[Stretch], NDArray[np.bool_], str]:
    """Return (gapless stretches at the recipe's rate, which of its electrodes are present, a note on the absent).

    Every stretch holds all the recipe's electrodes, zeros where one is absent: not in the file, flat, or not finite.
    Each gap in the recording ends a stretch, so no filter rings across one; a stretch shorter than a window is left
    out. Raises DareError where no electrode is usable.
    """
    rows = {name: row for row, name in enumerate(recording.electrodes)}
    spans = [slice(segment.start, segment.stop) for segment in recording.segments]
    faults = {name: fault for name, row in rows.items() if (fault := _fault(recording.data_uv[row], spans))}
    present = np.array([name in rows and name not in faults for name in recipe.electrodes])
    note = "; ".join(f"{name} is {fault}: taken as absent" for name, fault in faults.items())
    if not present.any():
        raise DareError(f"no usable electrode: {note or 'none of the recipe'}")
    order = [rows[name] for name in np.array(recipe.electrodes)[present]]
    stretches = []
    for segment, span in zip(recording.segments, spans, strict=True):
        if (segment.stop - segment.start) / recording.sfreq < recipe.window_s:
            continue
        conditioned = _filter_and_resample(recording.data_uv[order, span], recording.sfreq, recipe)
        data_uv = np.zeros((len(present), conditioned.shape[1]), np.float32)
        data_uv[present] = conditioned
        stretches.append(Stretch(segment.onset_s, data_uv))
    return stretches, present, note


def too_slow(sfreq_hz: float, recipe: Recipe) -> str:
    """Return why a recording's rate cannot carry the recipe's band, "" where it can."""
    if sfreq_hz / 2 >= recipe.band_hz[1]:
        return ""
    return (
        f"sampled at {sfreq_hz:g} Hz, which holds nothing above {sfreq_hz / 2:g} Hz, where the recipe's band ends at "
        f"{recipe.band_hz[1]:g} Hz; lower it with --set band_hz={recipe.band_hz[0]:g},{sfreq_hz / 2 - 4:g}"
    )


def _fault(channel_uv: NDArray[np.float32], spans: list[slice]) -> str:
    parts = [channel_uv[span] for span in spans]
    if not all(np.isfinite(part).all() for part in parts):
        return "not finite"
    return "flat" if all(np.ptp(part) == 0 for part in parts if part.size) else ""


def _filter_and_resample(data_uv: NDArray[np.float32], sfreq_hz: float, recipe: Recipe) -> NDArray[np.float32]:
    """Re-reference, band-pass and notch with MNE's zero-phase FIR designs, then resample by FFT to the exact length.

    Without a high-pass the mean is taken off, so that int16 holds the signal and not the amplifier's offset.
    """
    import mne

    data = data_uv.astype(np.float64)
    if recipe.reference == "average":
        data -= data.mean(axis=0)
    low, high = recipe.band_hz
    band = (low or None, high if high < sfreq_hz / 2 else None)
    with mne.utils.use_log_level("ERROR"):
        if low == 0:
            data -= data.mean(axis=1, keepdims=True)
        if band != (None, None):
            data = mne.filter.filter_data(data, sfreq_hz, *band)
        if 0 < recipe.notch_hz < sfreq_hz / 2 - 1:
            data = mne.filter.notch_filter(data, sfreq_hz, recipe.notch_hz)
        if sfreq_hz != recipe.sfreq_hz:
            data = mne.filter.resample(data, up=recipe.sfreq_hz, down=sfreq_hz, npad=100)
    whole = int(data_uv.shape[1] * recipe.sfreq_hz / sfreq_hz + 1e-6)
    return data[:, :whole].astype(np.float32)
