"""Draws: the crops, masks and augmentation of a micro-batch, pure functions of keys; whoever loads it changes nothing.

In training crops and augmentation are keyed by (seed, slot), masks by (seed, step, micro-batch).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dare_eeg.network import masks
from dare_eeg.network.constants import CROP, PATCH
from dare_eeg.network.masks import Masks, Rules
from dare_eeg.training import augment
from dare_eeg.training.augment import Augmentation, AugmentationStrength
from dare_eeg.training.config import PretrainConfig
from manifests import keyed


@dataclass(frozen=True)
class Draws:
    """What is drawn for a micro-batch: the first sample of each crop (B,), the masks, and what the views undergo."""

    crop: NDArray[np.int64]
    masks: Masks
    augmentation: Augmentation | None = None


def for_training(config: PretrainConfig, step: int, number: int, electrodes: int, length: int) -> Draws:
    """Return what is drawn for a micro-batch of a step: windows of some electrodes and ``length`` samples at 256 Hz."""
    size, seed = config.micro_batch, config.seed
    first_slot = step * config.global_batch + number * size
    slots = range(first_slot, first_slot + size)
    keys = np.array([keyed.key("crop", seed, slot) for slot in slots], np.uint64)
    when = (step, number) if config.mask_for == "micro_batch" else (step,)
    augmentation = None
    if config.augment:
        strength = AugmentationStrength(config.electrode_drop, config.time_drop, config.noise, config.gain)
        augmentation = augment.draw(seed, slots, electrodes, min(length, CROP), strength)
    return Draws(
        _crops(keyed.uniforms(keys, 1), length),
        _masks(keyed.key("mask", seed, *when), config, electrodes, length),
        augmentation,
    )


def for_validation(config: PretrainConfig, step: int, number: int, electrodes: int, length: int) -> Draws:
    """Return what is drawn for a micro-batch of validation: the same each time, unless the config wants it new."""
    when = (config.seed, "valid") if config.valid_draws == "fixed" else (config.seed, "valid at", step)
    return Draws(
        _crops(keyed.uniforms(keyed.key("crop", *when, number), config.micro_batch), length),
        _masks(keyed.key("mask", *when, number), config, electrodes, length),
    )


def _crops(uniforms: NDArray[np.float64], length: int) -> NDArray[np.int64]:
    return (uniforms * (max(length - CROP, 0) + 1)).astype(np.int64)


def _masks(key: int, config: PretrainConfig, electrodes: int, length: int) -> Masks:
    rules = Rules(config.targets or None, config.masking, config.second_view)
    return masks.draw(key, min(length, CROP) // PATCH, electrodes, rules, config.micro_batch)
