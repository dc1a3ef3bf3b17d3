"""The command line itself: help, options, configuration files, exit codes, output."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase.io import write

import mentor
import samples
from mentor.cli.commands import COMMANDS
from mentor.cli.main import main
from mentor.fit import checkpoint
from mentor.structures import with_labels


def one_line(text: str) -> str:
    """The only line of an error message; fails where there are more or it is no message."""
    lines = text.splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("mentor: ")
    return lines[0]


def test_version_starts_fast_and_imports_nothing_slow():
    command = [sys.executable, "-X", "importtime", "-m", "mentor", "version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"mentor {mentor.__version__}\n"
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert not imported & {"numpy", "scipy", "ase", "rich", "matplotlib", "argparse"}


def test_version_takes_less_than_a_third_of_a_second():
    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "mentor", "version"], capture_output=True, check=True)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.3


def test_version_as_json(mentor_command):
    assert json.loads(mentor_command("version", "--json").out) == {"version": mentor.__version__}


def test_manual_names_every_command(mentor_command):
    done = mentor_command("--help")
    assert done.code == 0
    for verb in [*COMMANDS, "version"]:
        assert f"\n  {verb} " in done.out
    assert done.out == mentor_command().out


@pytest.mark.parametrize("verb", COMMANDS)
def test_help_shows_usage_options_and_an_example(mentor_command, verb):
    done = mentor_command(*verb.split(), "--help")
    assert done.code == 0
    assert done.out.startswith(f"usage: mentor {verb}")
    assert f"example:\n  {COMMANDS[verb].example}" in done.out
    assert max(map(len, done.out.splitlines())) <= 100


def test_help_shows_units_and_defaults(mentor_command):
    help = " ".join(mentor_command("init", "--help").out.split())
    assert "--cutoff X Radius of the neighbourhood (max_dist). [default 5 Å]" in help


@pytest.mark.parametrize("verb", COMMANDS)
def test_example_is_valid_usage(verb):
    from mentor.cli.options import parser, settings

    command = COMMANDS[verb]
    words = command.example.split()
    first = 1 + len(verb.split())
    assert words[:first] == ["mentor", *verb.split()]
    values = settings(command, vars(parser(command).parse_args(words[first:])))
    assert isinstance(values, command.settings_class)


def test_unknown_command_is_wrong_usage(mentor_command):
    done = mentor_command("trian")
    assert done.code == 2
    assert done.out == ""
    assert one_line(done.err) == (
        "mentor: no command 'trian'; did you mean train? (see 'mentor --help')"
    )


def test_unknown_option_is_wrong_usage_and_names_the_nearest(mentor_command):
    done = mentor_command("init", "--elements", "Ag", "--levle", "8")
    assert done.code == 2
    assert "has no option --levle; did you mean --level?" in one_line(done.err)


def test_value_of_the_wrong_type_is_wrong_usage(mentor_command):
    done = mentor_command("init", "--elements", "Ag", "--level", "ten", "--output", "x.mtp")
    assert done.code == 2
    assert "--level ten is not a whole number" in one_line(done.err)


def test_missing_argument_says_what_it_is(mentor_command):
    done = mentor_command("train")
    assert done.code == 2
    assert "DATA is missing" in one_line(done.err)


def test_option_the_command_line_needs(mentor_command):
    done = mentor_command("init", "--elements", "Ag")
    assert done.code == 2
    assert "--output is missing" in one_line(done.err)


def test_lists_are_separated_by_commas(mentor_command, tmp_path):
    path = tmp_path / "start.mtp"
    done = mentor_command("init", "--elements", "Ag,Pd", "--level", 4, "--output", path)
    assert done.code == 0, done.err
    assert mentor.load(path).elements == ("Ag", "Pd")


def test_lists_separated_by_spaces_are_wrong_usage(mentor_command, tmp_path):
    done = mentor_command("init", "--elements", "Ag", "Pd", "--output", tmp_path / "start.mtp")
    assert done.code == 2
    assert "no use for Pd; separate several values of an option by commas" in one_line(done.err)


def test_json_is_one_document(mentor_command, tmp_path):
    done = mentor_command(
        *("init", "--elements", "Ag,Pd", "--level", 4, "--output", tmp_path / "x.mtp", "--json")
    )
    assert json.loads(done.out)["elements"] == ["Ag", "Pd"]
    assert done.err == ""


def test_json_of_an_error_is_one_document_too(mentor_command, tmp_path):
    missing = tmp_path / "missing.xyz"
    done = mentor_command("mindist", missing, "--json")
    assert done.code == 1
    assert str(missing) in json.loads(done.out)["error"]
    assert str(missing) in one_line(done.err)


def test_configuration_file_is_overridden_by_options(mentor_command, tmp_path):
    config = tmp_path / "init.toml"
    config.write_text(f'elements = ["Si"]\nlevel = 8\ncutoff = 4\noutput = "{tmp_path}/x.mtp"\n')
    done = mentor_command("init", "--config", config, "--level", 4)
    assert done.code == 0, done.err
    potential = mentor.load(tmp_path / "x.mtp")
    assert (potential.elements, potential.max_dist) == (("Si",), 4.0)
    assert len(potential.moment_coeffs) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nlevle = 8", ":2: unknown entry 'levle'; did you mean level?"),
        ("level = 'ten'", ":1: level = 'ten' should be a whole number"),
        ("level = 8.5", ":1: level = 8.5 should be a whole number"),
        ("independent = 1", ":1: independent = 1 should be true or false"),
        ("elements = [1]", ":1: elements = 1 should be a text"),
        ("level = ", "is not valid TOML"),
        ("\x00", "is not valid TOML"),
        ("\udcff", "is not a text file in UTF-8"),
        (None, "cannot be read (No such file or directory)"),
    ],
)
def test_configuration_that_cannot_be_used(mentor_command, tmp_path, text, message):
    config = tmp_path / "init.toml"
    if text is not None:
        config.write_text(text, errors="surrogateescape")
    done = mentor_command("init", "--elements", "Ag", "--output", "x.mtp", "--config", config)
    assert done.code == 1
    assert f"{config}" in done.err
    assert message in one_line(done.err)


def test_interruption_is_one_line(mentor_command, monkeypatch):
    def interrupted(settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(mentor, "init", as_init(interrupted))
    done = mentor_command("init", "--elements", "Ag", "--output", "x.mtp")
    assert done.code == 130
    assert one_line(done.err) == "mentor: interrupted"


def test_a_stopped_training_says_how_to_go_on(mentor_command, monkeypatch, tmp_path):
    """And what it says makes the same potential."""
    truth, structures = samples.potential(2, level=4, seed=3), []
    for seed in range(6):
        atoms = samples.structure("triclinic crystal", 2, seed)
        atoms.calc = truth.calculator()
        structures.append(with_labels(atoms, atoms.get_potential_energy(), atoms.get_forces()))
    write(tmp_path / "data.xyz", structures)
    options = ["--level", 4, "--cutoff", 4, "--radial-basis-size", 5, "--max-iterations", 8]

    def train(name, *more):
        output = tmp_path / name
        return mentor_command("train", tmp_path / "data.xyz", *options, "--output", output, *more)

    assert train("whole.mtp").code == 0
    save = checkpoint.save

    def stop(path, stand, mark):
        save(path, stand, mark)
        if stand.history[-1].number == 3:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save", stop)
        done = train("pot.mtp")
    assert done.code == 130
    assert "run the same command with --resume to go on" in done.err
    assert train("pot.mtp", "--resume").code == 0
    whole, resumed = (mentor.load(tmp_path / name) for name in ("whole.mtp", "pot.mtp"))
    assert np.array_equal(whole.parameters, resumed.parameters)


def as_init(function):
    """The function with the settings of ``init``."""
    function.settings_class = mentor.init.settings_class
    return function


@pytest.mark.filterwarnings("default")
def test_warning_is_one_line_unless_quiet(mentor_command, monkeypatch):
    def warning(settings):
        warnings.warn("take care", UserWarning, stacklevel=1)
        return made

    made = mentor.init(elements=("Ag",), level=4)
    monkeypatch.setattr(mentor, "init", as_init(warning))
    line = ("init", "--elements", "Ag", "--output", "x.mtp", "--json")
    assert mentor_command(*line).err == "warning: take care\n"
    assert mentor_command(*line, "--quiet").err == ""


def test_unexpected_error_asks_for_a_report(mentor_command, monkeypatch):
    def broken(settings):
        raise ZeroDivisionError("division by\nzero")

    monkeypatch.setattr(mentor, "init", as_init(broken))
    line = ("init", "--elements", "Ag", "--output", "x.mtp")
    done = mentor_command(*line)
    assert done.code == 1
    message = one_line(done.err)
    assert "ZeroDivisionError: division by zero" in message
    assert "--debug" in message
    with pytest.raises(ZeroDivisionError):
        main([*line, "--debug"])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_standard_output_is_said(tmp_path):
    command = [sys.executable, "-m", "mentor", "version"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "No space left on device" in one_line(done.stderr)


def test_reader_that_goes_away_is_no_error():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "mentor", "--help"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert done.stderr == ""


@pytest.mark.parametrize(
    "words",
    [
        "pot.mtp a.xyz --output b.xyz --elements Ag,Pd",
        "pot.mtp --elements Ag,Pd a.xyz --output b.xyz",
        "--elements Ag,Pd pot.mtp a.xyz --output b.xyz",
        "--elements=Ag,Pd --output=b.xyz pot.mtp a.xyz",
    ],
)
def test_options_and_arguments_come_in_any_order(monkeypatch, mentor_command, words):
    seen = []

    def evaluate(settings):
        seen.append(settings)
        raise mentor.InputError("enough")

    evaluate.settings_class = mentor.evaluate.settings_class
    monkeypatch.setattr(mentor, "evaluate", evaluate)
    assert mentor_command("evaluate", *words.split()).code == 1
    (settings,) = seen
    assert settings == mentor.evaluate.settings_class(
        potential=Path("pot.mtp"),
        structures=Path("a.xyz"),
        elements=("Ag", "Pd"),
        output=Path("b.xyz"),
    )
