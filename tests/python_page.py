"""The Python interface as a page: what the doors of the wings export, from its signatures and docstrings.

``python -m tests.python_page`` writes it anew, below the examples of docs/python.md, which are written by hand.
"""

import ast
import inspect
import re
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import dare_eeg
import pipelines

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
BEGIN = "<!-- From here on the page is made of the docstrings: python -m tests.python_page -->\n"


def page(text: str) -> str:
    """Return a page's text with the part below the line that begins it made anew."""
    by_hand, begin, _ = text.partition(BEGIN)
    assert begin, f"{PAGE} has lost the line that divides it"
    return by_hand + begin + "\n" + "\n".join(told(module) for module in (dare_eeg, pipelines))


def told(module: ModuleType) -> str:
    """Return what a module exports, and what that gives back, as a chapter."""
    exported = {name: getattr(module, name) for name in module.__all__}
    parts = [f"## `{module.__name__}`\n", *(_entry(f"{module.__name__}.{name}", one) for name, one in exported.items())]
    given = {one.__name__: one for function in exported.values() for one in _given(function, module)}
    parts += [_entry(name, one) for name, one in sorted(given.items()) if name not in exported]
    return "\n".join(parts)


def _given(exported: Any, module: ModuleType) -> list[type]:
    """Return the classes of ours that a function returns or yields."""
    found = exported.__annotations__.get("return") if inspect.isfunction(exported) else None
    return [one for one in (found, *getattr(found, "__args__", ())) if _is_ours(one, module)]


def _is_ours(one: Any, module: ModuleType) -> bool:
    return inspect.isclass(one) and one.__module__.partition(".")[0] == module.__name__


def _entry(name: str, one: Any) -> str:
    """Return the entry of a function, or of a class with its public members."""
    if not inspect.isclass(one):
        return f"### `{name}`\n\n{_called(name, one)}\n{_doc(one)}\n"
    begun = vars(one).get("__init__")
    lines = [f"### `{name}`\n", *([_called(name, begun)] if begun and _source(begun) else []), f"{_doc(one)}\n"]
    members = [_member(name, value) for name, value in vars(one).items() if _is_public(value) and name[0] != "_"]
    return "\n".join([*lines, *members, *[""] * bool(members)])


def _is_public(member: Any) -> bool:
    return inspect.isfunction(_function(member)) and bool(_function(member).__doc__)


def _function(member: Any) -> Any:
    """Return the function behind a method or a property, cached or not."""
    return getattr(member, "fget", None) or getattr(member, "func", None) or member


def _member(name: str, member: Any) -> str:
    called = f"{name}({_arguments(member)})" if inspect.isfunction(member) else name
    return f"- `{called}`: {' '.join(_doc(_function(member)).split())}"


def _called(name: str, function: Any) -> str:
    """Return how a function is called."""
    returns = ast.unparse(node) if (node := _definition(function).returns) else "None"
    after = "" if function.__name__ == "__init__" else f" -> {returns}"
    return f"`{name}({_arguments(function)}){after}`\n"


def _arguments(function: Any) -> str:
    told = re.sub(r"^self(, )?", "", ast.unparse(_definition(function).args))
    return re.sub(r"(?<! )=(?! )", " = ", told)


def _definition(function: Any) -> ast.FunctionDef:
    (found,) = ast.parse(_source(function)).body
    assert isinstance(found, ast.FunctionDef)
    return found


def _source(function: Any) -> str:
    """Return the source of a function, empty where it is made by the language, as the start of a dataclass is."""
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        return ""


def _doc(one: Any) -> str:
    return (inspect.getdoc(one) or "").replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
