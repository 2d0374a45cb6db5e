"""The loader: rows as tarfile reads them, the same for any number of ranks, at the network's rate and length."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dare_eeg.data.shards import TrainingSet, open_shards, training_sets
from dare_eeg.network.losses import measure, total
from dare_eeg.network.model import SIZES, Network
from dare_eeg.running.ranks import ALONE, Ranks
from dare_eeg.training.augment import Augmentation
from dare_eeg.training.config import PretrainConfig
from dare_eeg.training.loader import Loader, outside_vocabulary, valid_batches
from dare_eeg.training.micro_batch import MicroBatch
from dare_eeg.training.order import OrderPlan
from dare_eeg.training.pretrain import plan_order
from manifests.electrodes import VOCABULARY
from manifests.errors import DareError
from tests import judges
from tests.dare_eeg.sets import FOUR, QUANTUM_UV, Window, flip_byte, recorded, write_set

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


def configured(**fields: Any) -> PretrainConfig:
    return PretrainConfig(**{"shards": "", "out": "", "steps": 6, "global_batch": 8, "micro_batch": 4} | fields)


def planned(sets: list[TrainingSet], **fields: Any) -> OrderPlan:
    return plan_order(configured(**fields), sets)


def load(folder: Path, first: int = 0, ranks: Ranks = ALONE, **fields: Any) -> Iterator[MicroBatch]:
    """Yield a rank's micro-batches of a short plan; each is good until the next is asked for."""
    sets = training_sets(folder)
    loader = Loader(planned(sets, **fields), sets, configured(**fields), first, ranks)
    try:
        yield from loader
    finally:
        loader.close()


def facts(batch: MicroBatch) -> dict[str, bytes]:
    """Return all that a batch says, for comparison."""
    x_BCT, ids_C, present_BC, weight_B = batch.tensors(CPU, 0.01)
    arrays = {"x": x_BCT, "ids": ids_C, "present": present_BC, "weight": weight_B, **vars(batch.masks)}
    arrays |= vars(batch.augmentation) if batch.augmentation else {}
    told = {name: np.asarray(value).tobytes() for name, value in arrays.items()}
    return told | {"which": repr((batch.step, batch.number, batch.windows)).encode()}


def stored_rows(folder: Path, split: str = "train") -> list[list[np.ndarray]]:
    """Return the counts of every window of every shard by tarfile."""
    tars = sorted((folder / split).glob("*.tar"))
    return [[np.load(io.BytesIO(content)) for _, content in judges.members(tar)[::2]] for tar in tars]


def sines(samples: int, sfreq: float, hz: float, electrodes: int = 4, windows: int = 8) -> list[Window]:
    phase = np.arange(electrodes)[:, None]
    data_uv = 100 * np.sin(2 * np.pi * hz * np.arange(samples) / sfreq + phase)
    return [Window(np.rint(data_uv / QUANTUM_UV).astype(np.int16)) for _ in range(windows)]


def test_micro_batches_are_the_rows_of_the_plan_read_by_hand(four_electrodes: Path) -> None:
    stored = stored_rows(four_electrodes)
    plan = planned(training_sets(four_electrodes))
    starts = []
    for count, batch in enumerate(load(four_electrodes)):
        assert (batch.step, batch.number) == divmod(count, 2)
        slots = plan.slots(batch.step)
        mine = slice(4 * batch.number, 4 * batch.number + 4)
        x_BCT, ids_C, present_BC, weight_B = batch.tensors(CPU, 0.01)
        rows = [stored[shard][row] for shard, row in zip(slots.shard[mine], slots.row[mine], strict=True)]
        by_hand = np.stack([row[:, crop : crop + 1024] for row, crop in zip(rows, batch.crop, strict=True)])
        np.testing.assert_allclose(x_BCT, by_hand * QUANTUM_UV * 0.01, rtol=1e-6)
        assert [VOCABULARY[number] for number in ids_C] == list(FOUR)
        assert present_BC is None
        assert (weight_B == 1).all()
        starts += batch.crop.tolist()
    assert len(starts) == 48
    assert len({tuple(starts[first : first + 4]) for first in range(0, 48, 4)}) == 12
    assert 0 <= min(starts) < 64
    assert 192 < max(starts) <= 256


