"""Tier T0: everything the specification says about a codec, asked of one codec and of every pair.

    subject       a codec that remembers what it did last; a pair of codecs
    by_vectors    the golden bytes, the hostile bytes, and all of it through pairs
    contract      the sentences of `raftsdk.testing.codec_suite`
    by_chance     messages made by hypothesis
    by_megabyte   what a megabyte of anything may cost; with costs and probe

In a test suite of one's own:

    @pytest.mark.parametrize("trial", codecs.trials(MyCodec()), ids=str)
    def test_my_codec_conforms(trial):
        trial.run()
"""

from collections.abc import Sequence
from itertools import permutations
from typing import Any

from raftsdk import plugins
from raftsdk.config.rules import CODECS
from raftsdk.errors import ConfigError
from raftsdk.ports.codec import Codec
from raftsdk.testing.conformance import clauses, trial
from raftsdk.testing.conformance.codecs.by_chance import chance_cases, chance_pair_cases
from raftsdk.testing.conformance.codecs.by_megabyte import megabyte_cases
from raftsdk.testing.conformance.codecs.by_vectors import hostile_cases, pair_cases, vector_cases
from raftsdk.testing.conformance.codecs.contract import COMMON_RULES, contract_cases
from raftsdk.testing.conformance.codecs.subject import Observed, codec_subject, pair_subject
from raftsdk.testing.conformance.naming import part
from raftsdk.testing.conformance.plan import Order
from raftsdk.testing.conformance.trial import Subject, Trial
from raftsdk.testing.suite import Case

EXAMPLES = 100
"""How many messages made by chance a case tries."""


def trials(codec: Codec, examples: int = EXAMPLES) -> list[Trial[Any]]:
    """Every case about one codec. Raises `ConfigError` when it is none."""
    return _alone(codec_subject(codec), examples)


def pair_trials(writer: Codec, reader: Codec, examples: int = EXAMPLES) -> list[Trial[Any]]:
    """Every case about a node that has a link with one codec and a link with the other."""
    return _as_pair(codec_subject(writer), codec_subject(reader), examples)


def plan(order: Order) -> list[Trial[Any]]:
    """Every case about each codec that is asked for, and about each pair that one of them is in.

    Raises `ConfigError` for a name that leads nowhere, and when two have the same. An installed codec that cannot be
    loaded is a failed trial.
    """
    asked = [codec_subject(part(CODECS, name), name) for name in order.codecs]
    _refuse_namesakes(asked)
    installed = [name for name in plugins.names()[CODECS] if name not in [subject.name for subject in asked]]
    others, lost = _load(installed)
    tried = asked or others
    return [
        *(lost if not asked else []),
        *(made for subject in tried for made in _alone(subject, order.examples)),
        *(
            made
            for writer, reader in permutations([*asked, *others], 2)
            if writer in tried or reader in tried
            for made in _as_pair(writer, reader, order.examples)
        ),
    ]


def _refuse_namesakes(subjects: Sequence[Subject[Observed]]) -> None:
    names = [subject.name for subject in subjects]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                [f"two of the codecs to try are called {name!a}: name one of them otherwise, or leave it out"]
            )


def _load(names: Sequence[str]) -> tuple[list[Subject[Observed]], list[Trial[Any]]]:
    """The installed codecs of these names; and a trial that fails for each that cannot be loaded."""
    loaded: list[Subject[Observed]] = []
    lost: list[Trial[Any]] = []
    for name in names:
        try:
            loaded.append(codec_subject(part(CODECS, name), name))
        except ConfigError as error:
            lost.append(Trial(Subject(name, error, codec=name), Case("it can be loaded", _fail, COMMON_RULES)))
    return loaded, lost


async def _fail(error: ConfigError) -> None:
    raise error


def _alone(subject: Subject[Observed], examples: int) -> list[Trial[Any]]:
    cases: list[Case[Any]] = [
        *vector_cases(),
        *hostile_cases(subject.name),
        *contract_cases(),
        *chance_cases(examples),
        *megabyte_cases(),
    ]
    return trial.trials([subject], sorted(cases, key=lambda case: clauses.order(case.clause)))


def _as_pair(writer: Subject[Observed], reader: Subject[Observed], examples: int) -> list[Trial[Any]]:
    return trial.trials([pair_subject(writer, reader)], [*pair_cases(), *chance_pair_cases(examples)])
