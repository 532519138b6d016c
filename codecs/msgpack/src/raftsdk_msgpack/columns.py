"""`AppendEntriesRequest` as it is on the wire: with its entries as columns. This is where the time goes."""

from collections.abc import Iterable
from itertools import repeat
from typing import Annotated

from msgspec import Meta, Struct

from raftsdk.messages import MAX_ENTRIES, AppendEntriesRequest
from raftsdk.types import Entry, LogIndex, NodeId, Term, Unsigned


class EntryColumns(Struct, frozen=True, gc=False, array_like=True):
    """Entries field by field, as an array of three: a hostile one costs no names, so nothing can be there twice.

    There are as many entries as `data` has items; `terms` and `kinds` have as many, or a single one that all share.
    """

    terms: Annotated[list[Term], Meta(max_length=MAX_ENTRIES)] = []
    kinds: Annotated[list[Unsigned], Meta(max_length=MAX_ENTRIES)] = []
    data: Annotated[list[bytes], Meta(max_length=MAX_ENTRIES)] = []


class AppendEntriesColumns(Struct, frozen=True, gc=False, kw_only=True):
    """The message, its entries apart. No field has a default, or `Names` had no quick proof for what we write."""

    term: Term
    leader_id: NodeId
    prev_log_index: LogIndex
    prev_log_term: Term
    leader_commit: LogIndex
    entries: EntryColumns
    quiesce: bool


def to_columns(message: AppendEntriesRequest) -> AppendEntriesColumns:
    """`message`, where a term or kind that all entries share, as nearly always, stands only once."""
    entries = message.entries
    kinds = [entry.kind for entry in entries]
    # Terms never fall within a log (paper §5.3): where the last is the first, so are all between them.
    one_term = entries and entries[0].term == entries[-1].term
    one_kind = kinds and kinds.count(kinds[0]) == len(kinds)
    columns = EntryColumns(
        [entries[0].term] if one_term else [entry.term for entry in entries],
        kinds[:1] if one_kind else kinds,
        [entry.data for entry in entries],
    )
    return AppendEntriesColumns(
        term=message.term,
        leader_id=message.leader_id,
        prev_log_index=message.prev_log_index,
        prev_log_term=message.prev_log_term,
        leader_commit=message.leader_commit,
        entries=columns,
        quiesce=message.quiesce,
    )


def from_columns(message: AppendEntriesColumns) -> AppendEntriesRequest:
    """The message whose entries are in columns. Raises `ValueError` when these do not go together."""
    columns = message.entries
    count = len(columns.data)
    entries = map(Entry, _values(columns.terms, "terms", count), _values(columns.kinds, "kinds", count), columns.data)
    return AppendEntriesRequest(
        term=message.term,
        leader_id=message.leader_id,
        prev_log_index=message.prev_log_index,
        prev_log_term=message.prev_log_term,
        leader_commit=message.leader_commit,
        entries=list(entries),
        quiesce=message.quiesce,
    )


def _values(column: list[int], name: str, count: int) -> Iterable[int]:
    if len(column) == count:
        return column
    if len(column) == 1:
        return repeat(column[0], count)
    raise ValueError(f"{len(column)} {name} and {count} payloads - at `$.entries`")