def test_a_batch_says_which_windows_it_holds(four_electrodes: Path) -> None:
    plan = planned(training_sets(four_electrodes))
    windows = training_sets(four_electrodes)[0].train
    batch = next(load(four_electrodes))
    slots = plan.slots(0)
    expected = [f"four: {windows.describe(*place)}" for place in zip(slots.shard[:4], slots.row[:4], strict=True)]
    assert batch.windows == expected
    assert all(text.split()[1] in {"a.edf", "b.edf", "c.edf"} for text in batch.windows)


def test_windows_of_excluded_subjects_are_never_loaded(four_electrodes: Path, tmp_path: Path) -> None:
    other = write_set(tmp_path / "other", {"train": [recorded("tuh:b", 1)]})
    sets = training_sets(four_electrodes, (str(other),))
    loader = Loader(planned(sets, steps=5), sets, configured(steps=5))
    met = [text for batch in loader for text in batch.windows]
    loader.close()
    whole = open_shards(four_electrodes)
    places = zip(whole.subjects, whole.shard.tolist(), whole.row.tolist(), strict=True)
    kept = [f"four: {whole.describe(shard, row)}" for subject, shard, row in places if subject != "tuh:b"]
    assert len(kept) == 10
    assert all(sorted(met[first : first + 10]) == sorted(kept) for first in range(0, 40, 10))


@pytest.mark.parametrize("fields", [{}, {"augment": True, "masking": "window"}])
def test_two_ranks_together_load_what_one_loads(four_electrodes: Path, fields: dict[str, Any]) -> None:
    alone = [facts(batch) for batch in load(four_electrodes, **fields)]
    shared = [[facts(batch) for batch in load(four_electrodes, ranks=Ranks(rank, 2), **fields)] for rank in (0, 1)]
    assert [len(mine) for mine in shared] == [6, 6]
    assert [batch for pair in zip(*shared, strict=True) for batch in pair] == alone


def test_starting_at_a_step_gives_what_going_there_gives(four_electrodes: Path) -> None:
    whole = [facts(batch) for batch in load(four_electrodes)]
    assert [facts(batch) for batch in load(four_electrodes, first=4)] == whole[8:]
    assert len({batch["x"] for batch in whole}) == 12
    assert len({batch["mask_x"] for batch in whole}) == 12


def test_masks_are_for_a_micro_batch_a_step_or_a_window_as_asked(four_electrodes: Path) -> None:
    def of_steps(**fields: Any) -> list[list[bytes]]:
        masks = [batch.masks.mask_x.tobytes() for batch in load(four_electrodes, **fields)]
        return [masks[first : first + 2] for first in range(0, 12, 2)]

    assert all(first != second for first, second in of_steps())
    assert all(first == second for first, second in of_steps(mask_for="step"))
    assert len({mask for masks in of_steps(mask_for="step") for mask in masks}) == 6
    assert all(batch.masks.mask_x.shape[0] == 4 and batch.masks.mask_x.ndim == 3
               for batch in load(four_electrodes, masking="window"))  # fmt: skip


def augmentations(folder: Path, micro_batch: int) -> Iterator[Augmentation]:
    for batch in load(folder, augment=True, micro_batch=micro_batch):
        assert batch.augmentation is not None
        yield batch.augmentation


def test_augmentation_belongs_to_slots_and_is_off_by_default(four_electrodes: Path) -> None:
    assert all(batch.augmentation is None for batch in load(four_electrodes))
    of_four, of_two = (
        [
            np.concatenate([getattr(one, name) for one in augmentations(four_electrodes, size)])
            for name in ("factor", "kept", "noise")
        ]
        for size in (4, 2)
    )
    for four, two in zip(of_four, of_two, strict=True):
        np.testing.assert_array_equal(four, two)
    later = next(load(four_electrodes, first=3, augment=True))
    assert later.augmentation is not None
    np.testing.assert_array_equal(later.augmentation.noise, of_four[2][24:28])
    assert later.augmentation(later.tensors(CPU, 0.01)[0]).shape == (4, 4, 1024)


