"""Sphinx configuration."""

import importlib.util
from pathlib import Path

from pygments.lexers.shell import BashLexer

import mentor

project = "mentor"
copyright = "2026, the mentor developers"
version = release = mentor.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "mentor"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"


def _write_commands(app: object) -> None:
    """Write the reference of the commands from their settings classes."""
    path = Path(__file__).with_name("command_pages.py")
    spec = importlib.util.spec_from_file_location("command_pages", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    target = path.with_name("commands.md")
    text = module.reference()
    if not target.exists() or target.read_text() != text:
        target.write_text(text)


def setup(app: object) -> None:
    app.connect("builder-inited", _write_commands)
    app.add_lexer("lammps", BashLexer)  # the nearest to its inputs
