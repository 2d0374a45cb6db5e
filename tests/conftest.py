"""Fixtures of all rooms. Reference data lie outside the repository; tests that need them are skipped without."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from numpy.typing import ArrayLike

pytest.register_assert_rewrite("tests.commands", "tests.judges")  # so that their asserts tell what they compared
settings.register_profile("house", deadline=None)  # a busy machine is no failure
settings.load_profile("house")


def _folder(variable: str, holds: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set: it names the folder of {holds}")
    folder = Path(value)
    assert folder.is_dir(), f"{variable}={value} is no folder"
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """Weights, inputs and outputs of the published code."""
    return _folder("DARE_GOLDEN", "weights, inputs and outputs of the published code")


@pytest.fixture(scope="session")
def real() -> Path:
    """Recordings of real people and real layouts."""
    return _folder("DARE_REAL_DATA", "openly licensed recordings")


def relative_error(got: torch.Tensor, want: ArrayLike) -> float:
    """Return |got - want| / |want| by the Euclidean norm; the shapes must agree."""
    expected = np.asarray(want, dtype=np.float64)
    assert tuple(got.shape) == expected.shape
    return float(np.linalg.norm(got.detach().double().numpy() - expected) / np.linalg.norm(expected))
