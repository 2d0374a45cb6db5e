"""The house stands: who may import whom, how long a file is, and what a wheel installs."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from setuptools import find_packages

HOUSE = Path(__file__).parents[1]
ROOMS = ("manifests", "pipelines", "dare_eeg")
FORBIDDEN = {
    "manifests": {"pipelines", "dare_eeg", "cli", "torch", "mne", "dask", "distributed", "deepspeed"},
    "pipelines": {"dare_eeg", "cli", "torch", "deepspeed"},
    "dare_eeg": {"pipelines", "cli", "mne", "dask", "distributed"},
}
"""What a room knows nothing of; raw recordings are read in pipelines alone, and networks trained in dare_eeg."""

MAX_LINES = 400
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def sources() -> list[Path]:
    found = [HOUSE / "cli.py", *(path for room in ROOMS for path in sorted((HOUSE / room).rglob("*.py")))]
    assert len(found) > 40
    return found


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8"), path.name))


def imports(path: Path) -> set[str]:
    """Return the top-level names a file imports, anywhere in it."""
    names = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_imports_upward(room: str) -> None:
    upward = {path.name: found for path in (HOUSE / room).rglob("*.py") if (found := imports(path) & FORBIDDEN[room])}
    assert upward == {}


def rooms_imported(wing: str) -> dict[str, set[str]]:
    """Return, by room of a wing (a file or a folder directly below it), the other rooms of it that it imports."""
    found: dict[str, set[str]] = {}
    for path in (HOUSE / wing).rglob("*.py"):
        room = path.relative_to(HOUSE / wing).parts[0].removesuffix(".py")
        named = {f"{node.module}.{alias.name}" for node in nodes(path) if isinstance(node, ast.ImportFrom)
                 for alias in node.names}  # fmt: skip
        named |= {alias.name for node in nodes(path) if isinstance(node, ast.Import) for alias in node.names}
        others = {parts[1] for name in named if (parts := name.split("."))[0] == wing and len(parts) > 1}
        found.setdefault(room, set()).update(others - {room})
    found.pop("__init__", None)  # the door of the wing, which the rooms do not use
    return {room: others & found.keys() for room, others in found.items()}


@pytest.mark.parametrize("wing", ROOMS)
def test_imports_run_one_way_within_a_wing(wing: str) -> None:
    below = rooms_imported(wing)
    assert sum(map(len, below.values())) > 5
    while leaves := [room for room, others in below.items() if not others]:
        below = {room: others - set(leaves) for room, others in below.items() if room not in leaves}
    assert below == {}, "these rooms import each other in a circle"


LAW: dict[str, set[str]] = {
    "data": set(),
    "network": set(),
    "running": set(),
    "encoders": {"data", "network", "running"},
    "training": {"data", "network", "running", "encoders"},
    "probing": {"data", "network", "running", "encoders"},
}
"""Which rooms of dare_eeg each may know; those that train and those that probe know nothing of each other."""


def test_rooms_of_dare_eeg_know_only_those_below_them() -> None:
    imported = rooms_imported("dare_eeg")
    assert imported.keys() == {*LAW, "commands"}
    assert {room: others - LAW[room] for room, others in imported.items() if room in LAW and others - LAW[room]} == {}


@pytest.mark.parametrize(("one", "other"), [("probing", "training"), ("training", "probing")])
def test_a_room_loads_nothing_of_its_neighbour(one: str, other: str) -> None:
    files = (HOUSE / "dare_eeg" / one).rglob("*.py")
    names = [".".join(path.relative_to(HOUSE).with_suffix("").parts).removesuffix(".__init__") for path in files]
    assert len(names) > 8
    code = f"import sys, {', '.join(names)}; print([one for one in sys.modules if 'dare_eeg.{other}' in one])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_imports_are_seen_wherever_they_stand() -> None:
    assert "manifests" in imports(HOUSE / "cli.py")
    assert "mne" in imports(HOUSE / "pipelines" / "reference.py")


def test_no_file_is_long() -> None:
    long = {path.name: length for path in sources() if (length := len(path.read_text().splitlines())) > MAX_LINES}
    assert long == {}


def test_no_file_is_a_drawer_of_odds_and_ends() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}
    assert [path for path in sources() if path.stem in drawers] == []


def test_folders_of_tests_mirror_the_rooms() -> None:
    tests = HOUSE / "tests"
    folders = {path.parent.relative_to(tests) for path in tests.rglob("*.py")} - {Path()}
    assert folders >= {Path(room) for room in ROOMS}
    assert [str(folder) for folder in folders if HOUSE / folder not in {path.parent for path in sources()}] == []


def test_nothing_unpickles() -> None:
    assert {path.name: found for path in sources() if (found := imports(path) & PICKLES)} == {}
    for path in sources():
        for node in nodes(path):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert ast.literal_eval(node.value) is False, f"{path}:{node.value.lineno}"


def test_errors_say_their_class() -> None:
    bare = [
        f"{path.name}:{node.lineno}"
        for path in sources()
        for node in nodes(path)
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "DareError"
    ]
    assert bare == []


def test_torch_loads_weights_only() -> None:
    for path in sources():
        for node in nodes(path):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                said = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert said.get("weights_only") == "True", f"{path}:{node.lineno}"


def test_numpy_loads_name_their_distrust_of_pickles() -> None:
    for path in sources():
        for node in nodes(path):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "np.load":
                assert "allow_pickle" in {keyword.arg for keyword in node.keywords}, f"{path}:{node.lineno}"


def test_wheel_holds_the_three_rooms_and_the_door() -> None:
    settings = tomllib.loads((HOUSE / "pyproject.toml").read_text())
    installed = settings["tool"]["setuptools"]
    packages = find_packages(str(HOUSE), **installed["packages"]["find"])
    assert {name.split(".")[0] for name in packages} | set(installed["py-modules"]) == {*ROOMS, "cli"}
    assert {path.parent for path in sources()} - {HOUSE} == {HOUSE / name.replace(".", "/") for name in packages}
    assert settings["project"]["scripts"] == {"dare": "cli:main"}


def test_data_files_travel_with_the_package() -> None:
    patterns = tomllib.loads((HOUSE / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    installed = {path for room in patterns for pattern in patterns[room] for path in (HOUSE / room).glob(pattern)}
    files = {path for room in ROOMS for path in (HOUSE / room).rglob("*") if path.is_file()}
    assert {path for path in files if "__pycache__" not in path.parts} - set(sources()) == installed
    assert len(installed) >= 20


def test_no_function_has_more_than_seven_parameters() -> None:
    many = {}
    for path in sources():
        for node in nodes(path):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            is_door = any("command" in ast.unparse(one) or "option" in ast.unparse(one) for one in node.decorator_list)
            given = node.args
            names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            if not is_door and len([name for name in names if name not in ("self", "cls")]) > 7:
                many[f"{path.name}:{node.lineno} {node.name}"] = len(names)
    assert many == {}
