"""Faults: what a record's check found, in words of our own, and which known name a misspelt one is near."""

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

_LONGEST = 60  # characters of a value that are shown

_SAYS: dict[str, str] = {
    "missing": "must be stated",
    "extra_forbidden": "is no field",
    "literal_error": "must be {expected}, not {value}",
    "string_type": "must be a text, not {value}",
    "string_too_short": "must not be empty",
    "string_too_long": "must have {max_length} characters at most, not {length}",
    "string_pattern_mismatch": "must be spelt as {pattern} says, unlike {value}",
    "int_type": "must be a whole number, not {value}",
    "int_parsing": "must be a whole number, not {value}",
    "int_from_float": "must be a whole number, not {value}",
    "float_type": "must be a number, not {value}",
    "float_parsing": "must be a number, not {value}",
    "finite_number": "must be a finite number, not {value}",
    "bool_type": "must be true or false, not {value}",
    "bool_parsing": "must be true or false, not {value}",
    "greater_than": "must be above {gt:g}, not {value}",
    "greater_than_equal": "must be {ge:g} or more, not {value}",
    "less_than": "must be below {lt:g}, not {value}",
    "less_than_equal": "must be {le:g} or less, not {value}",
    "tuple_type": "must be a list, not {value}",
    "list_type": "must be a list, not {value}",
    "dict_type": "must be a table, not {value}",
    "model_type": "must be a table, not {value}",
    "model_attributes_type": "must be a table, not {value}",
    "too_short": "must have {min_length} or more, not {actual_length}",
    "too_long": "must have {max_length} at most",
}
_PATTERNS = {r"^[a-z0-9]+$": "must be small letters and digits alone, unlike {value}"}


def said(error: Mapping[str, Any]) -> str:
    """Return why a value does not hold, of one of pydantic's errors."""
    context = error.get("ctx", {})
    kind, value = error["type"], error.get("input")
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing" and error["loc"] and isinstance(error["loc"][-1], int):
        return "is one entry too few"
    says = _PATTERNS.get(context.get("pattern", ""), _SAYS.get(kind, "cannot be {value}"))
    length = len(value) if isinstance(value, str) else 0
    return says.format(**context | {"value": _shown(value), "length": length})


def near(word: str, known: Iterable[str]) -> str:
    """Return the known name that a word is most like, whatever its case, "" where it is like none or is one.

    One with the same letters in another order comes first.
    """
    names, folded = list(known), word.lower()
    by_folded = {name.lower(): name for name in reversed(names)}
    found = difflib.get_close_matches(folded, by_folded, n=5, cutoff=0.7)
    found.sort(key=lambda name: sorted(name) != sorted(folded))
    return by_folded[found[0]] if found and word not in names else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the question whether a known name is meant, "" where a word is near none."""
    name = near(word, known)
    return f"did you mean {name}?" if name else ""


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ..."
