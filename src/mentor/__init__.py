"""Moment Tensor Potentials that learn from quantum mechanics by themselves.

    import mentor

    mentor.learn("campaign.toml")                       # a structure and a QM code -> a potential
    potential = mentor.load("pot.mtp", elements=["Ag", "Pd"])
    atoms.calc = potential.calculator()                 # any ASE molecular dynamics or relaxation

Names are imported when first used, so that importing mentor costs nothing.
"""

import importlib

__version__ = "0.1.0"

_HOME = {
    "Potential": "mentor.potential",
    "Calculator": "mentor.calculator",
    "init": "mentor.potential",
    "load": "mentor.potential",
    "train": "mentor.fit",
    "errors": "mentor.fit",
    "mean": "mentor.fit",
    "evaluate": "mentor.evaluation",
    "grade": "mentor.active",
    "select": "mentor.active",
    "convert": "mentor.formats",
    "mindist": "mentor.formats",
    "relax": "mentor.dynamics",
    "md": "mentor.dynamics",
    "learn": "mentor.learning",
    "status": "mentor.learning",
    "report": "mentor.reports",
    "MentorError": "mentor.exceptions",
    "InputError": "mentor.exceptions",
    "FormatError": "mentor.exceptions",
    "EngineError": "mentor.exceptions",
    "StorageError": "mentor.exceptions",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'mentor' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
