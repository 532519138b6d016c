"""Entries as columns: `EntryColumns` of the schema. This is where the time goes, and where it is saved."""

from collections.abc import Sequence
from typing import Any

from raftsdk.messages import MAX_ENTRIES
from raftsdk.types import Entry


def write_entries(entries: Sequence[Entry], columns: Any) -> None:
    """Fill the builder `columns`. A term or kind that all entries share, as nearly always, is written once."""
    columns.terms = _column([entry.term for entry in entries])
    columns.kinds = _column([entry.kind for entry in entries])
    columns.data = [entry.data for entry in entries]


def _column(values: list[int]) -> list[int]:
    return values[:1] if values.count(values[0]) == len(values) else values


def read_entries(columns: Any) -> list[Entry]:
    """The entries in the reader `columns`. Raises `ValueError` for too many, or columns that do not go together."""
    payloads = columns.data
    count = len(payloads)
    if count > MAX_ENTRIES:
        raise ValueError(f"{count} of them, and at most {MAX_ENTRIES} are allowed")
    return list(map(Entry, _cells(columns.terms, count, "terms"), _cells(columns.kinds, count, "kinds"), payloads))


def _cells(column: Any, count: int, name: str) -> list[int]:
    if len(column) == count:
        return list(column)
    if len(column) == 1:
        return [column[0]] * count
    raise ValueError(f"{len(column)} {name} and {count} payloads")
