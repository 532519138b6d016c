"""The sentences of `raftsdk.testing.codec_suite`, each under the clause that demands it."""

from dataclasses import replace
from typing import Final

from raftsdk.ports.codec import Codec
from raftsdk.testing.codec_suite import SUITE
from raftsdk.testing.suite import Case

COMMON_RULES: Final = "11.1"

COSTS: Final = "8.5"
"""Its last paragraph bounds the time and the memory of decoding a megabyte of anything."""

CLAUSES: Final = {
    "integers keep every one of 63 bits": "8.1",
    "bytes keep every byte, from none to a megabyte": "8.2",
    "as many empty entries as a message may carry come back exactly": "8.5",
    "bytes after the end of a message are refused": "8.8",
    "a message with a piece repeated or removed is refused or still an honest one": "8.8",
    "no bytes at all are no message, unless that is how the codec writes one": "8.6",
    "zero bytes are no AppendEntries, and otherwise refused or an honest message": "9.2",
    "a batch of 512 entries of 256 bytes comes back exactly": "9.2",
    "the kind asked for decides what is read": "3.4",
    "its name is lower case and it has both methods": "5.2",
    "damage in the first bytes of a large message costs no more memory than a few times its length": COSTS,
    "the most that a message may hold comes back exactly, for four times its bytes and a mebibyte": COSTS,
    "damage to the largest messages costs no more memory than reading them": COSTS,
    "a mebibyte made of one piece of a message costs no more memory than four times that and another": COSTS,
    "a mebibyte of anything is read or refused in half a second": COSTS,
}
"""All others are common rules of the codecs."""


def contract_cases() -> list[Case[Codec]]:
    """Every sentence of the suite, with its clause."""
    return [replace(case, clause=CLAUSES.get(case.sentence, COMMON_RULES)) for case in SUITE.cases]
