"""The text of ``.mtp`` potentials to and from the fields of a potential."""

import re
from collections.abc import Iterable

import numpy as np
from ase.data import chemical_symbols

from mentor.exceptions import FormatError

ELEMENTS_TAG = "elements="
"""The element names, which the format lacks, are a word of ``potential_tag``."""

RADIAL_BASIS_TYPES = ("RBChebyshev", "RBChebyshev_repuls", "BChebyshev", "RBChebyshev_zbl")

_INTEGERS = {
    "species_count": 118,
    "radial_basis_size": 1000,
    "radial_funcs_count": 1000,
    "alpha_moments_count": 10**7,
    "alpha_index_basic_count": 10**6,
    "alpha_index_times_count": 10**7,
    "alpha_scalar_moments": 10**6,
}
"""Counts of the format with an upper bound far above any sensible value."""
_REALS = ("scaling", "min_dist", "max_dist")
_WORDS = ("version", "potential_name", "potential_tag", "radial_basis_type")
_INTEGER_LISTS = ("alpha_index_basic", "alpha_index_times", "alpha_moment_mapping")
_COEFFICIENTS = ("radial_coeffs", "species_coeffs", "moment_coeffs")
_OWN_MOMENTS = "species_moment_coeffs"
"""In place of ``moment_coeffs`` where each species has its own, one species after the other."""
_REAL_LISTS = (*_COEFFICIENTS[1:], _OWN_MOMENTS, "core_radii")

_KEY = re.compile(r"\s*([A-Za-z_]\w*)[ \t]*(=?)")
_PAIR = re.compile(r"\s*(\d+)-(\d+)")
_SCALARS_OF_RADIAL = ("scaling", "min_dist", "max_dist", "radial_basis_size", "radial_funcs_count")


def elements_of_tag(tag: str) -> tuple[str, ...] | None:
    """Chemical symbols named in a ``potential_tag``, None where it names none."""
    for word in tag.split():
        if word.startswith(ELEMENTS_TAG):
            return tuple(word.removeprefix(ELEMENTS_TAG).split(","))
    return None


def tag_with_elements(tag: str, elements: Iterable[str] | None) -> str:
    """``tag`` with the chemical symbols named in it."""
    words = [word for word in tag.split() if not word.startswith(ELEMENTS_TAG)]
    return " ".join([*words, ELEMENTS_TAG + ",".join(elements)] if elements else words)


def parse_mtp(path: object, text: str) -> dict:
    """Fields of :class:`mentor.Potential` in the text of a ``.mtp`` file.

    Where an untrained file leaves out ``radial_coeffs``, ``species_coeffs`` and ``moment_coeffs``,
    they are arrays of NaN.

    Raises
    ------
    FormatError
        The text is not a complete potential; the message gives the line.
    """
    reader = _Reader(path, text)
    found = reader.statements()
    return _fields(reader, found)


