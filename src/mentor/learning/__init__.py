"""Learning on the fly: explore, find what is new, ask quantum mechanics, refit, go on.

``campaign`` is the command; ``phases`` the loop; ``start``, ``explore``, ``labelling`` and
``training`` its steps; ``engines``, ``worker`` and ``processes`` run quantum mechanics; ``store``
keeps everything and ``history`` reads it. Names are imported when first used, so that the processes
of ``worker`` start quickly.
"""

import importlib

_HOME = {"learn": "campaign", "status": "results"}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
