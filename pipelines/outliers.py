"""Outliers: electrodes whose signal lies far from all others', by MNE's local outlier factor, are taken as absent."""

from dataclasses import replace

import numpy as np

from manifests.notes import note
from pipelines.recording import Recording

_BAND_HZ = (1.0, 40.0)
"""The band in which electrodes are compared: drift and mains make outliers of good ones."""

_THRESHOLD = 1.5
"""The local outlier factor from which MNE by default takes a channel as bad."""

_NEIGHBOURS = 20
"""The others that an electrode is compared with by default; among fewer than twice as many, half of them: with all of
them, an outlier among these would make every electrode look as far away as itself."""

_LEAST_ELECTRODES = 8  # among fewer each is far from the others


def without_outliers(recording: Recording) -> Recording:
    """Return a recording without the electrodes that are outliers among those read, and a note on each.

    Flat electrodes and those that are not finite are left as they are, and not compared.
    """
    import mne
    from mne.preprocessing import find_bad_channels_lof

    if not recording.segments:
        return recording
    signal_uv = np.concatenate([recording.data_uv[:, one.start : one.stop] for one in recording.segments], axis=1)
    usable = np.flatnonzero(np.isfinite(signal_uv).all(axis=1) & (np.ptp(signal_uv, axis=1) > 0))
    low_hz, high_hz = _BAND_HZ
    if len(usable) < _LEAST_ELECTRODES or recording.sfreq / 2 <= low_hz:
        return recording
    names = [recording.electrodes[row] for row in usable]
    raw = mne.io.RawArray(signal_uv[usable] * 1e-6, mne.create_info(names, recording.sfreq, "eeg"), verbose="error")
    raw.filter(low_hz, high_hz if high_hz < recording.sfreq / 2 else None, verbose="error")
    neighbours = min(_NEIGHBOURS, len(names) // 2)
    bads, scores = find_bad_channels_lof(raw, neighbours, threshold=_THRESHOLD, return_scores=True, verbose="error")
    if not bads:
        return recording
    factor = dict(zip(names, np.abs(scores).tolist(), strict=True))
    says = "{names} is an outlier among the electrodes (local outlier factor {factor:.2f}): taken as absent"
    notes = [note("outlying electrode", says, [name], factor=factor[name]) for name in bads]
    kept = [row for row, name in enumerate(recording.electrodes) if name not in bads]
    return replace(
        recording,
        electrodes=tuple(recording.electrodes[row] for row in kept),
        data_uv=recording.data_uv[kept],
        notes=(*recording.notes, *notes),
    )
