"""What the tests of the readers share: a place for a file they wrote, and what a refusal looks like."""

from collections.abc import Callable
from pathlib import Path

import pytest

from manifests.errors import DareError

Saved = Callable[..., Path]


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    """Save these bytes, under this name, and return the path."""

    def save(content: bytes, name: str = "a.edf") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return save


def assert_refused(act: Callable[[], object], *parts: str) -> None:
    """Assert that an act is refused in one line, which holds these parts."""
    with pytest.raises(DareError) as refusal:
        act()
    assert "\n" not in str(refusal.value)
    for part in parts:
        assert part in str(refusal.value)
