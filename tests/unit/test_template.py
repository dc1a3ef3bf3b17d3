"""Templates of LAMMPS commands: how they are read, and what must not be in them."""

import pytest

from mentor.exceptions import InputError
from mentor.learning.template import PROVIDED, Template, read_template

TEXT = '''# a comment

fix 1 all nve   # moves
fix 2 all langevin ${temperature} &
    ${temperature} ${damp} &
    ${seed}
print """two
lines""" file out
# the end'''


def test_commands_have_the_lines_where_they_begin():
    assert Template("in", TEXT).commands() == [
        (3, "fix 1 all nve   # moves"),
        (4, "fix 2 all langevin ${temperature}      ${temperature} ${damp}      ${seed}"),
        (7, 'print """two\nlines""" file out'),
    ]
    assert Template("in", "").commands() == []


@pytest.mark.parametrize("text", ["fix 1 all nve &", 'fix 1 all nve\nprint """a\nb'])
def test_commands_without_an_end(text):
    with pytest.raises(InputError, match=r"in:\d: the command has no end"):
        Template("in", text).commands()


@pytest.mark.parametrize("word", PROVIDED)
def test_commands_that_mentor_provides(word):
    with pytest.raises(InputError, match=rf"in:2: leave out the command {word}: \w"):
        Template("in", f"fix 1 all nve\n{word} what follows").check(pressures=False)
    Template("in", f"fix 1 all nve\n# {word} what follows\nfix {word} all nve").check(False)


@pytest.mark.parametrize("use", ["${pressure}", "v_pressure"])
def test_pressures_and_their_use_belong_together(use):
    under = Template("in", f"fix 1 all nph iso {use} {use} 1")
    under.check(pressures=True)
    with pytest.raises(InputError, match="give pressures under"):
        under.check(pressures=False)
    with pytest.raises(InputError, match="leave out pressures under"):
        Template("in", "fix 1 all nve  # v_pressures").check(pressures=True)


def test_files_that_are_no_templates(tmp_path):
    with pytest.raises(InputError, match="absent: cannot be read"):
        read_template(tmp_path / "absent", tmp_path, pressures=False)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="binary: is not a text file"):
        read_template(tmp_path / "binary", tmp_path, pressures=False)
