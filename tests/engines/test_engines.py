"""Engines in their worker processes: results, failures, time limits, and no trace left behind."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, molecule

from mentor.exceptions import EngineError
from mentor.learning.engines import EngineSetupError, label_key
from mentor.learning.labelling import Labeller, label_task
from mentor.learning.processes import (
    WorkerClosedError,
    WorkerTimeoutError,
    close_workers,
    run_in_worker,
)
from mentor.learning.settings import EngineSettings
from mentor.learning.store import Store

HERE = str(Path(__file__).parent)


@pytest.fixture(autouse=True, scope="module")
def no_workers_left():
    yield
    close_workers()


@pytest.fixture
def water():
    return molecule("H2O")


def odd(name, **options):
    log = options.pop("log", None)
    parameters = {} if log is None else {"log": str(log)}
    settings = {"retries": 0} | options
    return EngineSettings(name=f"odd_engines:{name}", parameters=parameters, **settings)


def ask(engine, atoms, tmp_path):
    return label_task(engine, atoms, str(tmp_path / "scratch"), HERE)


def gone(pid):
    """Whether a process ends soon."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_label_is_what_the_calculator_says(water, tmp_path):
    label = ask(odd("Springs"), water, tmp_path)
    stretch = water.get_all_distances()[np.triu_indices(3, 1)] - 1.2
    assert label.energy == pytest.approx(4 * (stretch**2).sum(), abs=1e-12)
    assert np.abs(label.forces).max() > 0.1
    assert np.abs(label.forces.sum(axis=0)).max() <= 1e-12
    assert label.stress is None
    assert label.seconds > 0


def test_stress_of_a_crystal_and_a_function_as_engine(tmp_path):
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=1)
    engine = EngineSettings(name="odd_engines:metal")
    label = ask(engine, atoms, tmp_path)
    named = ask(EngineSettings(name="emt"), atoms, tmp_path)
    assert label.stress.shape == (6,)
    assert np.abs(label.stress).max() > 0
    assert label.energy == named.energy


@pytest.mark.engine
def test_tblite_is_a_function_of_the_structure_alone(tmp_path):
    pytest.importorskip("tblite")
    engine = EngineSettings(name="tblite", parameters={"method": "GFN2-xTB", "verbosity": 0})
    first, second = molecule("CH3CH2OH"), molecule("CH3CH2OH")
    second.rattle(0.1, seed=3)
    alone = ask(engine, second, tmp_path)
    close_workers()
    ask(engine, first, tmp_path)
    after_another = ask(engine, second, tmp_path)
    assert after_another.energy == alone.energy
    assert (after_another.forces == alone.forces).all()
    assert np.abs(alone.forces).max() > 0.1


@pytest.mark.engine
def test_unconverged_scf_is_an_engine_error(tmp_path):
    pytest.importorskip("tblite")
    parameters = {"method": "GFN2-xTB", "max_iterations": 2, "verbosity": 0}
    engine = EngineSettings(name="tblite", parameters=parameters, retries=0)
    with pytest.raises(EngineError, match="SCF not converged"):
        ask(engine, molecule("CH3CH2OH"), tmp_path)


def test_noise_on_standard_output_does_no_harm(water, tmp_path):
    for _ in range(2):
        assert ask(odd("Noisy"), water, tmp_path).energy > 0


def test_processes_persist(water, tmp_path):
    assert len({run_in_worker("os:getpid") for _ in range(3)}) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Crashing", r"crashed: .*SIGABRT \(internal error in the grid module\)"),
        ("NotFinite", "not finite"),
        ("WrongShape", r"shape \(2, 3\) for 3 atoms"),
        ("Steep", "1e\\+04 eV/Å, beyond max_force = 100 eV/Å"),
        ("Unconverged", "SCFError: no convergence after 250 cycles"),
    ],
)
def test_failures_are_one_sentence_and_the_next_structure_works(name, message, water, tmp_path):
    with pytest.raises(EngineError, match=message) as caught:
        ask(odd(name), water, tmp_path)
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, EngineSetupError)
    assert ask(odd("Springs"), water, tmp_path).energy > 0


