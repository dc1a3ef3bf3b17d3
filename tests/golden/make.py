"""Writes the small files of this folder anew: ``python tests/golden/make.py``.

``small.almtp`` is a random potential of level 4 for Ag-Pd with the active set of ``small.cfg``,
``small.mtp`` the same without it, ``small.json`` what they give for the structures. What they guard
is that files once written stay readable and mean the same; that they mean what MLIP-3 means is the
subject of ``test_efs.py`` and ``test_active_grades.py``.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import mentor  # noqa: E402
import samples  # noqa: E402
from mentor.active import build_active_set, grade_structures  # noqa: E402
from mentor.formats import write_structures  # noqa: E402
from mentor.structures import with_labels  # noqa: E402


def main() -> None:
    """Write all files."""
    rng = np.random.default_rng(7)
    potential = samples.potential(species=2, level=4, seed=7)
    structures = []
    for kind in ("molecule", "wire", "slab", "triclinic crystal", "one-atom cell"):
        atoms = samples.structure(kind, seed=7)
        atoms.info["kind"] = kind
        structures.append(
            with_labels(
                atoms,
                energy=float(rng.normal()),
                forces=rng.normal(size=(len(atoms), 3)),
                virial=rng.normal(size=6),
            )
        )
    potential = replace(potential, active_set=build_active_set(potential, structures[:3]))
    potential.save(HERE / "small.almtp")
    potential.save(HERE / "small.mtp")
    write_structures(HERE / "small.cfg", structures, ["Ag", "Pd"])
    evaluated = mentor.evaluate(potential, structures)
    grades = grade_structures(potential, structures)
    expected = {
        "energies": evaluated.energies.tolist(),
        "grades": [atoms.arrays["grades"].tolist() for atoms in grades.structures],
    }
    (HERE / "small.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
