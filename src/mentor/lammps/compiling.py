"""Compiling the pair styles against the headers of a LAMMPS."""

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from mentor.exceptions import InputError
from mentor.lammps.places import NAME, native


def compile_plugin(output: Path, includes: list[Path], flags: list[str], compiler: str) -> None:
    """Compile and link the plugin, and put it at ``output`` when it is complete.

    Raises
    ------
    InputError
        There is no compiler, or it has failed.
    """
    words = shlex.split(compiler)
    if not words or shutil.which(words[0]) is None:
        raise InputError(
            f"the C++ compiler {compiler!r} is not found; install g++ or set CXX to a compiler"
        )
    folder = native()
    source = folder / "source"
    common = ["-O2", "-std=c++17", "-fPIC", *(folder / "kernel.flags").read_text().split(), *flags]
    common += [f"-I{path}" for path in (source, folder / "include", *includes)]
    with tempfile.TemporaryDirectory(prefix=".building-", dir=output.parent) as temporary:
        objects = []
        running = []
        for path in sorted(source.glob("*.cpp")):
            objects.append(str(Path(temporary) / f"{path.stem}.o"))
            command = [*words, *common, "-c", path.name, "-o", objects[-1]]
            running.append(_start(command, source))
        for process in running:
            _finish(process)
        target = Path(temporary) / NAME
        link = [*objects, str(folder / "libmentor_kernel.a"), "-o", str(target)]
        link += ["-shared", f"-Wl,--version-script={source / 'plugin.map'}"]
        _finish(_start([*words, *common, *link], source))
        os.replace(target, output)


def _start(command: list[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=folder,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate()
    if process.returncode != 0:
        lines = [line.strip() for line in errors.splitlines() if "error" in line.lower()]
        what = (lines or errors.split("\n"))[0]
        raise InputError(f"the LAMMPS plugin cannot be compiled: {what}")