class _Reader:
    """Cuts the text into statements ``key = value`` and knows the line it has come to."""

    def __init__(self, path: object, text: str) -> None:
        self.path = path
        self.text = text
        self.position = 0
        self.lines: dict[str, int] = {}

    def error(self, what: str, line: int | None = None) -> FormatError:
        return FormatError(self.path, line or self.line(), what)

    def line(self) -> int:
        return self.text.count("\n", 0, self.position) + 1

    def statements(self) -> dict:
        """Everything given in the file; ``radial_coeffs`` as {(label, label): (K, R)}."""
        header = re.compile(r"\s*MTP\s*?\n").match(self.text)
        if header is None:
            raise self.error("is not a potential: the first line must be 'MTP'", 1)
        self.position = header.end()
        found: dict = {}
        while self.text[self.position :].strip():
            key = self._key()
            if key == "scaling":
                found[key] = found.get(key, 1.0) * self._value(key)
                continue
            if key in found:
                raise self.error(f"{key} is given a second time; keep one of them")
            self.lines[key] = self.line()
            found[key] = self._pairs(found) if key == "radial_coeffs" else self._value(key)
        return found

    def _key(self) -> str:
        match = _KEY.match(self.text, self.position)
        known = (*_INTEGERS, *_REALS, *_WORDS, *_INTEGER_LISTS, *_REAL_LISTS, "radial_coeffs")
        if match is None or match[1] not in known:
            self.position += len(re.compile(r"\s*").match(self.text, self.position)[0])
            word = self.text[self.position : self.position + 80].split("\n")[0].strip()
            raise self.error(f"unknown field {word!r}; the file is damaged or of another format")
        if not match[2] and match[1] != "radial_coeffs":
            self.position = match.end()
            raise self.error(f"{match[1]} has no value; expected '{match[1]} = …'")
        self.position = match.end()
        return match[1]

    def _value(self, key: str):
        if key in _INTEGER_LISTS or key in _REAL_LISTS:
            return self._numbers(key, np.int32 if key in _INTEGER_LISTS else np.float64)
        end = self.text.find("\n", self.position)
        word = self.text[self.position : end if end >= 0 else len(self.text)].strip()
        line = self.line()
        self.position = end if end >= 0 else len(self.text)
        if key in _WORDS:
            return word
        try:
            value = int(word) if key in _INTEGERS else float(word)
        except ValueError:
            raise self.error(f"{key} = {word!r} is not a number", line) from None
        if key in _INTEGERS and not 0 <= value <= _INTEGERS[key]:
            raise self.error(f"{key} = {value} is out of range (0 to {_INTEGERS[key]})", line)
        if not np.isfinite(value):
            raise self.error(f"{key} = {value} is not a finite number", line)
        return value

    def _numbers(self, key: str, dtype: type) -> np.ndarray:
        """The numbers of a list ``{…}`` or of a list of lists of four ``{{…}, …}``."""
        start = self.text.find("{", self.position)
        if start < 0 or self.text[self.position : start].strip():
            raise self.error(f"{key} must be followed by a list in braces")
        line = self.line()
        rows = key in ("alpha_index_basic", "alpha_index_times")
        last = re.compile(r"\}\s*\}|\{\s*\}" if rows else r"\}").search(self.text, start)
        self.position = start
        if last is None:
            raise self.error(f"the list of {key} is not closed; the file ends too early")
        inside = self.text[start : last.end()].strip()[1:-1]
        self.position = last.end()
        if rows:
            return self._rows(key, inside, line)
        return self._array(key, inside.split(",") if inside.strip() else [], dtype, line)

    def _rows(self, key: str, inside: str, line: int) -> np.ndarray:
        inside = inside.strip()
        rows = re.split(r"\}\s*,\s*\{", inside[1:-1]) if inside else []
        if inside and not (inside.startswith("{") and inside.endswith("}")):
            raise self.error(f"{key} must be a list of lists {{…}} of four integers", line)
        words = [row.split(",") for row in rows]
        for index, row in enumerate(words):
            if len(row) != 4:
                raise self.error(f"row {index} of {key} has {len(row)} numbers, not 4", line)
        flat = [word for row in words for word in row]
        return self._array(key, flat, np.int32, line).reshape(-1, 4)

    def _array(self, key: str, words: list[str], dtype: type, line: int) -> np.ndarray:
        convert = int if dtype is np.int32 else float
        values = []
        for word in words:
            try:
                values.append(convert(word))
            except ValueError:
                what = "an integer" if dtype is np.int32 else "a number"
                shown = word.strip()[:40]
                raise self.error(f"{key} contains {shown!r}, which is not {what}", line) from None
        try:
            array = np.array(values, dtype)
        except OverflowError:
            raise self.error(f"{key} contains an integer that is out of range", line) from None
        if not np.isfinite(array).all():
            raise self.error(f"{key} contains a value that is not finite", line)
        return array

    def _pairs(self, found: dict) -> dict[tuple[int, int], np.ndarray]:
        """The block of ``radial_coeffs``: per pair a line ``s1-s2``, then K lists of R numbers."""
        for key in ("radial_basis_size", "radial_funcs_count"):
            if key not in found:
                raise self.error(f"{key} must come before radial_coeffs")
        shape = (found["radial_funcs_count"], found["radial_basis_size"])
        pairs: dict[tuple[int, int], np.ndarray] = {}
        while match := _PAIR.match(self.text, self.position):
            self.position = match.end()
            label = (int(match[1]), int(match[2]))
            if label in pairs:
                raise self.error(f"the pair {match[1]}-{match[2]} is given a second time")
            block = np.empty(shape)
            for mu in range(shape[0]):
                row = self._numbers(f"radial_coeffs of {label[0]}-{label[1]}", np.float64)
                if len(row) != shape[1]:
                    raise self.error(
                        f"function {mu} of the pair {match[1]}-{match[2]} has {len(row)} "
                        f"coefficients, but radial_basis_size = {shape[1]}"
                    )
                block[mu] = row
            pairs[label] = block
        return pairs


