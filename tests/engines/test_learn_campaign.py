"""Whole campaigns with a real engine: what comes out, and that no kill can change it."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import molecule

import mentor
from mentor.learning.history import history, training_set
from mentor.learning.store import read_fact, read_labels, read_only

pytestmark = pytest.mark.engine

HERE = Path(__file__).parent

SETTINGS = """
[structures]
start = "start.xyz"
initial = 6

[engine]
name = "odd_engines:{engine}"
parameters = {parameters}
retries = 0

[potential]
level = 8
cutoff = 4.0
radial_basis_size = 6

[fit]
iterations = 3
final_iterations = 6

[explore]
temperatures = [300, 600]
steps = 300
segment = 60

[select]
limit = 8

[validate]
labels = 6
interval = 50
"""

LEARN = "import sys, mentor; mentor.learn(sys.argv[1])"


def prepare(folder, engine="logged_tblite", atoms=None, replace=(), **parameters):
    """A folder with everything a small campaign needs."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "odd_engines.py").write_text((HERE / "odd_engines.py").read_text())
    parameters = {"log": "./asked"} | parameters
    table = "{ " + ", ".join(f"{name} = {json.dumps(v)}" for name, v in parameters.items()) + " }"
    text = SETTINGS.format(engine=engine, parameters=table)
    for old, new in replace:
        assert old in text
        text = text.replace(old, new)
    (folder / "campaign.toml").write_text(text)
    ase.io.write(folder / "start.xyz", molecule("H2O") if atoms is None else atoms)
    return folder / "campaign.toml"


def asked(folder):
    """Positions, as text, of all calculations begun."""
    log = folder / "asked"
    return log.read_text().split() if log.exists() else []


def text_of(atoms):
    return np.round(atoms.positions, 8).tobytes().hex()


def outcome(folder):
    """Everything a campaign decided, without times."""
    labels = {
        atoms.info["key"]: (
            atoms.info["role"],
            atoms.info["iteration"],
            text_of(atoms),
            atoms.get_potential_energy(),
            atoms.get_forces().tobytes(),
        )
        for atoms in read_labels(folder)
    }
    with read_only(folder) as connection:
        state, validation = (read_fact(connection, name) for name in ("state", "validation"))
    potential = mentor.load(folder / "potential.almtp")
    return (
        labels,
        state,
        validation,
        potential.parameters.tobytes(),
        potential.active_set.matrix.tobytes(),
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A campaign run without any disturbance, in a process of its own as the others."""
    pytest.importorskip("tblite")
    folder = tmp_path_factory.mktemp("undisturbed")
    settings = prepare(folder)
    begin = time.monotonic()
    subprocess.run([sys.executable, "-c", LEARN, str(settings)], check=True)
    return folder, time.monotonic() - begin


def test_campaign_ends_with_a_validated_potential(finished):
    folder, _ = finished
    known = history(folder)
    assert known.status == "finished"
    assert known.iterations[0].phase == "start"
    assert [each.phase for each in known.iterations[-2:]] == ["final", "validation"]
    assert [each.number for each in known.iterations] == list(range(len(known.iterations)))
    assert known.md_steps >= 600
    assert known.training_size == len(training_set(folder)) > 6
    assert not known.failures
    assert known.label_seconds > 0
    assert known.md_seconds_per_step > 0
    assert len(known.validation.structures) == 6
    assert set(known.validation.errors_by_temperature) == {300.0, 600.0}
    assert known.validation.errors.force_mae < 0.1
    assert known.validation.errors.energy_mae < 0.005
    sizes = [size for size, _ in known.learning_curve()]
    assert sizes == sorted(sizes)
    first, last = known.learning_curve()[0][1], known.learning_curve()[-1][1]
    assert last.force_mae < first.force_mae


def test_results_are_ready_to_use(finished):
    folder, _ = finished
    potential = mentor.load(folder / "potential.mtp")
    validation = ase.io.read(folder / "validation.xyz", ":")
    for atoms, found, forces in zip(
        validation,
        history(folder).validation.energies,
        history(folder).validation.forces,
        strict=True,
    ):
        fresh = atoms.copy()
        fresh.calc = potential.calculator()
        assert fresh.get_potential_energy() == pytest.approx(found, abs=1e-6)
        assert np.abs(fresh.get_forces() - forces).max() <= 1e-5
    active_set = mentor.load(folder / "potential.almtp").active_set
    assert active_set.filled > 0
    assert len(ase.io.read(folder / "training.xyz", ":")) == history(folder).training_size


def test_every_structure_was_calculated_exactly_once(finished):
    folder, _ = finished
    assert sorted(asked(folder)) == sorted(text_of(atoms) for atoms in read_labels(folder))


def test_validation_structures_are_no_training_structures(finished):
    folder, _ = finished
    training = {text_of(atoms) for atoms in read_labels(folder, "training")}
    validation = {text_of(atoms) for atoms in read_labels(folder, "validation")}
    assert len(validation) == 6
    assert not training & validation


def test_second_run_does_nothing(finished):
    folder, _ = finished
    before = asked(folder), outcome(folder)
    result = mentor.learn(folder / "campaign.toml")
    assert (asked(folder), outcome(folder)) == before
    assert result.converged == history(folder).converged
    assert result.training_labels == history(folder).training_size
    assert json.loads(json.dumps(result.as_dict()))["md_steps"] == history(folder).md_steps


def test_same_settings_give_the_same_campaign_in_any_folder_and_executor(finished, tmp_path):
    folder, _ = finished
    settings = prepare(tmp_path / "other")
    with ThreadPoolExecutor(1) as executor:
        mentor.learn(settings, executor=executor)
    assert outcome(tmp_path / "other") == outcome(folder)


@pytest.mark.slow
def test_kills_change_nothing_and_nothing_is_calculated_twice(finished, tmp_path):
    undisturbed, seconds = finished
    settings = prepare(tmp_path)
    rng = np.random.default_rng(20)
    kills = 0
    while True:
        stored = {text_of(atoms) for atoms in read_labels(tmp_path)} if kills else set()
        already = len(asked(tmp_path))
        run = subprocess.Popen([sys.executable, "-c", LEARN, str(settings)])
        try:
            wait_for_start(run, tmp_path)
            run.wait(rng.uniform(0, seconds / 6) if kills < 10 else None)
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()
            kills += 1
        assert not stored & set(asked(tmp_path)[already:])
        if run.returncode == 0:
            break
    assert kills == 10
    assert outcome(tmp_path) == outcome(undisturbed)


def wait_for_start(run, folder):
    """Until the campaign holds its folder, so that kills hit work and not imports."""
    deadline = time.monotonic() + 120
    while run.poll() is None and time.monotonic() < deadline:
        lock = folder / "campaign.lock"
        if lock.exists() and lock.read_text().strip() == str(run.pid):
            return
        time.sleep(0.01)
