"""What the test at the end of a campaign has found, as it is stored."""

from collections.abc import Sequence
from dataclasses import replace

from ase import Atoms

from mentor.learning import training
from mentor.learning.labelling import train_task
from mentor.learning.settings import RefitSettings
from mentor.learning.store import Store
from mentor.potential import Potential


def validation_fact(
    potential: Potential, kept: Sequence[tuple[str, Atoms]], structures: Sequence[Atoms]
) -> dict:
    """What :class:`mentor.learning.history.Validation` is made of, as plain JSON types."""
    energies, forces, _ = training.predictions(potential, structures)
    temperatures = [atoms.info["temperature"] for _, atoms in kept]
    by_temperature = [
        (
            temperature,
            [
                each
                for each, own in zip(structures, temperatures, strict=True)
                if own == temperature
            ],
        )
        for temperature in sorted(set(temperatures))
    ]
    return {
        "keys": [key for key, _ in kept],
        "temperatures": temperatures,
        "grades": [atoms.info["grade"] for _, atoms in kept],
        "energies": energies.tolist(),
        "forces": [each.tolist() for each in forces],
        "errors": vars(training.errors(potential, structures)),
        "by_temperature": [
            (temperature, vars(training.errors(potential, group)))
            for temperature, group in by_temperature
        ],
    }


def write_posterior(
    store: Store,
    potential: Potential,
    trained: Sequence[Atoms],
    fitting: RefitSettings,
    fresh: Sequence[Atoms],
) -> None:
    """The posterior of the final potential beside it, calibrated on both sets."""
    threads = training.threads_for(potential, trained)
    bare = replace(potential)  # without the compiled kernel
    known = train_task("posterior_of", threads, bare, trained, fitting, fresh)
    known.save(store.posterior_path)
