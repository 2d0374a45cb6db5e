"""Plausible: what should not go into an encoder: arrays of another form, unit or rate, offsets, mains, no signal."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

_LOOKED_AT = 16  # windows, spread over a batch: what concerns a recording shows in each
_LARGEST_OFFSET_UV = 100.0
_MAINS_HZ = (50, 60)
_STANDS_OUT_DB = 6.0  # above its neighbourhood; a notch that was applied leaves a dip
_FEWEST_WINDOWS = 4  # to average: the spectrum of one alone has such peaks by chance
_LINE_HALF_HZ = 0.5
_NEIGHBOURHOOD_HZ = (2.0, 6.0)

_UNITS = ((2e-3, "V", "multiply by 1e6"), (0.1, "mV", "multiply by 1e3"))
"""Below which median standard deviation, in µV, windows of EEG are taken to be in which unit; it is 5 to 50 µV."""

_LARGEST_SD_UV = 5000.0

_LOWEST_HZ, _LONGEST_S = 50.0, 600.0
"""A rate below the first holds no beta rhythm; windows beyond the second are none: the rate is wrong."""


_LEAST_HZ = 1.0


def as_tensors(
    x_uv: Tensor | NDArray[Any], electrodes: Sequence[str], sfreq: float, present: Tensor | NDArray[Any] | None
) -> tuple[Tensor, Tensor | None]:
    """Return windows (B, C, T) and which electrodes each has (B, C), if said; ValueError where these do not agree."""
    if isinstance(electrodes, str):
        raise ValueError(f"electrodes are a list of names, not {electrodes!r}")
    if hasattr(x_uv, "get_data"):
        kind = type(x_uv).__name__
        raise ValueError(f'{kind} is no array in µV: of epochs of MNE give get_data(picks="eeg") * 1e6')
    if not math.isfinite(sfreq) or sfreq < _LEAST_HZ:
        raise ValueError(f"sfreq {sfreq:g} is no rate of EEG in Hz")
    x_BCT = torch.as_tensor(x_uv)
    if x_BCT.dim() != 3 or x_BCT.shape[1] != len(electrodes):
        raise ValueError(f"{tuple(x_BCT.shape)} is not (windows, {len(electrodes)} electrodes, samples)")
    if present is None:
        return x_BCT, None
    present_BC = torch.as_tensor(present, dtype=torch.bool)
    if present_BC.shape != x_BCT.shape[:2]:
        raise ValueError(f"present {tuple(present_BC.shape)} is not (windows, electrodes)")
    return x_BCT, present_BC


def require_finite(x_uv: Tensor, electrodes: Sequence[str], present: Tensor | None) -> None:
    """Raise ValueError naming the electrodes of windows (B, C, T) that hold NaN or infinity and are not absent."""
    bad_BC = ~x_uv.isfinite().all(dim=2)
    if present is not None:
        bad_BC &= present.to(bad_BC.device)
    if bad_BC.any():
        names = ", ".join(name for name, bad in zip(electrodes, bad_BC.any(dim=0).tolist(), strict=True) if bad)
        count = int(bad_BC.any(dim=1).sum())
        raise ValueError(
            f"{count} of {len(x_uv)} windows hold NaN or infinity at {names}: leave these windows out, or say which "
            "electrodes each window has with present=, windows × electrodes"
        )


def doubts(x_uv: Tensor, electrodes: Sequence[str], sfreq: float, present: Tensor | None) -> Iterator[tuple[str, str]]:
    """Yield (kind, what to do about it) for what some of these windows (B, C, T) at ``sfreq`` Hz show."""
    if not x_uv.numel():
        return
    length_s = x_uv.shape[2] / sfreq
    if sfreq < _LOWEST_HZ or length_s > _LONGEST_S:
        yield "rate", f"of {length_s:.4g} s at {sfreq:g} Hz: is sfreq the rate of x_uv, in Hz?"
    places = torch.linspace(0, len(x_uv) - 1, min(len(x_uv), _LOOKED_AT)).round().long()
    x_BCT = x_uv.detach()[places.to(x_uv.device)].double()
    sd_BC = x_BCT.std(dim=2, correction=0)
    seen_BC = sd_BC > 0
    given_BC = torch.ones_like(seen_BC)
    if present is not None:
        given_BC = present[places.to(present.device)].to(seen_BC.device)
    seen_BC &= given_BC
    if not seen_BC.any():
        return
    silent_C = given_BC.any(dim=0) & ~seen_BC.any(dim=0)
    if flat := [name for name, silent in zip(electrodes, silent_C.tolist(), strict=True) if silent]:
        says = f"without signal at {', '.join(flat)}: leave out electrodes that were not recorded, or say with present="
        yield "flat", f"{says} which each window has"
    sd_uv = float(sd_BC[seen_BC].median())
    if unit := next(((name, remedy) for limit, name, remedy in _UNITS if sd_uv < limit), None):
        yield (
            "unit",
            f"with a standard deviation of {sd_uv:.2g} where µV are expected: is it in {unit[0]}? Then {unit[1]}",
        )
        return
    if sd_uv > _LARGEST_SD_UV:
        says = f"with a standard deviation of {sd_uv:.2g} where µV are expected: is it in nV or in counts of the "
        yield "unit", f"{says}amplifier? Bring it to µV"
        return
    offset_C = x_BCT.mean(dim=2).abs().masked_fill(~seen_BC, 0).median(dim=0).values.tolist()
    if far := [name for name, offset in zip(electrodes, offset_C, strict=True) if offset > _LARGEST_OFFSET_UV]:
        says = f"with an offset of up to {max(offset_C):.0f} µV at {', '.join(far)}: filter the recording, "
        yield "offset", f"{says}as dare_eeg.clean(x_uv, sfreq, notch_hz) does, before windows are cut"
    for line_hz in _MAINS_HZ:
        risen_db = _risen_db(x_BCT, seen_BC, sfreq, line_hz)
        if risen_db > _STANDS_OUT_DB:
            says = f"with a mains line at {line_hz} Hz, {risen_db:.0f} dB above what is around it: take it out of the "
            yield f"{line_hz} Hz", f"{says}recording with dare_eeg.clean(x_uv, sfreq, notch_hz={line_hz})"


def _risen_db(x_BCT: Tensor, seen_BC: Tensor, sfreq: float, line_hz: float) -> float:
    """Return by how much the power at a line exceeds its neighbourhood, the median over electrodes.

    The neighbourhood is the median below the line or above it, whichever is higher: where a band ends one side is low.
    """
    num_samples = x_BCT.shape[2]
    above_hz = torch.fft.rfftfreq(num_samples, 1 / sfreq).to(x_BCT.device) - line_hz
    near, far = _NEIGHBOURHOOD_HZ
    sides = [(side_hz >= near) & (side_hz <= far) for side_hz in (above_hz, -above_hz)]
    on_line = above_hz.abs() <= _LINE_HALF_HZ
    if sfreq / 2 < line_hz + _LINE_HALF_HZ or num_samples < 2 * sfreq or len(x_BCT) < _FEWEST_WINDOWS:
        return 0.0
    taper = torch.hann_window(num_samples, dtype=x_BCT.dtype, device=x_BCT.device)
    power_BCF = torch.fft.rfft((x_BCT - x_BCT.mean(dim=2, keepdim=True)) * taper).abs().square()
    power_CF = (power_BCF * seen_BC[..., None]).mean(dim=0)
    around_C = torch.stack([power_CF[:, side].median(dim=1).values for side in sides if side.any()]).amax(dim=0)
    line_C = power_CF[:, on_line].amax(dim=1)
    seen_C = around_C > 0
    return float((10 * torch.log10(line_C[seen_C] / around_C[seen_C])).median()) if seen_C.any() else 0.0
