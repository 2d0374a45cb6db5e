"""Band-limited resampling of short windows, in torch so that it runs where the network runs."""

import math
from fractions import Fraction

import torch
from torch import Tensor

MARGIN = 128
"""Samples, at the input's rate, by which a window is continued at either end at least."""


def resample(x_BCT: Tensor, sfreq_in: float, sfreq_out: float) -> Tensor:
    """Return windows (..., floor(T × out / in)) at another rate; the first sample keeps its time.

    Everything at and above the lower of the two Nyquist frequencies is removed (Fourier method). So that
    neither end rings, the straight line from first to last sample is resampled apart and the rest, which is
    zero at both ends, is continued by odd reflection that fades out. Float32 and differentiable. Raises
    ValueError for rates that are not positive and finite, for no windows and for empty ones.
    """
    if not (0 < sfreq_in < math.inf and 0 < sfreq_out < math.inf and x_BCT.numel()):
        raise ValueError(f"windows of shape {tuple(x_BCT.shape)} cannot go from {sfreq_in} Hz to {sfreq_out} Hz")
    exact = Fraction(sfreq_out) / Fraction(sfreq_in)
    if exact == 1:
        return x_BCT
    samples, length = x_BCT.shape[-1], math.floor(x_BCT.shape[-1] * exact)
    up, down = exact.limit_denominator(10_000).as_integer_ratio()
    before = down * math.ceil(MARGIN / down)
    padded = before + down * math.ceil((samples + MARGIN) / down)

    first, last = x_BCT[..., :1].float(), x_BCT[..., -1:].float()
    slope = (last - first) / max(1, samples - 1)
    rest = x_BCT.float() - first - slope * torch.arange(samples, device=x_BCT.device)
    spectrum = torch.fft.rfft(_continue(rest, before, padded - before - samples))
    resampled_length = padded * up // down
    below_nyquist = (min(padded, resampled_length) + 1) // 2
    resampled = torch.fft.irfft(spectrum[..., :below_nyquist], n=resampled_length) * (up / down)
    start = before * up // down
    line = first + slope * (torch.arange(length, device=x_BCT.device) / float(exact))
    return resampled[..., start : start + length] + line


def _continue(x_T: Tensor, before: int, after: int) -> Tensor:
    """Reflect windows that are zero at both ends oddly about them, fading to zero by a raised cosine."""
    samples = x_T.shape[-1]
    position = torch.arange(-before, samples + after, device=x_T.device)
    period = max(1, 2 * (samples - 1))
    phase = position % period
    mirrored = phase >= samples
    source = torch.where(mirrored, period - phase, phase)
    outside = torch.maximum(-position / before, (position - samples + 1) / after).clamp(min=0)
    fade = (1 + torch.cos(math.pi * outside)) / 2
    return x_T[..., source] * torch.where(mirrored, -fade, fade)
