"""Loader: a thread that fills int16 buffers with the windows of the steps to come; validation reads its own in turn."""

import queue
import threading
from collections.abc import Iterator
from functools import partial
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.shards import TrainingSet, Windows
from dare_eeg.network.constants import CROP, SFREQ
from dare_eeg.running.ranks import ALONE, Ranks
from dare_eeg.training import draws
from dare_eeg.training.config import PretrainConfig
from dare_eeg.training.draws import Draws
from dare_eeg.training.micro_batch import MicroBatch
from dare_eeg.training.order import OrderPlan, Slots
from manifests.electrodes import VOCABULARY, ids, in_vocabulary

_AHEAD = 4


class _Reader:
    """Reads the rows of one set: the vocabulary's electrodes, cropped where no resampling is due."""

    def __init__(self, windows: Windows) -> None:
        known = in_vocabulary(windows.electrodes)
        self.windows = windows
        self.ids = np.array(ids([windows.electrodes[row] for row in known]), np.int64)
        self.length = int(windows.shape[1] * SFREQ / windows.sfreq)
        """Samples of a window at the network's rate."""
        self._channels = slice(None) if len(known) == len(windows.electrodes) else known
        self._is_cropped = windows.sfreq == SFREQ and self.length > CROP
        self._row = np.empty(windows.shape, np.int16)

    @property
    def shape(self) -> tuple[int, int]:
        """Electrodes and samples of a window as the loader hands it on."""
        return len(self.ids), CROP if self._is_cropped else self.windows.shape[1]

    def read(self, shard: int, row: int, crop: int, counts: NDArray[np.int16]) -> NDArray[np.float32]:
        """Fill ``counts`` and return µV per count by electrode."""
        if counts.shape == self._row.shape:
            return self.windows.read(shard, row, counts)
        scale = self.windows.read(shard, row, self._row)
        start = crop if self._is_cropped else 0
        counts[...] = self._row[self._channels, start : start + counts.shape[1]]
        return scale[self._channels]


_Place = tuple[_Reader, int, int]
"""The set of a window, its shard, and its row in the shard's file."""


def outside_vocabulary(sets: list[TrainingSet]) -> list[str]:
    """Return the electrodes of the sets that the network has no embedding for."""
    return sorted({name for one in sets for name in one.train.electrodes} - set(VOCABULARY))


class Loader:
    """Iterates over this rank's micro-batches from a step on; closing it ends its thread.

    An error in the thread is raised where the batch that it was to make is asked for.
    """

    def __init__(
        self, order: OrderPlan, sets: list[TrainingSet], config: PretrainConfig, first: int = 0, ranks: Ranks = ALONE
    ) -> None:
        self._order, self._config, self._ranks = order, config, ranks
        self._readers = [_Reader(one.train) for one in sets]
        self._steps = range(first, order.steps)
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
        size = self._order.micro_batch
        # One batch is with the consumer and one in the making beside those that wait.
        buffers = {
            reader.shape: cycle([np.empty((size, *reader.shape), np.int16) for _ in range(_AHEAD + 2)])
            for reader in self._readers
        }
        try:
            for step in self._steps:
                slots = self._order.slots(step)
                for number in self._ranks.share(self._order.global_batch // size):
                    mine = slots.between(number * size, (number + 1) * size)
                    batch = self._batch(step, number, mine, next(buffers[self._readers[int(mine.source[0])].shape]))
                    if self._closed.is_set():
                        return
                    self._queue.put(batch)
            self._queue.put(None)
        except Exception as problem:
            self._queue.put(problem)

    def _batch(self, step: int, number: int, slots: Slots, counts: NDArray[np.int16]) -> MicroBatch:
        rows = np.empty(len(slots.row), np.int64)
        for source in np.unique(slots.source).tolist():
            mine = slots.source == source
            rows[mine] = self._readers[source].windows.stored_rows(slots.shard[mine], slots.row[mine])
        readers = [self._readers[source] for source in slots.source.tolist()]
        places = list(zip(readers, slots.shard.tolist(), rows.tolist(), strict=True))
        drawn = draws.for_training(self._config, step, number, len(readers[0].ids), readers[0].length)
        return _read(step, number, places, drawn, counts)


def valid_batches(
    sets: list[TrainingSet], config: PretrainConfig, step: int = 0, ranks: Ranks = ALONE
) -> Iterator[MicroBatch]:
    """Yield every valid window once, in a fixed order; the last batch of a set is padded. Ranks take turns.

    Crops and masks are the same each time, unless the config wants new ones at each step.
    """
    size = config.micro_batch
    readers = [_Reader(one.valid) for one in sets]
    starts = [(reader, start) for reader in readers for start in range(0, len(reader.windows), size)]
    for number in ranks.share(len(starts)):
        reader, start = starts[number]
        shards, rows = reader.windows.places(np.arange(start, min(start + size, len(reader.windows))))
        places = [(reader, *place) for place in zip(shards.tolist(), rows.tolist(), strict=True)]
        drawn = draws.for_validation(config, step, number, len(reader.ids), reader.length)
        yield _read(-1, number, places, drawn, np.zeros((size, *reader.shape), np.int16))


def _read(step: int, number: int, places: list[_Place], drawn: Draws, counts: NDArray[np.int16]) -> MicroBatch:
    """Read the windows of some places into the first of ``counts``; the others are padding."""
    first = places[0][0]
    scale = np.empty((len(counts), len(first.ids)), np.float32)
    for position, (reader, shard, row) in enumerate(places):
        scale[position] = reader.read(shard, row, int(drawn.crop[position]), counts[position])
    scale[len(places) :] = scale[0]  # padding lacks no electrode, so it costs no attention mask
    return MicroBatch(
        step=step,
        number=number,
        counts=counts,
        scale=scale,
        crop=drawn.crop,
        ids=first.ids,
        sfreq=first.windows.sfreq,
        weight=(np.arange(len(counts)) < len(places)).astype(np.float32),
        masks=drawn.masks,
        augmentation=drawn.augmentation,
        describe=partial(_described, places),
    )


def _described(places: list[_Place]) -> list[str]:
    return [f"{reader.windows.folder.name}: {reader.windows.describe(shard, row)}" for reader, shard, row in places]
