"""One frozen settings class per command: at once its Python arguments, TOML table and options.

A command is a function of one settings object::

    @dataclass(frozen=True, kw_only=True)
    class InitSettings:
        level: int = option(16, "Highest level of the basis functions.")

    @command(InitSettings)
    def init(settings: InitSettings) -> Potential: ...

``init(InitSettings(level=10))`` and ``init(level=10)`` are then the same, and a misspelt name
raises. Fields that may be given by position come first and are marked ``positional=True``.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, field, fields
from typing import Any, TypeVar

from mentor.exceptions import InputError

Result = TypeVar("Result")


def option(
    default: Any = MISSING,
    help: str = "",
    *,
    positional: bool = False,
    unit: str = "",
    choices: tuple[str, ...] = (),
    python_only: bool = False,
) -> Any:
    """Declare a field of a settings class: its default, help, unit and allowed values."""
    metadata = {
        "help": help,
        "positional": positional,
        "unit": unit,
        "choices": choices,
        "python_only": python_only,
    }
    if isinstance(default, dict | list):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def check_choices(settings: object) -> None:
    """Raise :class:`InputError` where a field with ``choices`` holds another value."""
    for each in fields(settings):  # type: ignore[arg-type]
        choices = each.metadata.get("choices")
        value = getattr(settings, each.name)
        if choices and value is not None and value not in choices:
            raise InputError(f"{each.name} = {value!r} is not one of {', '.join(choices)}")


def command(settings_class: type) -> Callable[[Callable[[Any], Result]], Callable[..., Result]]:
    """Make a function of a settings object callable with the settings' fields as arguments."""
    declared = fields(settings_class)
    positional = [each.name for each in declared if each.metadata.get("positional")]

    def decorate(run: Callable[[Any], Result]) -> Callable[..., Result]:
        @functools.wraps(run)
        def call(*arguments: Any, **options: Any) -> Result:
            if len(arguments) == 1 and isinstance(arguments[0], settings_class) and not options:
                settings = arguments[0]
            else:
                if len(arguments) > len(positional):
                    raise TypeError(
                        f"{run.__name__}() takes {len(positional)} positional arguments "
                        f"({', '.join(positional) or 'none'}) but {len(arguments)} were given"
                    )
                try:
                    settings = settings_class(
                        **dict(zip(positional, arguments, strict=False)), **options
                    )
                except TypeError as error:
                    own = f"{settings_class.__name__}.__init__"
                    raise TypeError(str(error).replace(own, run.__name__)) from None
            check_choices(settings)
            return run(settings)

        call.settings_class = settings_class  # type: ignore[attr-defined]
        call.__signature__ = _signature(settings_class, run)  # type: ignore[attr-defined]
        return call

    return decorate


def _signature(settings_class: type, run: Callable[..., Any]) -> inspect.Signature:
    parameters = []
    for each in fields(settings_class):
        default = inspect.Parameter.empty
        if each.default is not MISSING:
            default = each.default
        elif each.default_factory is not MISSING:
            default = each.default_factory()
        kind = (
            inspect.Parameter.POSITIONAL_OR_KEYWORD
            if each.metadata.get("positional")
            else inspect.Parameter.KEYWORD_ONLY
        )
        parameters.append(inspect.Parameter(each.name, kind, default=default, annotation=each.type))
    returns = inspect.signature(run).return_annotation
    return inspect.Signature(parameters, return_annotation=returns)
