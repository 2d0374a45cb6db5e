"""Fixtures of tests that read other people's encoders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dare_eeg.encoders.zoo import small_model, write_positions


@pytest.fixture(scope="session")
def positions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with positions for REVE."""
    folder = tmp_path_factory.mktemp("positions")
    write_positions(folder)
    return folder


@pytest.fixture(autouse=True)
def _with_positions(positions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVE_POSITIONS_PATH", str(positions))


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Path]]:
    """Return a small model of braindecode's with random weights, and the folder that it saved itself in."""
    made: dict[str, tuple[Any, Path]] = {}

    def model_of(name: str) -> tuple[Any, Path]:
        if name not in made:
            folder = tmp_path_factory.mktemp("zoo") / name
            made[name] = small_model(name, folder), folder
        return made[name]

    return model_of
