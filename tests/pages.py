"""Pages: their blocks, the commands in them, and whether what was printed is what they show.

A block is fenced, and its name says what it is:

- ``console``: lines that begin with ``$`` are commands, the others are what they print; ``...`` is anything, a line of
  it any lines, and numbers may be others;
- ``python``, ``toml`` (whose first line names the file that it is) and ``bash``;
- ``text``, which is only shown.

A comment such as ``<!-- cluster -->`` right above says what a block needs. An indented block, and one without a name,
is a console where it begins with a command, else text.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

HOUSE = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((HOUSE / "docs").glob("*.md"))))

_COMMAND = re.compile(r"(?:\$ |(?=(?:dare|make) ))(.*)")
_NEEDS = re.compile(r"<!-- (\w+) -->")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*(?:e[-+]\d+)?")


class Block(NamedTuple):
    """A block of a page: what it is, what it needs, its text, and how many lines of the page are above it."""

    kind: str
    needs: str
    text: str
    above: int


class Command(NamedTuple):
    """A command in one line, and the lines that are shown after it."""

    text: str
    shown: list[str]


def text_of(page: str) -> str:
    """Return what a page says."""
    return (HOUSE / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page, top to bottom; ValueError where one has no end or is set in."""
    lines = ["", *text_of(page).splitlines()]
    found, number = [], 1
    while number < len(lines):
        if lines[number].startswith("```"):
            stop = lines.index("```", number + 1)
            needs = _NEEDS.fullmatch(lines[number - 1])
            found.append(_block(lines[number][3:], needs[1] if needs else "", lines[number + 1 : stop], number))
            number = stop
        elif "```" in lines[number] or "~~~" in lines[number]:
            raise ValueError(f"{page}:{number}: a block that does not begin with its line")
        elif lines[number].startswith("    ") and not lines[number - 1]:
            stop = next((n for n in range(number, len(lines)) if lines[n][:4].strip()), len(lines))
            found.append(_block("", "", [line[4:] for line in lines[number:stop]], number - 1))
            number = stop - 1
        number += 1
    return found


def _block(kind: str, needs: str, lines: list[str], above: int) -> Block:
    kind = kind or ("console" if _COMMAND.match(lines[0]) else "text")
    return Block(kind, needs, "\n".join(lines) + "\n", above)


def commands(block: Block) -> list[Command]:
    """Return the commands of a console without their comments; ValueError where it begins with none."""
    found: list[Command] = []
    for line in re.sub(r"\\\n\s*", "", block.text).splitlines():
        if command := _COMMAND.match(line):
            found.append(Command(re.sub(r"\s+#.*$", "", command[1]), []))
        elif found:
            found[-1].shown.append(line)
        else:
            raise ValueError(f"begins with no command: {line}")
    return found


def not_printed(shown: Iterable[str], printed: Iterable[str]) -> str:
    """Return the first of the lines shown that was not printed after those above it, "" where all were."""
    left = iter([_plain(line) for line in printed])
    for line in (line for line in shown if line.strip() not in ("", "...")):
        pattern = ".*".join(map(re.escape, re.split(r" ?\.\.\. ?", _plain(line))))
        if not any(re.fullmatch(pattern, one) for one in left):
            return line
    return ""


def _plain(line: str) -> str:
    """Return a line with all numbers alike and single spaces."""
    return " ".join(_NUMBER.sub("#", line).split())