@pytest.mark.parametrize(("sfreq", "samples"), [(250, 1001), (200, 1000)])
def test_the_published_stretching_takes_the_nearest_sample(tmp_path: Path, sfreq: float, samples: int) -> None:
    folder = write_set(tmp_path / "sines", {"train": [sines(samples, sfreq, hz=10.0)]}, sfreq=sfreq)
    batch = next(load(folder))
    x_BCT = batch.tensors(CPU, 1.0, nearest=True)[0]
    length = int(samples * 256 / sfreq)
    stretched = batch.counts[..., np.arange(length) * samples // length] * QUANTUM_UV
    expected = np.stack([window[:, crop : crop + 1024] for window, crop in zip(stretched, batch.crop, strict=True)])
    np.testing.assert_allclose(x_BCT, expected, rtol=1e-6)
    assert not torch.allclose(x_BCT, batch.tensors(CPU, 1.0)[0], atol=1.0)


def test_crops_belong_to_slots_whatever_the_micro_batch(four_electrodes: Path) -> None:
    of_four, of_two = (
        np.concatenate([batch.tensors(CPU, 0.01)[0].numpy() for batch in load(four_electrodes, micro_batch=size)])
        for size in (4, 2)
    )
    np.testing.assert_array_equal(of_four, of_two)


@pytest.mark.parametrize(
    ("sfreq", "samples", "length"), [(200, 2000, 1024), (250, 1000, 1024), (250, 2500, 1024), (256, 2560, 1024),
                                     (160, 640, 1024), (256, 512, 512), (500, 1000, 512)]
)  # fmt: skip
def test_any_rate_is_brought_to_256_hz_and_cropped_to_four_seconds(
    tmp_path: Path, sfreq: float, samples: int, length: int
) -> None:
    folder = write_set(tmp_path / "sines", {"train": [sines(samples, sfreq, hz=10.0)]}, sfreq=sfreq)
    for batch in load(folder):
        x_BCT = batch.tensors(CPU, 0.01)[0]
        assert x_BCT.shape == (4, 4, length)
        assert batch.masks.mask_x.max() < length // 64 * 4
        spectrum = np.abs(np.fft.rfft(x_BCT.numpy(), axis=-1))
        assert np.fft.rfftfreq(length, 1 / 256)[spectrum.argmax(axis=-1)] == pytest.approx(10.0)
        time_s = (batch.crop[:, None, None] + np.arange(length)) / 256
        expected = np.sin(2 * np.pi * 10 * time_s + np.arange(4)[:, None])
        # The last sample lies after the last recorded one where the rate rises.
        np.testing.assert_allclose(x_BCT[..., :-1], expected[..., :-1], atol=0.01)


def test_absent_electrodes_are_not_present(tmp_path: Path) -> None:
    windows = [Window(window.counts, absent=(number % 4,)) for number, window in enumerate(recorded("tuh:a", 8))]
    folder = write_set(tmp_path / "lacking", {"train": [windows]})
    seen = set()
    for batch in load(folder):
        x_BCT, _, present_BC, _ = batch.tensors(CPU, 0.01)
        assert present_BC is not None
        assert (present_BC.sum(dim=1) == 3).all()
        assert not x_BCT[~present_BC].any()
        assert (x_BCT[present_BC].abs().amax(dim=-1) > 0.1).all()
        seen |= set(present_BC.int().argmin(dim=1).tolist())
    assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize("sfreq", [256.0, 200.0])
def test_electrodes_without_an_embedding_are_dropped(tmp_path: Path, sfreq: float) -> None:
    full = recorded("tuh:a", 8)
    electrodes = ("A1", "C3", "T1", "PZ")
    folder = write_set(tmp_path / "more", {"train": [full]}, electrodes, sfreq)
    fewer = [Window(window.counts[[1, 3]], recording=window.recording) for window in full]
    without = write_set(tmp_path / "fewer" / "more", {"train": [fewer]}, ("C3", "PZ"), sfreq)
    assert outside_vocabulary(training_sets(folder)) == ["A1", "T1"]
    names = {tuple(VOCABULARY[number] for number in batch.ids) for batch in load(folder)}
    assert names == {("C3", "PZ")}
    strip = [{k: v for k, v in facts(batch).items() if k != "which"} for batch in load(folder)]
    assert strip == [{k: v for k, v in facts(batch).items() if k != "which"} for batch in load(without)]


def test_a_set_with_no_known_electrode_is_refused(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "ears", {"train": [recorded("tuh:a", 2, electrodes=2)]}, ("A1", "A2"))
    with pytest.raises(DareError, match="ears: none of its electrodes is among the 62 of the network; leave it out"):
        planned(training_sets(folder))


def test_sets_of_two_montages_are_loaded_in_turn(four_electrodes: Path, tmp_path: Path) -> None:
    other = write_set(tmp_path / "other", {"train": [recorded("tuh:z", 15, 640, 2)]}, ("O1", "O2"), 160.0)
    sets = training_sets(four_electrodes) + training_sets(other)
    plan = planned(sets, steps=20)
    loader = Loader(plan, sets, configured(steps=20))
    shapes = {}
    for batch in loader:
        shapes.setdefault(batch.step, set()).add(batch.tensors(CPU, 0.01)[0].shape[1:])
    loader.close()
    assert all(len(of_step) == 1 for of_step in shapes.values())
    assert set.union(*shapes.values()) == {(4, 1024), (2, 1024)}


def test_an_error_in_the_thread_is_raised_where_its_batch_is_asked_for(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "damaged", {"train": [recorded("tuh:a", 48)]})
    spoiled = int(planned(training_sets(folder)).slots(3).row[0])
    tar = folder / "train" / "000000.tar"
    flip_byte(tar, judges.members(tar)[2 * spoiled][0].offset_data + 1000)
    batches = load(folder)
    assert [next(batches).step for _ in range(6)] == [0, 0, 1, 1, 2, 2]
    with pytest.raises(DareError, match=rf"000000\.tar: window {spoiled} \(a\.edf at {5 * spoiled} s\) its checksum"):
        next(batches)


def valid_set(tmp_path: Path) -> list[TrainingSet]:
    splits = {"train": [recorded("tuh:a", 1)], "valid": [recorded("tuh:d", 7), recorded("tuh:e", 4)]}
    return training_sets(write_set(tmp_path / "valid", splits))


def test_valid_batches_hold_every_window_once_and_never_change(tmp_path: Path) -> None:
    sets = valid_set(tmp_path)
    first, again = (list(valid_batches(sets, configured())) for _ in range(2))
    assert [facts(batch) for batch in first] == [facts(batch) for batch in again]
    assert [int(batch.weight.sum()) for batch in first] == [4, 4, 3]
    stored = [counts for shard in stored_rows(sets[0].valid.folder, "valid") for counts in shard]
    kept = [
        (counts, crop) for batch in first
        for counts, crop, weight in zip(batch.counts, batch.crop, batch.weight, strict=True) if weight
    ]  # fmt: skip
    assert len(kept) == 11
    for (counts, crop), whole in zip(kept, stored, strict=True):
        np.testing.assert_array_equal(counts, whole[:, crop : crop + 1024])
    places = [(0, row) for row in range(7)] + [(1, row) for row in range(4)]
    expected = [f"valid: {sets[0].valid.describe(*place)}" for place in places]
    assert [text for batch in first for text in batch.windows] == expected
    assert [facts(batch) for batch in valid_batches(sets, configured(seed=2026))] != [facts(batch) for batch in first]


def test_valid_draws_are_new_at_each_step_where_asked(tmp_path: Path) -> None:
    sets = valid_set(tmp_path)

    def at(step: int, valid_draws: str) -> list[bytes]:
        return [facts(batch)["mask_y"] for batch in valid_batches(sets, configured(valid_draws=valid_draws), step)]

    assert at(1, "fixed") == at(2, "fixed")
    assert at(1, "new") == at(1, "new")
    assert all(first != second for first, second in zip(at(1, "new"), at(2, "new"), strict=True))


def test_padding_changes_no_loss(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Network(SIZES["nano"])
    *_, batch = valid_batches(valid_set(tmp_path), configured())
    x_BCT, ids_C, present_BC, weight_B = batch.tensors(CPU, 0.01)
    noisy = torch.where(weight_B[:, None, None] > 0, x_BCT, torch.randn_like(x_BCT))
    temperature = network.loss_mc.temperature
    alone = measure(network(x_BCT[:3], ids_C, batch.masks), temperature)
    for padded in (x_BCT, noisy):
        losses = measure(network(padded, ids_C, batch.masks, present_BC), temperature, weight_B)
        for name, value in vars(alone).items():
            torch.testing.assert_close(getattr(losses, name), value, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(total(losses), total(alone), rtol=1e-5, atol=1e-6)
