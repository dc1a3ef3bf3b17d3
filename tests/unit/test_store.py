"""The store of a campaign: exact, transactional, alone in its folder, safe on a full disk."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ase.db
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.constraints import FixAtoms

from mentor.exceptions import InputError, StorageError
from mentor.learning import store as stores
from mentor.learning.engines import Label, label_key
from mentor.learning.labelling import Labeller
from mentor.learning.settings import EngineSettings
from mentor.learning.store import (
    Store,
    read_labels,
    read_only,
    running,
    structure_from_text,
    structure_to_text,
)

ENGINE = EngineSettings(name="emt")


def labelled(seed, size=1):
    atoms = bulk("Cu", cubic=True).repeat(size)
    atoms.rattle(0.1, seed=seed)
    rng = np.random.default_rng(seed)
    label = Label(
        energy=rng.standard_normal(),
        forces=rng.standard_normal((len(atoms), 3)),
        stress=rng.standard_normal(6),
        seconds=0.25,
    )
    return atoms, label


def test_labels_read_back_bit_by_bit(tmp_path):
    atoms, label = labelled(0)
    key = label_key(ENGINE, atoms)
    with Store(tmp_path / "new" / "folder") as store:
        store.add_label(key, atoms, label, "training", 3)
    with Store(tmp_path / "new" / "folder") as store:
        assert store.has_label(key)
        (read,) = store.labels([key])
    assert (read.positions == atoms.positions).all()
    assert (read.cell == atoms.cell).all()
    assert read.get_potential_energy() == label.energy
    assert (read.get_forces() == label.forces).all()
    assert (read.get_stress() == label.stress).all()
    assert label_key(ENGINE, read) == key


def test_molecules_keep_their_lack_of_a_cell(tmp_path):
    atoms = molecule("H2O")
    label = Label(energy=1.0, forces=np.ones((3, 3)), stress=None)
    with Store(tmp_path) as store:
        store.add_label("k1", atoms, label, "training", 0)
        (read,) = store.labels(["k1"])
    assert not read.pbc.any()
    assert read.cell.rank == 0
    assert "stress" not in read.calc.results


def test_labels_come_in_the_order_asked_for_and_only_once(tmp_path):
    with Store(tmp_path) as store:
        for seed in (0, 1, 2):
            atoms, label = labelled(seed)
            store.add_label(f"k{seed}", atoms, label, "training", seed)
        atoms, label = labelled(7)
        store.add_label("k1", atoms, label, "training", 9)  # known: nothing happens
        energies = [atoms.get_potential_energy() for atoms in store.labels(["k2", "k0", "k1"])]
        assert store.label_count == 3
    assert energies == [labelled(seed)[1].energy for seed in (2, 0, 1)]
    assert [atoms.info["iteration"] for atoms in read_labels(tmp_path, "training")] == [0, 1, 2]
    assert read_labels(tmp_path, "validation") == []


def test_users_can_open_the_labels_with_ase(tmp_path):
    with Store(tmp_path) as store:
        store.add_label("k0", *labelled(0), "training", 0)
    with ase.db.connect(tmp_path / "labels.db") as database:
        (row,) = database.select(role="training")
        assert row.energy == labelled(0)[1].energy


def test_structures_as_text_are_exact():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.set_momenta(np.random.default_rng(0).standard_normal((4, 3)))
    atoms.set_constraint(FixAtoms([2]))
    read = structure_from_text(structure_to_text(atoms))
    assert (read.positions == atoms.positions).all()
    assert (read.get_momenta() == atoms.get_momenta()).all()
    assert (read.constraints[0].index == [2]).all()
    assert read.pbc.all()


def test_facts_and_iterations_are_one_transaction(tmp_path):
    with Store(tmp_path) as store:
        store.commit({"state": {"x": 0.1}}, 0, {"number": 0})
        with pytest.raises(TypeError):
            store.commit({"state": {"x": 0.2}}, 1, {"number": object()})
        assert store.fact("state") == {"x": 0.1}
        assert store.fact("absent") is None


def test_failures_are_kept_until_forgotten(tmp_path):
    with Store(tmp_path) as store:
        store.add_failure("k1", molecule("H2O"), "no convergence", 4)
        assert store.failure("k1") == "no convergence"
        store.forget_failures(["k1"])
        assert store.failure("k1") is None


def test_two_campaigns_do_not_share_a_folder(tmp_path):
    with Store(tmp_path):
        assert running(tmp_path)
        with pytest.raises(StorageError, match=f"running here already .process {os.getpid()}"):
            Store(tmp_path)
    assert not running(tmp_path)
    Store(tmp_path).close()


HOLD = """
import sys, time
from mentor.learning.store import Store
store = Store(sys.argv[1])
print("held", flush=True)
time.sleep(600)
"""


def test_a_killed_campaign_lets_go_of_its_folder(tmp_path):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StorageError, match=f"process {other.pid}"):
            Store(tmp_path)
        other.kill()
    Store(tmp_path).close()


@pytest.mark.parametrize("path", ["/proc/mentor-campaign", "/dev/null/campaign"])
def test_folder_that_cannot_be_made(path):
    with pytest.raises(StorageError, match=f"{path}.*cannot be written") as caught:
        Store(path)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="cannot be written"):
        Store(tmp_path)


def test_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        Store(tmp_path / "file")


@pytest.mark.parametrize("name", ["labels.db", "campaign.db"])
def test_damaged_database_is_named(name, tmp_path):
    Store(tmp_path).close()
    (tmp_path / name).write_bytes(b"this is no database" * 100)
    with pytest.raises(StorageError, match=f"{name}.*damaged"):
        Store(tmp_path)
    Store(tmp_path / "elsewhere").close()


def test_no_campaign_in_the_folder(tmp_path):
    with pytest.raises(InputError, match="no campaign"), read_only(tmp_path):
        pass


def test_half_made_label_database_is_made_again(tmp_path):
    """A kill while ASE makes its tables leaves only the file beside the real one."""
    Store(tmp_path).close()
    (tmp_path / "labels.db").unlink()
    with sqlite3.connect(tmp_path / ".labels.new.db") as connection:
        connection.execute("CREATE TABLE systems (id INTEGER)")
    connection.close()
    with Store(tmp_path) as store:
        store.add_label("k0", *labelled(0), "training", 0)
        assert len(store.labels(["k0"])) == 1


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 6 MB, where the system lets us mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root only")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk, leave):
    """Fill ``disk`` but for ``leave`` bytes."""
    free = shutil.disk_usage(disk).free
    with (disk / "filling").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - leave)


def test_full_disk_at_the_start(small_disk):
    fill(small_disk, 200_000)
    with pytest.raises(StorageError, match="the disk is full; free at least 2 MB"):
        Store(small_disk / "campaign")
    assert not (small_disk / "campaign" / "reserve").exists()


def test_label_under_way_is_stored_on_a_full_disk(small_disk):
    with Store(small_disk) as store:
        store.add_label("k0", *labelled(0, 5), "training", 0)
        fill(small_disk, 0)
        assert not store.disk_full
        store.add_label("k1", *labelled(1, 5), "training", 0)
        assert store.disk_full
        assert len(store.labels(["k0", "k1"])) == 2
    (small_disk / "filling").unlink()
    with Store(small_disk) as store:  # takes a new reserve
        assert (small_disk / "reserve").stat().st_size >= stores.RESERVE
        assert (store.labels(["k1"])[0].get_forces() == labelled(1, 5)[1].forces).all()


def test_campaign_stops_on_a_full_disk_with_its_labels_stored(small_disk):
    structures = []
    for seed in range(40):
        atoms = bulk("Cu", cubic=True).repeat(3)
        atoms.rattle(0.1, seed=seed)
        structures.append(atoms)
    with Store(small_disk) as store, ThreadPoolExecutor(1) as executor:
        fill(small_disk, 30_000)
        labeller = Labeller(store, ENGINE, executor)
        # scratch folders need space of their own: they end with the reserve at the latest
        with pytest.raises(StorageError, match=r"full.*run the same command again"):
            labeller.label(structures, "training", 0)
        stored = store.label_count
        assert 0 < stored < 40
    (small_disk / "filling").unlink()
    with Store(small_disk) as store, ThreadPoolExecutor(1) as executor:
        assert store.label_count == stored
        assert None not in Labeller(store, ENGINE, executor).label(structures, "training", 0)


def add_many(store):
    for seed in range(1, 200):
        store.add_label(f"k{seed}", *labelled(seed), "training", 0)


def test_size_limit_of_a_database_is_reported_as_a_full_disk(tmp_path, monkeypatch):
    """The same without a small disk: SQLite itself refuses to grow."""
    connect = sqlite3.connect

    def limited(*arguments, **options):
        connection = connect(*arguments, **options)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {max(pages, 20)}")
        return connection

    with Store(tmp_path) as store:
        store.add_label("k0", *labelled(0), "training", 0)
        monkeypatch.setattr(sqlite3, "connect", limited)
        with pytest.raises(StorageError, match=r"labels\.db: the disk is full"):
            add_many(store)
        monkeypatch.undo()
        assert store.disk_full
        assert not (tmp_path / "reserve").exists()
        keys = [f"k{seed}" for seed in range(store.label_count)]
        for seed, atoms in enumerate(store.labels(keys)):
            assert atoms.get_potential_energy() == labelled(seed)[1].energy


WRITE = """
import sys
import numpy as np
from ase.build import molecule
from mentor.learning.engines import Label
from mentor.learning.store import Store
with Store(sys.argv[1]) as store:
    first = store.label_count
    for number in range(first, 10_000):
        label = Label(energy=float(number), forces=np.full((3, 3), number), stress=None)
        store.add_label(f"k{number}", molecule("H2O"), label, "training", 0)
        store.commit({"state": number}, number, {"number": number})
        print(number, flush=True)
"""


def test_kills_at_any_moment_leave_whole_labels(tmp_path):
    rng = np.random.default_rng(0)
    known = 0
    for _ in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITE, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        with writer:
            for _ in range(3):
                told = int(writer.stdout.readline())
            time.sleep(rng.uniform(0, 0.03))
            writer.kill()
            told = max([told, *map(int, writer.stdout.read().split())])
        structures = read_labels(tmp_path)
        assert len(structures) >= max(told + 1, known)  # what was said to be stored is there
        known = len(structures)
        for number, atoms in enumerate(structures):
            assert atoms.get_potential_energy() == number
            assert (atoms.get_forces() == number).all()
        with read_only(tmp_path) as connection:
            assert stores.read_fact(connection, "state") in (known - 1, known - 2)


def test_reading_does_not_need_the_lock(tmp_path):
    with Store(tmp_path) as store:
        store.commit({"status": "running"})
        with read_only(tmp_path) as connection:
            assert stores.read_fact(connection, "status") == "running"
        assert not Path(tmp_path / "labels.db.lock").exists()
