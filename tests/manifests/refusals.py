"""What a recipe that is refused is told."""

from pathlib import Path
from typing import Any

import pytest

from manifests import recipe as recipes
from manifests.errors import DareError


def refusal(*settings: str, corpus: str = "tuab", purpose: Any = "probe", file: Path | None = None) -> str:
    with pytest.raises(DareError) as refused:
        recipes.load(corpus, purpose, settings, file)
    assert "\n" not in str(refused.value)
    return str(refused.value)