def test_time_limit_kills_the_whole_process_group(water, tmp_path):
    log = tmp_path / "pids"
    with pytest.raises(EngineError, match=r"did not finish within time_limit = 1\.5 s"):
        ask(odd("Hanging", log=log, time_limit=1.5), water, tmp_path)
    server, program = map(int, log.read_text().split())
    assert gone(server)
    assert gone(program)


def test_a_failure_is_tried_again(water, tmp_path):
    with pytest.raises(EngineError, match="license server busy"):
        ask(odd("Moody", log=tmp_path / "a"), water, tmp_path)
    assert ask(odd("Moody", log=tmp_path / "b", retries=1), water, tmp_path).energy > 0


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ({"name": "tblit"}, "no engine named 'tblit'; did you mean tblite"),
        ({"name": "pyscf"}, "package that is not installed .* run: pip install pyscf"),
        ({"name": "absent_module:Engine"}, "no Python module absent_module"),
        ({"name": "odd_engines:Absent"}, "does not exist: .*Absent"),
        (
            {
                "name": "odd_engines:metal",
                "parameters": {"bad": 1, "asap_cutoff": 0},
                "profile": {"command": "x"},
            },
            "no profile|does not accept",
        ),
        ({"name": "espresso"}, "not set up"),
        ({"name": "odd_engines:Program"}, "program 'no-such-qm-program', which was not found"),
        ({"name": "odd_engines:Shell"}, "no-such-qm-program"),
        ({"name": "odd_engines:FileReader"}, "does not accept its parameters: .*'table'"),
    ],
)
def test_engine_that_cannot_run_says_what_is_missing(engine, message, water, tmp_path):
    if engine["name"] == "pyscf":
        try:
            import pyscf  # noqa: F401

            pytest.skip("pyscf is installed here")
        except ImportError:
            pass
    with pytest.raises(EngineSetupError, match=message) as caught:
        ask(EngineSettings(**engine), water, tmp_path)
    assert "\n" not in str(caught.value)


def test_espresso_profile_without_its_program(water, tmp_path):
    engine = EngineSettings(
        name="espresso",
        parameters={"pseudopotentials": {"H": "H.upf", "O": "O.upf"}},
        profile={"command": "no-such-pw.x", "pseudo_dir": "./upf"},
    )
    water.center(vacuum=3)
    with pytest.raises(EngineSetupError, match=r"needs the program 'no-such-pw\.x'"):
        ask(engine, water, tmp_path)


def test_paths_start_at_the_settings_and_scratch_is_cleaned(water, tmp_path, monkeypatch):
    (tmp_path / "table.txt").write_text("table")
    (tmp_path / "mine.py").write_text((Path(HERE) / "odd_engines.py").read_text())
    engine = EngineSettings(name="mine:FileReader", parameters={"table": "./table.txt"})
    label_task(engine, water, str(tmp_path / "scratch"), str(tmp_path))
    assert list((tmp_path / "scratch").iterdir()) == []
    assert not Path("scratch-file").exists()


def test_workers_die_with_a_killed_parent(tmp_path):
    log = tmp_path / "pids"
    script = f"""
import sys
from ase.build import molecule
from mentor.learning.labelling import label_task
from mentor.learning.settings import EngineSettings
engine = EngineSettings(name="odd_engines:Hanging", parameters={{"log": {str(log)!r}}})
label_task(engine, molecule("H2O"), {str(tmp_path / "scratch")!r}, {HERE!r})
"""
    parent = subprocess.Popen([sys.executable, "-c", script])
    try:
        deadline = time.monotonic() + 60
        while not (log.exists() and len(log.read_text().split()) == 2):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    server, program = map(int, log.read_text().split())
    assert gone(server)
    assert gone(program)


def test_closing_the_workers_ends_a_task_at_once(water, tmp_path):
    log = tmp_path / "pids"
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(ask, odd("Hanging", log=log, retries=5), water, tmp_path)
        while not (log.exists() and len(log.read_text().split()) == 2):
            time.sleep(0.05)
        close_workers()
        with pytest.raises(WorkerClosedError):
            future.result(timeout=10)