def _fields(reader: _Reader, found: dict) -> dict:
    """The statements of a file, checked against each other, as the fields of a potential."""
    required = (*_INTEGERS, "min_dist", "max_dist", "radial_basis_type", *_INTEGER_LISTS)
    reader.position = len(reader.text.rstrip())
    for key in required:
        if key not in found:
            raise reader.error(f"{key} is missing; the file ends too early or is damaged")
    moments = _OWN_MOMENTS if _OWN_MOMENTS in found else "moment_coeffs"
    coefficients = (*_COEFFICIENTS[:2], moments)
    given = [key for key in coefficients if key in found]
    if len(given) in (1, 2):
        absent = next(key for key in coefficients if key not in found)
        raise reader.error(f"{absent} is missing although {given[0]} is there; the file is damaged")
    if {_OWN_MOMENTS, "moment_coeffs"} <= set(found):
        raise reader.error(
            f"{_OWN_MOMENTS} and moment_coeffs are both given; keep one of them",
            reader.lines["moment_coeffs"],
        )
    _check_distances(reader, found)
    _check_schedule(reader, found)
    count, size = found["species_count"], found["radial_basis_size"]
    shape = (count, count, found["radial_funcs_count"], size)
    if given:
        elements, radial = _radial_coeffs(reader, found, shape)
        _check_length(reader, found, "species_coeffs", count, "species_count")
        species, xi = found["species_coeffs"], _moment_coeffs(reader, found, moments)
    else:
        elements, radial = None, np.full(shape, np.nan)
        species, xi = np.full(count, np.nan), np.full(found["alpha_scalar_moments"], np.nan)
    tag = found.get("potential_tag", "")
    if elements and not elements_of_tag(tag):
        tag = tag_with_elements(tag, elements)
    named = elements_of_tag(tag)
    if named and not (
        len(set(named)) == len(named) <= count and set(named) <= set(chemical_symbols)
    ):
        raise reader.error(
            f"potential_tag must name at most {count} different chemical symbols, "
            f"not {', '.join(named)!r}",
            reader.lines.get("potential_tag"),
        )
    return {
        "species_count": count,
        "min_dist": found["min_dist"],
        "max_dist": found["max_dist"],
        "radial_basis_type": found["radial_basis_type"],
        "radial_coeffs": radial,
        "alpha_moments_count": found["alpha_moments_count"],
        **{key: found[key] for key in _INTEGER_LISTS},
        "species_coeffs": species,
        "moment_coeffs": xi,
        "scaling": found.get("scaling", 1.0),
        "potential_name": found.get("potential_name", ""),
        "potential_tag": tag,
        "core_radii": _core_radii(reader, found, named),
    }


def _moment_coeffs(reader: _Reader, found: dict, key: str) -> np.ndarray:
    """ξ, shape (n,), or (C, n) where each species has its own."""
    scalars, count = found["alpha_scalar_moments"], found["species_count"]
    if key == "moment_coeffs":
        _check_length(reader, found, key, scalars, "alpha_scalar_moments")
        return found[key]
    _check_length(reader, found, key, count * scalars, "species_count · alpha_scalar_moments")
    return found[key].reshape(count, scalars) if count > 1 else found[key]


