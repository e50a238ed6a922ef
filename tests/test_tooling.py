"""What the checkout promises about itself."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

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
