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
    common = ["-O2", "-std=c++17", "-fPIC", "-pthread", "-fopenmp", *flags]
    common += [f"-I{path}" for path in (source, folder / "include", *includes)]
    with tempfile.TemporaryDirectory(prefix=".building-", dir=output.parent) as temporary:
        sources = sorted(path.stem for path in source.glob("*.cpp"))
        objects = [f"{temporary}/{stem}.o" for stem in sources]
        _run(
            [
                [*words, *common, "-c", f"{stem}.cpp", "-o", target]
                for stem, target in zip(sources, objects, strict=True)
            ],
            source,
        )
        target = Path(temporary) / NAME
        link = [*objects, str(folder / "libmentor_kernel.a"), "-o", str(target)]
        link += ["-shared", f"-Wl,--version-script={source / 'plugin.map'}"]
        _run([[*words, *common, *link]], source)
        os.replace(target, output)


def _run(commands: list[list[str]], folder: Path) -> None:
    """Run ``commands`` side by side in ``folder``."""
    running = [
        subprocess.Popen(
            command,
            cwd=folder,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for command in commands
    ]
    said = [process.communicate()[1] for process in running]
    for process, errors in zip(running, said, strict=True):
        if process.returncode != 0:
            lines = [line.strip() for line in errors.splitlines() if "error" in line.lower()]
            what = (lines or errors.split("\n"))[0]
            raise InputError(f"the LAMMPS plugin cannot be compiled: {what}")
