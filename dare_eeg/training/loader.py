"""Loader: a thread that fills int16 buffers with the windows of the steps to come.

Crops and disturbances are keyed by (seed, slot) and masks by (seed, step, micro-batch), so who loads them changes
nothing.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import cycle

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dare_eeg.data.shards import TrainingSet, Windows
from dare_eeg.network.masks import Masks, Rules, draw
from dare_eeg.network.model import PATCH
from dare_eeg.network.resample import resample
from dare_eeg.training import augment
from dare_eeg.training.augment import Spoil, Strength
from dare_eeg.training.config import PretrainConfig
from dare_eeg.training.order import Plan
from manifests import keyed
from manifests.electrodes import VOCABULARY, ids, in_vocabulary

SFREQ = 256.0
"""The rate, in Hz, that the network works at."""

CROP = 1024
"""Samples at that rate which a training window is cropped to."""

_AHEAD = 4


@dataclass(frozen=True)
class Rank:
    """This process among ``of`` of a job: every so many-th micro-batch is its, from ``number`` on."""

    number: int = 0
    of: int = 1


ALONE = Rank()


@dataclass(frozen=True)
class MicroBatch:
    """Windows of one signature and the masks they share.

    ``counts`` (B, C, T) int16 at ``sfreq``; ``scale`` (B, C) µV per count, 0 where absent; ``crop`` (B,) first sample
    of the crop at the network's rate; ``ids`` (C,) places in the vocabulary; ``weight`` (B,) 0 for padding;
    ``describe`` says which recording and moment each is; ``spoil`` what the views are spoiled with, if with anything.
    """

    step: int
    number: int
    counts: NDArray[np.int16]
    scale: NDArray[np.float32]
    crop: NDArray[np.int64]
    ids: NDArray[np.int64]
    sfreq: float
    weight: NDArray[np.float32]
    masks: Masks
    describe: Callable[[], list[str]]
    spoil: Spoil | None = None

    @property
    def windows(self) -> list[str]:
        """Which recording and moment each window is; put into words only when asked for."""
        return self.describe()

    def tensors(
        self, device: torch.device, unit_scale: float, nearest: bool = False
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
        """Return (x_BCT in network units at 256 Hz, ids_C, present_BC, weight_B) on a device.

        ``present_BC`` is None where no window lacks an electrode. Other rates are brought to 256 Hz with nothing
        beyond their band, or, as published, by taking the ``nearest`` sample.
        """
        scale = torch.from_numpy(self.scale).to(device)
        x_BCT = torch.from_numpy(self.counts).to(device) * (scale * unit_scale)[..., None]
        if self.sfreq != SFREQ:
            if nearest:
                x_BCT = F.interpolate(x_BCT, int(x_BCT.shape[-1] * SFREQ / self.sfreq), mode="nearest")
            else:
                x_BCT = resample(x_BCT, self.sfreq, SFREQ)
            length = min(CROP, x_BCT.shape[-1])
            taken = torch.from_numpy(self.crop).to(device)[:, None] + torch.arange(length, device=device)
            x_BCT = x_BCT.gather(-1, taken[:, None].expand(-1, x_BCT.shape[1], -1))
        present_BC = None if (self.scale > 0).all() else scale > 0
        return x_BCT, torch.from_numpy(self.ids).to(device), present_BC, torch.from_numpy(self.weight).to(device)


class _Reader:
    """Reads the rows of one set into micro-batches: the vocabulary's electrodes, cropped where no resampling is due."""

    def __init__(self, windows: Windows) -> None:
        known = in_vocabulary(windows.electrodes)
        self.windows = windows
        self.channels = slice(None) if len(known) == len(windows.electrodes) else known
        self.ids = np.array(ids([windows.electrodes[row] for row in known]), np.int64)
        self.length = int(windows.shape[1] * SFREQ / windows.sfreq)
        self.cropped = windows.sfreq == SFREQ and self.length > CROP
        self._whole = np.empty(windows.shape, np.int16)

    def masks(self, key: int, config: PretrainConfig) -> Masks:
        """Return the masks of a micro-batch."""
        rules = Rules(config.targets or None, config.masking, config.second_view)
        return draw(key, min(self.length, CROP) // PATCH, len(self.ids), rules, config.micro_batch)

    @property
    def shape(self) -> tuple[int, int]:
        """Electrodes and samples of a window as the loader hands it on."""
        return len(self.ids), CROP if self.cropped else self.windows.shape[1]

    def crops(self, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the first samples of crops, at the network's rate."""
        return (uniforms * (max(self.length - CROP, 0) + 1)).astype(np.int64)

    def read(self, shard: int, row: int, crop: int, counts: NDArray[np.int16]) -> NDArray[np.float32]:
        """Fill ``counts`` and return µV per count by electrode."""
        if counts.shape == self._whole.shape:
            return self.windows.read(shard, row, counts)
        scale = self.windows.read(shard, row, self._whole)
        start = crop if self.cropped else 0
        counts[...] = self._whole[self.channels, start : start + counts.shape[1]]
        return scale[self.channels]


def outside_vocabulary(sets: list[TrainingSet]) -> list[str]:
    """Return the electrodes of the sets that the network has no embedding for."""
    return sorted({name for one in sets for name in one.train.electrodes} - set(VOCABULARY))


class Loader:
    """Iterates over this rank's micro-batches from a step on; closing it ends its thread.

    An error in the thread is raised where the batch it spoiled is asked for.
    """

    def __init__(
        self, plan: Plan, sets: list[TrainingSet], config: PretrainConfig, first: int = 0, rank: Rank = ALONE
    ) -> None:
        self._plan, self._config = plan, config
        self._strength = Strength(config.electrode_drop, config.time_drop, config.noise, config.gain)
        self._readers = [_Reader(one.train) for one in sets]
        self._range, self._rank = range(first, plan.steps), rank
        self._queue: queue.Queue[MicroBatch | Exception | None] = queue.Queue(_AHEAD)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="loader", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[MicroBatch]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item

    def close(self) -> None:
        """End the thread, whatever it waits for."""
        self._closed.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                continue

    def _fill(self) -> None:
        # One batch is with the consumer and one in the making beside those that wait.
        buffers = {
            reader.shape: cycle(
                [np.empty((self._plan.micro_batch, *reader.shape), np.int16) for _ in range(_AHEAD + 2)]
            )
            for reader in self._readers
        }
        try:
            for step in self._range:
                slots = self._plan.slots(step)
                batches = self._plan.global_batch // self._plan.micro_batch
                for number in range(self._rank.number, batches, self._rank.of):
                    mine = slice(number * self._plan.micro_batch, (number + 1) * self._plan.micro_batch)
                    reader = self._readers[int(slots.source[mine.start])]
                    batch = self._batch(step, number, slots.source[mine], slots.shard[mine], slots.row[mine],
                                        next(buffers[reader.shape]))  # fmt: skip
                    if self._closed.is_set():
                        return
                    self._queue.put(batch)
            self._queue.put(None)
        except Exception as problem:
            self._queue.put(problem)

    def _batch(
        self,
        step: int,
        number: int,
        source: NDArray[np.int64],
        shard: NDArray[np.int64],
        row: NDArray[np.int64],
        counts: NDArray[np.int16],
    ) -> MicroBatch:
        seed, size = self._plan.seed, self._plan.micro_batch
        first_slot = step * self._plan.global_batch + number * size
        readers = [self._readers[one] for one in source.tolist()]
        rows = np.empty(size, np.int64)
        for one in np.unique(source).tolist():
            rows[source == one] = self._readers[one].windows.counted(shard[source == one], row[source == one])
        places = list(zip(readers, shard.tolist(), rows.tolist(), strict=True))
        first, crop = readers[0], np.zeros(size, np.int64)
        if first.length > CROP:
            keys = [keyed.key("crop", seed, slot) for slot in range(first_slot, first_slot + size)]
            crop = first.crops(keyed.uniforms(np.array(keys, np.uint64), 1))
        scale = np.stack(
            [
                reader.read(*place, start, into)
                for (reader, *place), start, into in zip(places, crop.tolist(), counts, strict=True)
            ]
        )
        spoil = None
        if self._config.augment:
            slots, samples = range(first_slot, first_slot + size), min(first.length, CROP)
            spoil = augment.draw(seed, slots, len(first.ids), samples, self._strength)
        shared = (step, number) if self._config.mask_for == "micro_batch" else (step,)
        return MicroBatch(
            step=step,
            number=number,
            counts=counts,
            scale=scale,
            crop=crop,
            ids=first.ids,
            sfreq=first.windows.sfreq,
            weight=np.ones(size, np.float32),
            masks=first.masks(keyed.key("mask", seed, *shared), self._config),
            spoil=spoil,
            describe=partial(_described, places),
        )


def _described(places: list[tuple[_Reader, int, int]]) -> list[str]:
    return [f"{reader.windows.folder.name}: {reader.windows.describe(shard, row)}" for reader, shard, row in places]


def valid_batches(
    sets: list[TrainingSet], config: PretrainConfig, step: int = 0, rank: Rank = ALONE
) -> Iterator[MicroBatch]:
    """Yield every valid window once, in a fixed order; the last batch of a set is padded. Ranks take turns.

    Crops and masks are the same each time, unless the config wants new ones at each step.
    """
    size = config.micro_batch
    when = (config.seed, "valid") if config.valid_draws == "fixed" else (config.seed, "valid at", step)
    number = -1
    for windows in (one.valid for one in sets):
        if not len(windows):
            continue
        reader = _Reader(windows)
        for start in range(0, len(windows), size):
            number += 1
            if number % rank.of != rank.number:
                continue
            taken = np.arange(start, min(start + size, len(windows)))
            counts = np.zeros((size, *reader.shape), np.int16)
            scale = np.zeros((size, len(reader.ids)), np.float32)
            crop = reader.crops(keyed.uniforms(keyed.key("crop", *when, number), size))
            places = [
                (reader, *place) for place in zip(*(each.tolist() for each in windows.places(taken)), strict=True)
            ]
            for position, (_, shard, row) in enumerate(places):
                scale[position] = reader.read(shard, row, int(crop[position]), counts[position])
            scale[len(taken) :] = scale[0]  # padding lacks no electrode, so it costs no attention mask
            yield MicroBatch(
                step=-1,
                number=number,
                counts=counts,
                scale=scale,
                crop=crop,
                ids=reader.ids,
                sfreq=windows.sfreq,
                weight=(np.arange(size) < len(taken)).astype(np.float32),
                masks=reader.masks(keyed.key("mask", *when, number), config),
                describe=partial(_described, places),
            )
