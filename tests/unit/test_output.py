"""What the command line shows: JSON, results, progress."""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mentor import progress
from mentor.cli import output


def test_json_has_only_plain_values():
    text = io.StringIO()
    document = {
        "array": np.array([[1.0, np.nan]]),
        "count": np.int64(3),
        "infinite": float("inf"),
        "path": Path("a") / "b",
        "tuple": (True, None, "Å"),
    }
    output.print_json(document, text)
    assert text.getvalue().count("\n") == 1
    assert json.loads(text.getvalue()) == {
        "array": [[1.0, None]],
        "count": 3,
        "infinite": None,
        "path": "a/b",
        "tuple": [True, None, "Å"],
    }


@dataclass(frozen=True)
class Sentence:
    text: str

    def __rich__(self) -> str:
        return self.text


def test_sentences_keep_their_brackets_and_are_not_broken(capsys):
    text = "energies [meV/atom] :smile: " + 40 * "word "
    output.print_result(Sentence(text))
    assert capsys.readouterr().out == text + "\n"


def test_progress_in_a_file_is_a_line_now_and_then(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(output.time, "monotonic", lambda: now[0])
    with output.TerminalReporter() as reporter, progress.reporting(reporter):
        with progress.task("working", 10) as task:
            for _ in range(10):
                now[0] += 20.0
                task.advance(note="[well]")
        progress.message("done")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "working: 2/10, [well]"
    assert lines[-2:] == ["working: 10/10, [well]", "done"]
    assert len(lines) == 6


def test_progress_on_a_terminal_is_a_bar_with_remaining_time(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with output.TerminalReporter() as reporter:
        task = reporter.task("working", 10)
        task.advance(5, "half")
        reporter.progress.refresh()
        task.__exit__()
    shown = capsys.readouterr().err
    for expected in ("working", "5/10", "left", "half"):
        assert expected in shown


@pytest.mark.parametrize("total", [None, 3])
def test_silent_task_takes_everything(total):
    with progress.task("silent", total) as task:
        task.advance()
        task.extend(5)
        task.advance(2, "note")
