"""Whole campaigns with a real engine: what comes out, and that no kill can change it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk, molecule

import mentor
from mentor import progress
from mentor.exceptions import EngineError, InputError, StorageError
from mentor.learning.history import history, training_set
from mentor.learning.store import Store, read_fact, read_labels, read_only

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

LEARN_ONE_BY_ONE = """
import sys, mentor
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(1) as executor:
    mentor.learn(sys.argv[1], executor=executor)
"""


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
    foretold = mentor.evaluate(folder / "potential.mtp", validation, uncertainty=True)
    errors = [
        np.abs(atoms.get_forces() - forces) <= own.forces.half95
        for atoms, forces, own in zip(
            validation,
            history(folder).validation.forces,
            foretold.uncertainties,
            strict=True,
        )
    ]
    assert np.mean(errors) >= 0.9
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
    subprocess.run([sys.executable, "-c", LEARN_ONE_BY_ONE, str(settings)], check=True)
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


# -- what can go wrong ----------------------------------------------------------------------


def test_engine_failures_on_some_structures_are_put_aside(tmp_path):
    """A well that fails where it is steep: its corners are left out, the rest is learned."""
    settings = prepare(tmp_path, engine="FarOut", atoms=molecule("H2O"))
    result = mentor.learn(settings)
    known = history(tmp_path)
    assert known.status == "finished"
    assert result.failures == len(known.failures) > 0
    assert all("far out" in each.reason for each in known.failures)
    keys = {text_of(each.structure) for each in known.failures}
    assert not keys & {text_of(atoms) for atoms in read_labels(tmp_path)}


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("Crashing", "failed on all of the first 5 structures.*crashed.*SIGABRT"),
        ("NotFinite", "failed on all of the first 5 structures.*not finite"),
        ("Program", "no-such-qm-program"),
    ],
)
def test_engine_that_never_works_ends_the_campaign_with_a_sentence(engine, message, tmp_path):
    settings = prepare(tmp_path, engine=engine)
    with pytest.raises(EngineError, match=message) as caught:
        mentor.learn(settings)
    assert "\n" not in str(caught.value)
    known = history(tmp_path)
    assert known.status == "failed"
    assert known.message == str(caught.value)
    assert known.qm_calls == 0


def test_campaign_goes_on_after_the_engine_is_repaired(tmp_path):
    settings = prepare(tmp_path, engine="Springs")
    module = tmp_path / "odd_engines.py"
    good = module.read_text()
    module.write_text(good.replace("stiffness = 8.0", "stiffness = float('nan')"))
    with pytest.raises(EngineError, match="not finite"):
        mentor.learn(settings)
    module.write_text(good)
    assert mentor.learn(settings).failures == 0


def test_hanging_engine_ends_with_the_time_limit(tmp_path):
    replace = [("retries = 0", "retries = 0\ntime_limit = 0.5")]
    settings = prepare(tmp_path, engine="Hanging", replace=replace)
    with pytest.raises(EngineError, match=r"did not finish within time_limit = 0\.5 s"):
        mentor.learn(settings)


def test_changed_settings_are_refused(finished, tmp_path):
    folder, _ = finished
    text = (folder / "campaign.toml").read_text()
    (tmp_path / "campaign.toml").write_text(text.replace("level = 8", "level = 10"))
    with pytest.raises(InputError, match=r"started with \[potential\] level = 8, not 10"):
        mentor.learn(tmp_path / "campaign.toml", folder=folder)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("start.xyz", "", "start.xyz"),
        ("start.xyz", "2\n\nH 0 0 0\nH 0 0 nan\n", r"start\.xyz: structure 0.*not a finite number"),
        ("start.xyz", "2\n\nH 0 0 0\nH 0 0 0.001\n", r"start\.xyz: structure 0"),
        ("start.xyz", "rubbish\n", "start.xyz"),
    ],
)
def test_bad_starting_structures(name, text, message, tmp_path):
    settings = prepare(tmp_path, engine="Springs")
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        mentor.learn(settings)
    assert "\n" not in str(caught.value)


def test_missing_starting_structure(tmp_path):
    settings = prepare(tmp_path, engine="Springs")
    (tmp_path / "start.xyz").unlink()
    with pytest.raises(InputError, match=r"start\.xyz"):
        mentor.learn(settings)


def test_pressure_of_a_molecule_is_refused(tmp_path):
    replace = [("steps = 300", "steps = 300\npressures = [0.0]")]
    settings = prepare(tmp_path, engine="Springs", replace=replace)
    with pytest.raises(InputError, match="H2O is not periodic in three directions"):
        mentor.learn(settings)


def test_elements_that_are_missing_are_named(tmp_path):
    replace = [("level = 8", 'level = 8\nelements = ["H"]')]
    settings = prepare(tmp_path, engine="Springs", replace=replace)
    with pytest.raises(InputError, match="elements H lack O"):
        mentor.learn(settings)


def test_two_campaigns_at_once(tmp_path):
    settings = prepare(tmp_path, engine="Springs")
    with Store(tmp_path), pytest.raises(StorageError, match="running here already"):
        mentor.learn(settings)


def test_interrupt_leaves_a_campaign_that_goes_on(tmp_path):
    settings = prepare(tmp_path, engine="Springs", seconds=0.1)
    run = subprocess.Popen([sys.executable, "-c", LEARN, str(settings)], stderr=subprocess.PIPE)
    with run:
        wait_for_start(run, tmp_path)
        while not asked(tmp_path):
            time.sleep(0.02)
        run.send_signal(signal.SIGINT)
        errors = run.stderr.read().decode()
    assert run.returncode != 0
    assert "KeyboardInterrupt" in errors
    assert history(tmp_path).status == "interrupted"
    stored = {text_of(atoms) for atoms in read_labels(tmp_path)}
    already = len(asked(tmp_path))
    mentor.learn(settings)
    assert history(tmp_path).status == "finished"
    assert not stored & set(asked(tmp_path)[already:])


# -- crystals, progress, status -------------------------------------------------------------


def test_crystal_under_pressure_with_stress(tmp_path):
    copper = bulk("Cu", cubic=True)
    replace = [
        ("steps = 300", "steps = 300\npressures = [0.0, 5.0]"),
        ("temperatures = [300, 600]", "temperatures = [300]"),
        ("cutoff = 4.0", "cutoff = 5.0"),
        ('parameters = { log = "./asked" }', "parameters = {}"),
    ]
    settings = prepare(tmp_path, engine="metal", atoms=copper, replace=replace)
    mentor.learn(settings)
    known = history(tmp_path)
    assert {stretch.pressure for each in known.iterations for stretch in each.stretches} == {0, 5}
    volumes = {round(atoms.get_volume(), 6) for atoms in training_set(tmp_path)}
    assert len(volumes) > 6
    assert known.validation.errors.stress_rmse < 1.0
    assert known.validation.errors.force_mae < 0.1


def test_start_from_a_potential_and_labelled_structures(finished, tmp_path):
    folder, _ = finished
    replace = [
        ('start = "start.xyz"', f'start = "start.xyz"\ntraining = "{folder / "training.xyz"}"'),
        ("level = 8\n", f'start = "{folder / "potential.mtp"}"\n'),
        ("initial = 6", "initial = 1"),
    ]
    settings = prepare(tmp_path, replace=replace)
    mentor.learn(settings)
    new, old = history(tmp_path), history(folder)
    assert new.training_size > old.training_size
    assert len(asked(tmp_path)) < len(asked(folder))
    assert new.validation.errors.force_mae < 0.1


def test_status_while_it_runs_and_afterwards(finished, tmp_path):
    folder, _ = finished
    status = mentor.status(folder)
    assert status.status == "finished"
    assert mentor.status(folder / "campaign.toml") == status
    assert json.loads(json.dumps(status.as_dict()))["training_labels"] == status.training_labels
    settings = prepare(tmp_path, engine="Springs", seconds=0.2)
    run = subprocess.Popen([sys.executable, "-c", LEARN, str(settings)])
    try:
        wait_for_start(run, tmp_path)
        while not asked(tmp_path):
            time.sleep(0.02)
        assert mentor.status(tmp_path).status == "running"
    finally:
        run.kill()
        run.wait()
    assert mentor.status(tmp_path).status == "interrupted"
    with pytest.raises(InputError, match="no campaign"):
        mentor.status(tmp_path / "scratch")
    with pytest.raises(InputError, match="no such folder"):
        mentor.status(tmp_path / "absent")


def test_progress_adds_up(tmp_path):
    class Recorder(progress.Reporter):
        def __init__(self):
            self.totals, self.done = {}, {}

        def task(self, description, total=None):
            recorder = self
            recorder.totals[description] = total
            recorder.done[description] = 0

            class Task(progress.Task):
                def advance(self, steps=1, note=None):
                    recorder.done[description] += steps

                def extend(self, total):
                    recorder.totals[description] = total

            return Task()

    recorder = Recorder()
    with progress.reporting(recorder):
        mentor.learn(prepare(tmp_path, engine="Springs"))
    assert recorder.done["Molecular dynamics"] == recorder.totals["Molecular dynamics"]
    assert recorder.done["Molecular dynamics"] == history(tmp_path).md_steps
