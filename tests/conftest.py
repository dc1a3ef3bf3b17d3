"""Fixtures for all tests; published data are used where they are at hand."""

import json
import os
from pathlib import Path

# tests run side by side on small systems: threads would only get in each other's way
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from ase import Atoms

import mentor

SHARED = Path(__file__).parent.parent.parent / "shared"

ELEMENTS = {"AgPd": ("Ag", "Pd"), "Cu": ("Cu",), "Li": ("Li",), "Si": ("Si",)}
"""Types of the published potentials (AgPd.mtp has a third one that no structure uses)."""


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of published data and results of other programs."""
    if not SHARED.is_dir():
        pytest.skip("the folder of published data is not at hand")
    return SHARED


@pytest.fixture(scope="session")
def published(shared):
    """``published("Cu")``: a published potential."""
    loaded = {}

    def load(name: str) -> mentor.Potential:
        if name not in loaded:
            path = shared / "reference" / "potentials" / f"{name}.mtp"
            loaded[name] = mentor.load(path, elements=ELEMENTS[name.split("-")[0]])
        return loaded[name]

    return load


@pytest.fixture(scope="session")
def efs(shared):
    """What MLIP-3 gives for the published potentials: name → list of (Atoms, record)."""
    records = json.loads((shared / "reference" / "efs.json").read_text())

    def structure(record: dict) -> Atoms:
        names = ("symbols", "positions", "cell", "pbc")
        return Atoms(**{name: record[name] for name in names})

    return {name: [(structure(r), r) for r in group] for name, group in records.items()}
