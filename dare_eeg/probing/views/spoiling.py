"""Spoiling: windows as worse recordings would give them: electrodes that came off, moments that are lost, noise."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.windows import AnyWindows, View
from dare_eeg.probing.views.interpolation import interpolated
from manifests import keyed

Kind = Literal["electrodes dropped", "time masked", "white noise", "1/f noise"]

_PIECE_S = 0.25
"""Seconds of what is masked at once: a time patch of our encoder."""


@dataclass(frozen=True)
class Spoiling:
    """What is done to windows and how much: a share of the electrodes or of the time, or dB of signal to noise."""

    kind: Kind
    level: float

    @property
    def text(self) -> str:
        """What a reader is told of it."""
        is_noise = self.kind.endswith("noise")
        return f"{self.kind}, {self.level:g} dB" if is_noise else f"{self.kind}, {self.level:.0%}"


SPOILINGS: tuple[Spoiling, ...] = (
    *(Spoiling("electrodes dropped", share) for share in (0.25, 0.5, 0.75)),
    *(Spoiling("time masked", share) for share in (0.25, 0.5, 0.75)),
    *(Spoiling("white noise", snr_db) for snr_db in (20.0, 10.0, 0.0, -10.0)),
    *(Spoiling("1/f noise", snr_db) for snr_db in (20.0, 10.0, 0.0, -10.0)),
)


class SpoiledView(View):
    """Some windows of others, spoiled; what is drawn depends on the recording and the window alone.

    Electrodes are dropped for a whole recording, as they come off, and more of them are the same and others; one stays.
    They are absent, or with ``is_interpolated`` made of those that stay. Time is masked, 0 µV at all electrodes, in
    pieces of a quarter of a second. Noise is Gaussian at each electrode, of its own power in the window over that of
    the signal there.
    """

    def __init__(
        self, of: AnyWindows, numbers: NDArray[np.int64], spoiling: Spoiling, is_interpolated: bool = False
    ) -> None:
        super().__init__(of, numbers)
        self._spoiling, self._is_interpolated = spoiling, is_interpolated
        self._recorded = self.present
        self._there = self._recorded.copy()
        if spoiling.kind == "electrodes dropped":
            for recording in sorted(set(self.recordings.tolist())):
                mine = np.flatnonzero(self.recordings == recording)
                self._there[mine] &= ~self._dropped(recording, self._recorded[mine])
            if not is_interpolated:
                self.present = self._there

    def take(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return windows by number: µV, float32, windows × electrodes × samples."""
        x_uv = super().take(numbers)
        if self._spoiling.kind == "electrodes dropped":
            there = self._there[numbers]
            if self._is_interpolated:
                x_uv = interpolated(x_uv, there, self.electrodes)
                there = self._recorded[numbers]
            return np.where(there[..., None], x_uv, np.float32(0))
        of_window = self._masked if self._spoiling.kind == "time masked" else self._noisy
        return np.stack([of_window(number, one) for number, one in zip(numbers.tolist(), x_uv, strict=True)])

    def _dropped(self, recording: str, present: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which electrodes the windows of a recording lose, of those that each has, windows × electrodes."""
        turns = np.array([keyed.share(f"{recording}\x1f{name}", 0) for name in self.electrodes])
        turn_of = np.where(present, turns, np.inf).argsort(axis=1).argsort(axis=1)
        there = present.sum(axis=1, keepdims=True)
        count = np.minimum(np.round(self._spoiling.level * there), there - 1)
        return np.asarray(present & (turn_of < count))

    def _masked(self, number: int, x_uv: NDArray[np.float32]) -> NDArray[np.float32]:
        piece = max(1, round(_PIECE_S * self.sfreq))
        pieces = -(-x_uv.shape[1] // piece)
        lost = keyed.permutation(self._key(number), pieces)[: round(self._spoiling.level * pieces)]
        masked = x_uv.copy()
        for one in lost.tolist():
            masked[:, one * piece : (one + 1) * piece] = 0
        return masked

    def _noisy(self, number: int, x_uv: NDArray[np.float32]) -> NDArray[np.float32]:
        noise = _gaussian(self._key(number), x_uv.shape)
        if self._spoiling.kind == "1/f noise":
            spectrum = np.fft.rfft(noise, axis=1)
            frequencies = np.arange(spectrum.shape[1])
            spectrum *= np.where(frequencies > 0, 1 / np.sqrt(np.maximum(frequencies, 1)), 0)
            noise = np.fft.irfft(spectrum, x_uv.shape[1], axis=1)
        wanted = x_uv.std(axis=1, keepdims=True, dtype=np.float64) * 10 ** (-self._spoiling.level / 20)
        spoiled: NDArray[np.float64] = x_uv + noise * wanted / noise.std(axis=1, keepdims=True)
        return spoiled.astype(np.float32)

    def _key(self, number: int) -> int:
        return keyed.key(self._spoiling.kind, str(self.recordings[number]), f"{self.start_s[number]:.6g}")


def _gaussian(key: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return keyed standard normal numbers (Box & Muller 1958)."""
    count = int(np.prod(shape))
    radius, angle = keyed.uniforms(key, 2 * count).reshape(2, *shape)
    return np.asarray(np.sqrt(-2 * np.log1p(-radius)) * np.cos(2 * np.pi * angle))