def _core_radii(reader: _Reader, found: dict, named: tuple[str, ...] | None) -> np.ndarray | None:
    """Radii (C, C) of ``RBChebyshev_zbl``, which needs the elements too."""
    count, key, kind = found["species_count"], "core_radii", "RBChebyshev_zbl"
    if found["radial_basis_type"] != kind:
        if key in found:
            raise reader.error(f"{key} needs radial_basis_type = {kind}", reader.lines[key])
        return None
    if key not in found:
        raise reader.error(f"{key} is missing; the file ends too early or is damaged")
    if len(found[key]) != count**2:
        raise reader.error(
            f"{key} has {len(found[key])} entries, but species_count = {count} needs {count**2}",
            reader.lines[key],
        )
    radii = found[key].reshape(count, count)
    if not (radii.min() >= 0 and radii.max() <= found["max_dist"]) or (radii != radii.T).any():
        raise reader.error(
            f"{key} must be symmetric and lie between 0 and max_dist", reader.lines[key]
        )
    if len(named or ()) != count:
        raise reader.error(
            f"{kind} needs the element of each species; name them in potential_tag as "
            "elements=Ag,Pd",
            reader.lines["radial_basis_type"],
        )
    return radii


def _check_distances(reader: _Reader, found: dict) -> None:
    for key in ("species_count", "radial_basis_size", "radial_funcs_count"):
        if found[key] < 1:
            raise reader.error(f"{key} = {found[key]} must be at least 1", reader.lines[key])
    if not 0.0 <= found["min_dist"] < found["max_dist"]:
        raise reader.error(
            f"min_dist = {found['min_dist']} must lie between 0 and max_dist = {found['max_dist']}",
            reader.lines["max_dist"],
        )
    if found["radial_basis_type"] not in RADIAL_BASIS_TYPES:
        raise reader.error(
            f"radial_basis_type {found['radial_basis_type']!r} is not supported; "
            f"mentor knows {', '.join(RADIAL_BASIS_TYPES)}",
            reader.lines["radial_basis_type"],
        )


def _check_length(reader: _Reader, found: dict, key: str, count: int, source: str) -> None:
    if len(found[key]) != count:
        raise reader.error(
            f"{key} has {len(found[key])} entries, but {source} = {count}", reader.lines[key]
        )


def _check_schedule(reader: _Reader, found: dict) -> None:
    """Counts and indices of the contraction schedule must fit each other."""
    _check_length(
        reader,
        found,
        "alpha_index_basic",
        found["alpha_index_basic_count"],
        "alpha_index_basic_count",
    )
    _check_length(
        reader,
        found,
        "alpha_index_times",
        found["alpha_index_times_count"],
        "alpha_index_times_count",
    )
    _check_length(
        reader, found, "alpha_moment_mapping", found["alpha_scalar_moments"], "alpha_scalar_moments"
    )
    basic, times = found["alpha_index_basic"], found["alpha_index_times"]
    moments = found["alpha_moments_count"]
    if len(basic) > moments or moments > len(basic) + len(times):
        raise reader.error(
            f"alpha_moments_count = {moments} does not fit {len(basic)} basic moments "
            f"and {len(times)} products",
            reader.lines["alpha_moments_count"],
        )
    indices = {
        "alpha_index_basic": (basic[:, 0], found["radial_funcs_count"], "radial function"),
        "alpha_index_times": (times[:, [0, 1, 3]], moments, "moment"),
        "alpha_moment_mapping": (found["alpha_moment_mapping"], moments, "moment"),
    }
    for key, (values, bound, what) in indices.items():
        if values.size and not (values.min() >= 0 and values.max() < bound):
            raise reader.error(
                f"{key} names a {what} that is not among the {bound} of the file",
                reader.lines[key],
            )
    if basic.size and not (basic.min() >= 0 and basic[:, 1:].max() <= 100):
        raise reader.error(
            "alpha_index_basic contains an exponent below 0 or above 100",
            reader.lines["alpha_index_basic"],
        )


