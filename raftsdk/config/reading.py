"""Plain data, as files and programs write it, into records: everything that is wrong with it is found at once.

Knows types and tables and nothing about Raft. What a table's values may be together is said by rules, given from above.
"""

import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from inspect import signature
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.inspect import BoolType, EnumType, Field, IntType, Metadata, StrType, StructType, Type, VarTupleType

from raftsdk.errors import ConfigError

MAX_FILE_BYTES: Final = 256 * 1024
"""A longer file is no configuration; it is refused before it is parsed."""

MAX_SHOWN_CHARS: Final = 60

Fault: TypeAlias = tuple[str, str]
"""The setting, and what is wrong with it."""

Rule: TypeAlias = Callable[..., Iterator[Fault]]
"""A generator function whose parameters are the settings of one table that it speaks about, by their names. Lists come
as lists, tables as dicts of what could be read of them.
"""

Rules: TypeAlias = Mapping[type[Struct], Sequence[Rule]]


# -- records


class Reader:
    """Walks data beside the types it should have, and keeps what is sound, so that one fault does not hide another.

    Where msgspec would stop at the first fault, this leaves the faulty setting out and goes on; a rule is asked only
    when every setting it speaks about could be read.
    """

    def __init__(self, rules: Rules, sources: Mapping[str, str]) -> None:
        self.faults: list[str] = []
        self._rules = rules
        self._sources = sources

    def read(self, record: type[Struct], value: object) -> dict[str, Any]:
        """The sound part of `value`, a mapping or a record already; tables in it are dicts, too."""
        return self._read_struct(_struct_type(record), value, "")

    def _read(self, kind: Type, value: object, path: str) -> Any:
        """The sound part of `value`; None when it is not of that kind at all."""
        if isinstance(kind, StructType):
            return self._read_struct(kind, value, path)
        if isinstance(kind, VarTupleType):
            return self._read_list(kind, value, path)
        if _fits(kind, value):
            return value
        self._refuse(kind, value, path)
        return None

    def report(self, path: str, found: Iterable[Fault]) -> None:
        """Keep faults of the table at `path`, each with where its setting came from."""
        for setting, problem in found:
            where = _join(path, setting)
            self.faults.append(f"{where or 'the configuration'}{self._source(where)} {problem}")

    def _read_struct(self, kind: StructType, value: object, path: str) -> dict[str, Any]:
        table = _as_mapping(value)
        if table is None:
            self._refuse(kind, value, path)
            return {}
        fields = _fields(kind.cls)
        self.report(path, (_unknown_key(str(key), fields) for key in table if key not in fields))
        read = {name: self._read_field(wanted, table, path) for name, wanted in fields.items()}
        sound = {name: value for name, value in read.items() if value is not None}
        for rule in self._rules.get(kind.cls, ()):
            subjects = signature(rule).parameters
            if subjects.keys() <= sound.keys():
                self.report(path, rule(**{name: sound[name] for name in subjects}))
        return sound

    def _read_field(self, wanted: Field, table: Mapping[str, Any], path: str) -> Any:
        kind = _plain(wanted.type)
        if wanted.name in table:
            return self._read(kind, table[wanted.name], _join(path, wanted.name))
        if wanted.required:
            self.report(path, [(wanted.name, f"is missing: give {_wanted(kind)}{_description(wanted)}")])
            return None
        default = wanted.default_factory() if wanted.default is NODEFAULT else wanted.default
        return self._read(kind, default, _join(path, wanted.name))

    def _read_list(self, kind: VarTupleType, value: object, path: str) -> list[Any] | None:
        if not isinstance(value, list | tuple):
            self._refuse(kind, value, path)
            return None
        items = [self._read(kind.item_type, item, f"{path}[{place}]") for place, item in enumerate(value)]
        return None if None in items else items

    def _refuse(self, kind: Type, value: object, path: str) -> None:
        self.report("", [(path, f"is {shown(value)}: give {_wanted(kind)}")])

    def _source(self, where: str) -> str:
        origins = (source for path, source in self._sources.items() if f"{where}.".startswith((f"{path}.", f"{path}[")))
        return "".join(f" (from {origin})" for origin in islice(origins, 1))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _as_mapping(value: object) -> Mapping[str, Any] | None:
    if isinstance(value, Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    return value if isinstance(value, Mapping) else None


@cache
def _struct_type(settings: type[Struct]) -> StructType:
    kind = msgspec.inspect.type_info(settings)
    assert isinstance(kind, StructType)
    return kind


@cache
def _fields(settings: type[Struct]) -> dict[str, Field]:
    return {setting.name: setting for setting in _struct_type(settings).fields}


def _plain(kind: Type) -> Type:
    return kind.type if isinstance(kind, Metadata) else kind


def _is_list_of_texts(kind: Type) -> bool:
    return isinstance(kind, VarTupleType) and isinstance(kind.item_type, StrType)


def _description(setting: Field) -> str:
    extra = setting.type.extra_json_schema if isinstance(setting.type, Metadata) else None
    return f". {extra['description']}" if extra else ""


def _fits(kind: Type, value: object) -> bool:
    if isinstance(kind, IntType):
        assert kind.ge is not None, "every number has its range"
        assert kind.le is not None, "every number has its range"
        return type(value) is int and kind.ge <= value <= kind.le
    if isinstance(kind, EnumType):
        return value in list(kind.cls)
    return isinstance(value, bool if isinstance(kind, BoolType) else str)


def _wanted(kind: Type) -> str:
    if isinstance(kind, IntType):
        return f"a whole number from {kind.ge} to {kind.le}"
    if isinstance(kind, EnumType):
        return "one of " + ", ".join(f'"{choice.value}"' for choice in kind.cls)
    if isinstance(kind, VarTupleType):
        return "a list of texts" if _is_list_of_texts(kind) else "a list of tables"
    return {BoolType: "true or false", StructType: "a table"}.get(type(kind), "a text")


def shown(value: object) -> str:
    """A value as an error may show it: short, printable, and never by calling what a stranger wrote."""
    if isinstance(value, str):
        text = value if len(value) <= MAX_SHOWN_CHARS else value[:MAX_SHOWN_CHARS] + "…"
        return f'"{text}"' if text.isprintable() else repr(text)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 64 else f"a number of {value.bit_length()} bits"
    if isinstance(value, float):
        return str(value)
    return "a table" if isinstance(value, Mapping) else f"a {type(value).__name__}"


def _unknown_key(key: str, known: Collection[str]) -> Fault:
    return key[:MAX_SHOWN_CHARS], f"is no setting; {nearest(key, known, known)}"


def nearest(name: str, known: Collection[str], listed: Collection[str]) -> str:
    """The name of `known` that was probably meant by `name`; failing that, all of `listed`."""
    # Comparing is quadratic in the length, and nothing this long was ever a slip of the pen.
    close = get_close_matches(name, known, n=1) if len(name) <= MAX_SHOWN_CHARS else []
    return f'did you mean "{close[0]}"?' if close else f"there is: {', '.join(sorted(set(listed))) or 'none'}"


# -- texts


def read_text(record: type[Struct], path: Sequence[str], text: str) -> Any:
    """What `text` says where `record` has `path`: itself, a list split at commas, or a TOML value.

    What cannot be read is returned as it is, for the check of types to refuse.
    """
    kind = _kind_at(record, path)
    if kind is None or isinstance(kind, StrType | EnumType):
        return text
    if _is_list_of_texts(kind) and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",")]
    try:
        # A line break would let one variable set others.
        return tomllib.loads(f"value = {text}")["value"] if text.isprintable() else text
    except (ValueError, RecursionError):
        return text


