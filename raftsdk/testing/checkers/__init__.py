"""Whether a history is linearizable: one order explains all that clients were told, and agrees with time.

    verdict    the three answers; a "no" shows the few operations that no order explains
    models     what a register, a list and a mutex do when they are asked one thing at a time
    zones      registers to which no value is written twice: fast, and never undecided
    search     anything else: every order that time allows, up to a bound; beyond it the answer is "undecided"
    by_key     the whole history: key by key, because it is linearizable if and only if each key is
               (Herlihy & Wing, "Linearizability", 1990, theorem 1)

    verdict = check(read_history(path))
    verdict.require()       # raises unless the answer is yes; undecided is no yes

The same histories are given to an independent checker, porcupine: see `interop/go/porcupine`.
"""

from raftsdk.testing.checkers.by_key import check
from raftsdk.testing.checkers.models import MODELS, AppendList, Model, Mutex, Register
from raftsdk.testing.checkers.search import MAX_STEPS
from raftsdk.testing.checkers.verdict import Answer, NotLinearizable, Verdict

__all__ = [
    "MAX_STEPS",
    "MODELS",
    "Answer",
    "AppendList",
    "Model",
    "Mutex",
    "NotLinearizable",
    "Register",
    "Verdict",
    "check",
]
