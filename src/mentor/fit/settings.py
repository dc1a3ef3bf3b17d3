"""The settings of a training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from mentor.potential import Potential
from mentor.settings import option


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings of a training."""

    data: Path | Sequence[Atoms] = option(
        help="Labelled structures, in any format of ASE or .cfg.", positional=True
    )
    potential: Path | Potential | None = option(
        None,
        "Potential to start from, grown where elements, level or radial_basis_size are given and "
        "larger; cutoff, min_dist, budget, core and shared_moments are then unused.",
    )
    transfer: bool = option(
        False,
        "Stay near the potential, trained on many labels of a cheaper method, and depart from it "
        "as far as these labels demand: much more accurate where they are few.",
    )
    committee: int = option(
        1,
        "Potentials to fit first, whose mean teaches the one that is written: much more accurate "
        "where labels are few. 8 is a good number, and takes some fifteen times as long. With "
        "higher_levels their mean itself is written, as slow as all of them: 2 or 3.",
    )
    elements: tuple[str, ...] = option(
        (), "Chemical symbols; by default those of the data, by atomic number."
    )
    level: int | None = option(
        None, "Highest level of the basis functions, usually even, 2 to 28; by default chosen."
    )
    level_weights: tuple[int, ...] = option(
        (),
        "w0,w1,w2: levels sum w0 + w1 μ + w2 ν over the moments of a function. By default 2,4,1, "
        "as everywhere, where the level is given, and else chosen; 3,2,2 suits molecules.",
    )
    higher_levels: tuple[int, ...] = option(
        (),
        "Levels to grow to after the fit, one after the other: the linear coefficients of all "
        "functions are solved for there, and few iterations follow. Pays up to a parameter for "
        "every three labels, where there are hundreds of structures.",
    )
    higher_iterations: tuple[int, ...] = option(
        (3,), "Iterations at each of them, or one number for all; 0 only solves."
    )
    cutoff: float | None = option(
        None, "Radius of the neighbourhood (max_dist); by default chosen.", unit="Å"
    )
    min_dist: float | None = option(
        None,
        "Shortest distance resolved; by default 0.95 of the shortest in the data, and with a core "
        "as much closer as the core lets atoms come.",
        unit="Å",
    )
    radial_basis_size: int | None = option(
        None,
        "Number of Chebyshev polynomials per radial function; by default chosen with level or "
        "cutoff, or 10.",
    )
    budget: str = option(
        "10m", "Time for choosing these and for the fit then, for example 90s, 10m or 1h."
    )
    core: bool = option(
        True,
        "Repel atoms that come very close; other programs can only read potentials without it.",
    )
    shared_moments: bool | None = option(
        None,
        "Whether all species share their moment_coeffs, as other programs need it; with their own "
        "a potential is more accurate and as fast. By default where there are too few labels.",
    )
    validation: Path | Sequence[Atoms] | None = option(
        None, "Labelled structures that are not fitted but decide when to stop."
    )
    validation_fraction: float = option(
        0.0, "Part of the data to set aside for that, drawn with the seed."
    )
    test: Path | Sequence[Atoms] | None = option(
        None, "Labelled structures that only the errors at the end are of."
    )
    energy_weight: float = option(2.5, "Weight of the energies.")
    force_weight: float = option(0.01, "Weight of the forces.", unit="Å²")
    stress_weight: float = option(0.001, "Weight of the stresses (as virials).")
    group_weights: dict[str, float] = option(
        {}, "Factors of all terms of groups of structures (config_type or group)."
    )
    species_weights: dict[str, float] = option(
        {}, "Factors of the forces on atoms of these elements."
    )
    weighting: str = option(
        "vibrations",
        "Energies per atom count N¹ᐟ²-fold (vibrations), N-fold (molecules) or once (structures).",
        choices=("vibrations", "molecules", "structures"),
    )
    robust: bool = option(False, "Let labels that the others contradict count less and less.")
    checks: bool = option(True, "Look for wrong labels before the fit, and for outliers after it.")
    max_iterations: int = option(100, "Most iterations.")
    tolerance: float = option(0.003, "Ends when ten iterations lower the loss by less than this.")
    starts: int = option(
        24, "Starting coefficients tried on a part of the data; 1 where a potential is given."
    )
    seed: int = option(0, "Seed of the starting coefficients and of the validation set.")
    output: Path | None = option(
        None, "File for the potential: .mtp, or .almtp with its active set."
    )
    posterior: bool = option(
        True,
        "Write the posterior beside the output, for mentor evaluate --uncertainty; up to 5000 "
        "parameters.",
    )
    memory: bool = option(
        True,
        "Write what a training on few structures more needs beside the output (.memory), and use "
        "what lies beside the potential; up to 5000 parameters.",
    )
    log: Path | None = option(
        None, "File for a table of all iterations; by default the .csv beside the output."
    )
    plots: bool = option(True, "Draw parity plots beside the output (.png).")
    checkpoint: Path | None = option(
        None, "File for the state of the fit; by default beside the output."
    )
    resume: bool = option(False, "Go on from the checkpoint of an interrupted training.")
