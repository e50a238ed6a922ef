import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.children import REPOSITORY


@pytest.mark.slow
@pytest.mark.postgres
def test_every_work_runs_and_the_report_is_written(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--smoke", "--out", tmp_path],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "first load, 1,000 rows, Postgres" in (tmp_path / "results.md").read_text(encoding="utf-8")
    assert (tmp_path / "bench.svg").read_text(encoding="utf-8").startswith("<svg ")
