"""What the checkout promises about itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.errors import EtlError, WarehouseError

ROOT = Path(__file__).parent.parent
TOP_LEVEL = {
    "Makefile",
    "README.md",
    "config",
    "constraints.txt",
    "etl",
    "migrations",
    "pyproject.toml",
    "tests",
}
LONGEST_FILE = 400
# The rooms of the package, in the order in which a sync walks through them: each may know those before it.
LEAVES = (
    *(
        "errors",
        "secret",
        "stop",
        "escapes",
        "printable",
        "measures",
        "clock",
        "meter",
        "open_files",
        "schedule",
        "column_types",
        "statement",
    ),
    *("streak", "tables", "views", "dictionary", "standin"),
)
ROAD = (
    *("config", "extract", "normalize", "warehouse", "load", "ledger", "status", "sync", "notices", "notify"),
    *("daemon", "serve", "demo", "cli", "__main__"),
)
# In pieces, so that this file does not name them itself.
ELSEWHERE = [
    "pypi" + r"\.org",
    "python" + r"hosted\.org",
    "npm" + r"js\.(org|com)",
    r"deb\.deb" + r"ian\.org",
    r"/opt/(pypi|wheels)",
    r"/(root|Users|work/(main|shared|steering))/",
    r"/ho" + r"me/[a-z]",
    r"--(extra-index-url|index-url|find-links)[ =]",
]


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """Every file that is, or would be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_the_top_level_holds_what_the_layout_foresees(files: list[Path]) -> None:
    names = {path.relative_to(ROOT).parts[0] for path in files}
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL


def test_no_file_names_a_package_host_or_a_place_on_one_machine(files: list[Path]) -> None:
    pattern = re.compile("|".join(ELSEWHERE))
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line[:120]}"
        for path in files
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []


def test_files_of_the_package_are_short_enough_to_read(files: list[Path]) -> None:
    sources = [path for path in files if path.suffix == ".py" and path.is_relative_to(ROOT / "etl")]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources}
    assert sources
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_data_flows_forward() -> None:
    rooms = {
        path.stem if path.parent == ROOT / "etl" else path.relative_to(ROOT / "etl").parts[0]
        for path in (ROOT / "etl").rglob("*.py")
    }
    assert rooms - {"__init__"} == {*LEAVES, *ROAD}
    places = {room: place for place, room in enumerate((*LEAVES, *ROAD))}
    backwards = [
        f"etl/{room} imports etl/{known}"
        for room in places
        for known in _rooms_known_to(room)
        if places[known] > places[room]
    ]
    assert backwards == []


def _rooms_known_to(room: str) -> Iterator[str]:
    """The rooms that this one imports, wherever in its files it does so."""
    package = ROOT / "etl" / room
    for path in sorted(package.rglob("*.py")) if package.is_dir() else [package.with_suffix(".py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            known = {name.split(".")[1] for name in names if name.startswith("etl.")}
            yield from sorted(known - {"__version__"})


def test_make_lists_every_target() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    shown = subprocess.run(["make"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert re.findall(r"^ +make ([a-z-]+)  +\S", shown, re.MULTILINE) == targets
    assert {"demo", "test", "lint", "types", "stress", "docs"} <= set(targets)


def test_every_dependency_is_pinned_and_hashed() -> None:
    text = (ROOT / "constraints.txt").read_text()
    entries = re.split(r"\n(?=[a-z])", text.partition("\n")[2].strip())
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9.-]+==\S+ (; [^\\]+)?\\\n +--hash=sha256:[0-9a-f]{64}", entry), entry


def test_the_source_distribution_holds_the_package_alone(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    (archive,) = tmp_path.iterdir()
    with tarfile.open(archive) as opened:
        names = [Path(*Path(name).parts[1:]) for name in opened.getnames()]
    assert {name.parts[0] for name in names} - {".gitignore", "PKG-INFO"} == {
        "README.md",
        "etl",
        "migrations",
        "pyproject.toml",
    }


def test_readme_lists_what_may_fail_of_a_workspace() -> None:
    told = set(
        re.findall(r"`(\w+)`", _between("The `error_code` of a workspace says what failed:", "## Query"))
    )
    whole_passes = {"usage_error", "driver_missing"}  # refused before any workspace
    codes = {kind.code for kind in _kinds(EtlError) if not kind.__subclasses__() or kind is WarehouseError}
    assert told == codes - whole_passes


def _between(begin: str, end: str) -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8").partition(begin)[2].partition(end)[0]


def _kinds(kind: type[EtlError]) -> Iterator[type[EtlError]]:
    for one in kind.__subclasses__():
        yield one
        yield from _kinds(one)
