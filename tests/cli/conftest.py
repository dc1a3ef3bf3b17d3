"""Running the command line in this process, as a user sees it."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from mentor.cli.main import main


@dataclass(frozen=True)
class Outcome:
    """What a command line left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def mentor_command(capfd: pytest.CaptureFixture) -> Callable[..., Outcome]:
    """``mentor_command("train", "x.xyz")`` -> Outcome."""

    def run(*arguments: object) -> Outcome:
        capfd.readouterr()
        code = main([str(each) for each in arguments])
        return Outcome(code, *capfd.readouterr())

    return run