def _radial_coeffs(
    reader: _Reader, found: dict, shape: tuple[int, int, int, int]
) -> tuple[tuple[str, ...] | None, np.ndarray]:
    """Coefficients (C, C, K, R), and the elements where the pairs are labelled by them."""
    pairs, count = found["radial_coeffs"], shape[0]
    labels = sorted({label for pair in pairs for label in pair})
    if not set(labels) <= set(range(count)):
        labels = list(dict.fromkeys(first for first, _ in pairs))
    else:
        labels = list(range(count))
    missing = [(a, b) for a in labels for b in labels if (a, b) not in pairs]
    if missing or len(pairs) != count**2:
        raise reader.error(
            f"radial_coeffs has {len(pairs)} complete pairs of species, "
            f"but species_count = {count} needs {count**2}",
            reader.lines["radial_coeffs"],
        )
    radial = np.array([[pairs[a, b] for b in labels] for a in labels]).reshape(shape)
    if max(labels) > count and max(labels) < len(chemical_symbols):
        return tuple(chemical_symbols[label] for label in labels), radial
    return None, radial


def format_mtp(fields: dict) -> str:
    """The text of a ``.mtp`` file; every number reads back exactly."""
    radial = np.asarray(fields["radial_coeffs"], float)
    count, _, functions, size = radial.shape
    lines = [
        "MTP",
        "version = 1.1.0",
        f"potential_name = {_one_line(fields['potential_name'])}",
        f"scaling = {float(fields['scaling'])!r}",
        f"species_count = {count}",
        f"potential_tag = {_one_line(fields['potential_tag'])}",
        f"radial_basis_type = {fields['radial_basis_type']}",
        f"\tmin_dist = {float(fields['min_dist'])!r}",
        f"\tmax_dist = {float(fields['max_dist'])!r}",
        f"\tradial_basis_size = {size}",
        f"\tradial_funcs_count = {functions}",
    ]
    if fields.get("core_radii") is not None:
        lines.append(f"\tcore_radii = {_braces(np.ravel(fields['core_radii']).tolist())}")
    trained = not np.isnan(radial).all()
    if trained:
        lines.append("\tradial_coeffs")
    for first in range(count if trained else 0):
        for second in range(count):
            lines.append(f"\t\t{first}-{second}")
            lines.extend(f"\t\t\t{_braces(row)}" for row in radial[first, second].tolist())
    basic, times = (np.asarray(fields[key]) for key in ("alpha_index_basic", "alpha_index_times"))
    mapping = np.asarray(fields["alpha_moment_mapping"])
    lines += [
        f"alpha_moments_count = {int(fields['alpha_moments_count'])}",
        f"alpha_index_basic_count = {len(basic)}",
        f"alpha_index_basic = {_braces(map(_braces, basic.tolist()))}",
        f"alpha_index_times_count = {len(times)}",
        f"alpha_index_times = {_braces(map(_braces, times.tolist()))}",
        f"alpha_scalar_moments = {len(mapping)}",
        f"alpha_moment_mapping = {_braces(mapping.tolist())}",
    ]
    if trained:
        xi = np.asarray(fields["moment_coeffs"], float)
        name = "moment_coeffs" if xi.ndim == 1 else _OWN_MOMENTS
        lines += [
            f"species_coeffs = {_braces(np.asarray(fields['species_coeffs'], float).tolist())}",
            f"{name} = {_braces(xi.ravel().tolist())}",
        ]
    return "\n".join(lines) + "\n"


def _braces(items: Iterable) -> str:
    """``{a, b, …}``; ``repr`` of a float is the shortest text that reads back exactly."""
    return "{" + ", ".join(item if isinstance(item, str) else repr(item) for item in items) + "}"


def _one_line(text: str) -> str:
    return " ".join(str(text).split())
