"""The active set behind the potential in ``.almtp`` files (MLIP-3).

After the text of the potential follow ``#MVS_v1.1``, five lines of weights, ``#``, the binary
doubles of A and of A⁻ᵀ (m × m each, row by row), ``\\n#\\n``, m lines ``cfg_index eqn_index``,
``#`` and the active structures in the form of ``.cfg``, whose feature ``selected_eqn_inds`` repeats
the equations taken from them. The equations of a structure of n atoms are numbered as energy (1),
forces (3n), stress (9), site energies (n).
"""

from collections.abc import Sequence

import numpy as np

from mentor.active_set import ActiveSet
from mentor.exceptions import FormatError
from mentor.formats.cfg import format_cfg, parse_cfg

MARK = b"#MVS_v1.1"
_WEIGHTS = ("energy_weight", "force_weight", "stress_weight", "site_en_weight")
_SELECTED = "selected_eqn_inds"


def first_site_equation(atom_count: int) -> int:
    """Number of the site-energy equation of atom 0 in a structure of ``atom_count`` atoms."""
    return 1 + 3 * atom_count + 9


def parse_active_set(
    path: object, content: bytes, start: int, size: int, elements: Sequence[str] | None
) -> ActiveSet:
    """The active set in ``content``, a whole ``.almtp`` file in which :data:`MARK` is at ``start``.

    Parameters
    ----------
    size
        Number m of parameters of the potential.
    elements
        Chemical symbols of the types; None leaves the atoms unnamed.

    Raises
    ------
    FormatError
        The file is truncated or damaged.
    """

    def error(what: str, at: int) -> FormatError:
        return FormatError(path, content.count(b"\n", 0, at) + 1, what)

    weights, binary = _weights(error, content, start)
    end = binary + 2 * 8 * size * size
    if content[end : end + 3] != b"\n#\n":
        raise error(
            f"the matrices of the active set are not {size} × {size}; "
            "the file ends too early or its active set belongs to another potential",
            min(end, len(content)),
        )
    matrices = np.frombuffer(content[binary:end], "<f8").astype(float).reshape(2, size, size)
    if not np.isfinite(matrices).all():
        raise error("the matrices of the active set contain values that are not finite", binary)
    cfg_index, eqn_index, tail = _selected(error, content, end + 3, size)
    text = _text(error, content, tail)
    structures = parse_cfg(path, text, elements, content.count(b"\n", 0, tail) + 1)
    for atoms in structures:
        atoms.info.pop(_SELECTED, None)
    mode = "neighborhood" if weights["site_en_weight"] != 0.0 else "configuration"
    counts = np.array([len(atoms) for atoms in structures], int)
    filled = cfg_index >= 0
    if filled.any() and cfg_index.max() >= len(structures):
        raise error(
            f"the active set refers to structure {cfg_index.max()}, but only "
            f"{len(structures)} follow; the file ends too early",
            len(content),
        )
    if mode == "neighborhood" and filled.any():
        own = counts[cfg_index[filled]]
        eqn_index[filled] -= 10 + 3 * own
        if (eqn_index[filled] < 0).any() or (eqn_index[filled] >= own).any():
            raise error("a row of the active set is no site energy of its structure", end + 3)
    return ActiveSet(
        mode=mode,
        matrix=matrices[0],
        inverse=np.ascontiguousarray(matrices[1].T),
        cfg_index=cfg_index,
        eqn_index=eqn_index,
        structures=tuple(structures),
        **{name: weights[name] for name in _WEIGHTS},
        weight_scaling=int(weights["weight_scaling"]),
    )


def _weights(error, content: bytes, start: int) -> tuple[dict[str, float], int]:
    """The weights by their names, and the position of the binary part after them."""
    position = content.find(b"\n", start)
    weights: dict[str, float] = {}
    for name in (*_WEIGHTS, "weight_scaling"):
        end = content.find(b"\n", position + 1)
        words = content[position + 1 : max(end, position + 1)].split()
        try:
            if position < 0 or end < 0 or words[0] != name.encode():
                raise ValueError
            (weights[name],) = [float(word) for word in words[1:]]
        except (ValueError, IndexError):
            raise error(f"expected '{name}' and its value", max(position + 1, start)) from None
        position = end
    if not np.isfinite(list(weights.values())).all():
        raise error("a weight of the active set is not finite", start)
    if content[position + 1 : position + 2] != b"#":
        raise error("expected '#' before the matrix of the active set", position + 1)
    return weights, position + 2


def _selected(error, content: bytes, start: int, size: int) -> tuple[np.ndarray, np.ndarray, int]:
    """``cfg_index``, ``eqn_index`` (m,) and the position after the ``#`` that ends the list."""
    pairs = np.empty((size, 2), int)
    position = start
    for row in range(size):
        end = content.find(b"\n", position)
        words = content[position : max(end, position)].split()
        try:
            pairs[row] = [int(word) for word in words]
            valid = len(words) == 2 and end >= 0 and -1 <= pairs[row].min() <= pairs[row].max()
        except (ValueError, OverflowError):
            valid = False
        if not valid or (pairs[row] < 0).any() != (pairs[row] < 0).all():
            raise error(
                f"expected 'cfg_index eqn_index' of row {row} of {size} of the active set", position
            )
        position = end + 1
    if content[position : position + 1] != b"#":
        raise error("expected '#' after the list of active rows", position)
    return pairs[:, 0].copy(), pairs[:, 1].copy(), position + 1


def _text(error, content: bytes, start: int) -> str:
    try:
        return content[start:].decode()
    except UnicodeDecodeError as problem:
        raise error("is not text where structures should be", start + problem.start) from None


def format_active_set(active_set: ActiveSet, elements: Sequence[str] | None) -> bytes:
    """What follows the text of the potential in an ``.almtp`` file."""
    neighborhood = active_set.mode == "neighborhood"
    equations = active_set.eqn_index.copy()
    structures = [atoms.copy() for atoms in active_set.structures]
    for index, (source, atoms) in enumerate(zip(active_set.structures, structures, strict=True)):
        atoms.calc = source.calc
        rows = np.flatnonzero(active_set.cfg_index == index)
        if neighborhood:
            equations[rows] += first_site_equation(len(atoms))
        if len(rows):
            atoms.info[_SELECTED] = ",".join(map(str, sorted(equations[rows].tolist())))
    lines = [MARK.decode()]
    lines += [f"{name} {getattr(active_set, name):.16e}" for name in _WEIGHTS]
    lines += [f"weight_scaling {active_set.weight_scaling}", "#"]
    pairs = zip(active_set.cfg_index.tolist(), equations.tolist(), strict=True)
    return b"".join(
        [
            "\n".join(lines).encode(),
            np.ascontiguousarray(active_set.matrix, "<f8").tobytes(),
            np.ascontiguousarray(active_set.inverse.T, "<f8").tobytes(),
            b"\n#\n",
            "".join(f"{cfg} {eqn}\n" for cfg, eqn in pairs).encode(),
            b"#\n",
            format_cfg(structures, elements).encode(),
        ]
    )