def test_timeout_of_a_plain_function():
    begin = time.monotonic()
    with pytest.raises(WorkerTimeoutError):
        run_in_worker("time:sleep", 60, time_limit=0.5)
    assert time.monotonic() - begin < 20


def test_key_depends_on_structure_and_method_only(water):
    engine = EngineSettings(name="tblite", parameters={"method": "GFN2-xTB"})
    key = label_key(engine, water)
    moved, charged = water.copy(), water.copy()
    moved.positions[0, 0] += 1e-6
    charged.set_initial_charges([1.0, 0, 0])
    noted = water.copy()
    noted.info["grade"] = 3.0
    patient = EngineSettings(
        name="tblite", parameters={"method": "GFN2-xTB"}, time_limit=9, retries=7
    )
    other = EngineSettings(name="tblite", parameters={"method": "GFN1-xTB"})
    assert label_key(engine, noted) == key
    assert label_key(patient, water) == key
    keys = {key, label_key(engine, moved), label_key(engine, charged), label_key(other, water)}
    assert len(keys) == 4


def labeller(store, engine, executor):
    return Labeller(store, engine, executor, HERE)


def test_labels_are_stored_once_and_failures_put_aside(water, tmp_path):
    structures = []
    for seed in range(4):
        atoms = water.copy()
        atoms.rattle(0.05, seed=seed)
        structures.append(atoms)
    log = tmp_path / "asked"
    engine = odd("Springs", log=log)
    with Store(tmp_path / "folder") as store, ThreadPoolExecutor(2) as executor:
        keys = labeller(store, engine, executor).label(structures, "training", 0)
        again = labeller(store, engine, executor).label(structures[::-1], "training", 1)
        assert again == keys[::-1]
        for atoms, stored in zip(structures, store.labels(keys), strict=True):
            assert (stored.positions == atoms.positions).all()
            assert (stored.get_forces() == ask(odd("Springs"), atoms, tmp_path).forces).all()
    assert len(log.read_text().splitlines()) == 4


def test_one_failure_among_successes_is_kept_with_its_reason(water, tmp_path):
    far = water.copy()
    far.positions[0, 0] = 50.0  # a force of 400 eV/Å of these springs
    with Store(tmp_path / "folder") as store, ThreadPoolExecutor(2) as executor:
        keys = labeller(store, odd("Springs"), executor).label([water, far], "training", 3)
        assert keys[0] is not None
        assert keys[1] is None
        assert "max_force" in store.failure(label_key(odd("Springs"), far))


def test_engine_that_fails_on_everything_stops_and_is_asked_again_later(water, tmp_path):
    structures = []
    for seed in range(8):
        atoms = water.copy()
        atoms.rattle(0.05, seed=seed)
        structures.append(atoms)
    with Store(tmp_path / "folder") as store, ThreadPoolExecutor(2) as executor:
        with pytest.raises(EngineError, match=r"failed on all of the first 5 structures.*SCFError"):
            labeller(store, odd("Unconverged"), executor).label(structures, "training", 0)
        keys = [label_key(odd("Unconverged"), atoms) for atoms in structures]
        assert [store.failure(key) for key in keys] == [None] * 8


def test_engine_log_does_not_fill_the_worker_pipe(water, tmp_path):
    """Megabytes of output must neither block the engine nor reach the result."""
    module = tmp_path / "loud.py"
    module.write_text(
        "import os\nfrom odd_engines import Springs\n"
        "class Loud(Springs):\n"
        "    def calculate(self, *a, **k):\n"
        "        super().calculate(*a, **k)\n"
        "        os.write(1, b'x' * 5_000_000)\n"
    )
    (tmp_path / "odd_engines.py").write_text((Path(HERE) / "odd_engines.py").read_text())
    engine = EngineSettings(name="loud:Loud", time_limit=60)
    assert label_task(engine, water, str(tmp_path / "scratch"), str(tmp_path)).energy > 0


def test_environment_of_workers(tmp_path):
    assert run_in_worker("os:getenv", "OMP_NUM_THREADS", threads=3) == "3"
    assert run_in_worker("os:getpgid", 0) != os.getpgid(0)