def _kind_at(record: type[Struct], path: Sequence[str]) -> Type | None:
    kind: Type | None = _struct_type(record)
    for part in path:
        settings = _fields(kind.cls) if isinstance(kind, StructType) else {}
        kind = _plain(settings[part].type) if part in settings else None
    return kind


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Later layers over earlier ones: tables are merged, everything else is replaced.

    >>> merge({"raft": {"pre_vote": True, "max_batch_bytes": 1}}, {"raft": {"max_batch_bytes": 2}})
    {'raft': {'pre_vote': True, 'max_batch_bytes': 2}}
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
            merged[key] = merge(merged[key], value) if both else value
    return merged


# -- TOML


def read_file(path: Path) -> dict[str, Any]:
    """The settings in a TOML file, unchecked. Raises `ConfigError` when it cannot be read, saying where it breaks."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"cannot read {path}: {error.strerror}; give the path of a TOML file"]) from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError([f"{path} is longer than {MAX_FILE_BYTES} bytes: give a TOML file of settings"])
    try:
        return parse_toml(content.decode(), str(path))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}, line {line}: not UTF-8 text; save the file as UTF-8"]) from None


def parse_toml(text: str, source: str) -> dict[str, Any]:
    r"""The settings in a TOML text, unchecked; `source` is what errors call it.

    >>> parse_toml('node_id = "n1"\ncluster_id "c"', "n1.toml")
    Traceback (most recent call last):
      ...
    raftsdk.errors.ConfigError: 1 fault in the configuration:
      - n1.toml, line 2, column 12: Expected '=' after a key in a key/value pair; correct this line:
            cluster_id "c"
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError([f"{source}: nested too deep; settings are at most four levels deep"]) from None
    except ValueError as error:  # TOMLDecodeError; a plain ValueError for a number of thousands of digits
        raise ConfigError([_toml_fault(str(error), text, source)]) from None


_TOML_PLACE = re.compile(
    r"(?P<problem>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL
)


def _toml_fault(message: str, text: str, source: str) -> str:
    place = _TOML_PLACE.fullmatch(message)
    if place is None:
        return f"{source}: {message}"
    lines = text.splitlines() or [""]
    line = int(place["line"] or len(lines))
    column = int(place["column"] or len(lines[-1]) + 1)
    shown = lines[line - 1][:200] if line <= len(lines) else ""
    return f"{source}, line {line}, column {column}: {place['problem']}; correct this line:\n        {shown}"
