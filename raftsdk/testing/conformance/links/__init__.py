"""Tier T1: everything the specification says about connections, asked of a node that listens.

    subject        the node under test: a live one by its address, or one of ours (`own`) on the transport under test
    stranger, raw  whoever speaks to it, frame by frame and byte by byte, rightly and wrongly
    frames         clause 3: what a frame is
    groups         clause 3.7: groups, where both sides have them
    packing        clause 3.11: packed frames, where both sides take them
    hellos         clause 4: who speaks first, and what
    negotiation    clause 5: what is agreed on
    identity       clause 6: who may say it, and ask what; certificates are in `certificates`, with 2.5
    calls          clause 7: requests and responses, in each codec
    limits         clauses 4.5, 7.6 and 7.7, on nodes of ours whose limits are low
    websocket      clause 2.4, in bytes
    by_vectors     clauses 16.4 to 16.6
    host, dialers  the other side: the kit listens, and a link of ours is answered rightly and wrongly

A transport also gets every case of `raftsdk.testing.transport_suite`, which is clause 2.1. What is asked of a live node
changes nothing in it: hellos, status requests, refused votes, and frames that must not be understood.
"""

from dataclasses import replace
from functools import partial
from typing import Any, Final

from raftsdk import plugins
from raftsdk.config import CODECS, TRANSPORTS, scheme
from raftsdk.errors import ConfigError
from raftsdk.ports import Codec, Credentials, Transport
from raftsdk.testing import transport_suite
from raftsdk.testing.conformance import clauses, trial
from raftsdk.testing.conformance.links import by_vectors
from raftsdk.testing.conformance.links.calls import CALLS
from raftsdk.testing.conformance.links.certificates import CERTIFICATES
from raftsdk.testing.conformance.links.dialers import DIALERS
from raftsdk.testing.conformance.links.dialers_over import OVER_TLS, OVER_WEBSOCKET
from raftsdk.testing.conformance.links.frames import FRAMES
from raftsdk.testing.conformance.links.groups import GROUP_DIALERS, GROUPS
from raftsdk.testing.conformance.links.hellos import HELLOS
from raftsdk.testing.conformance.links.identity import IDENTITY
from raftsdk.testing.conformance.links.limits import LIMITS
from raftsdk.testing.conformance.links.negotiation import NEGOTIATION
from raftsdk.testing.conformance.links.own import OWN, over_tls, own_address, own_credentials
from raftsdk.testing.conformance.links.packing import PACKING, PACKING_DIALERS
from raftsdk.testing.conformance.links.subject import LinkTarget
from raftsdk.testing.conformance.links.websocket import WEBSOCKET
from raftsdk.testing.conformance.naming import part
from raftsdk.testing.conformance.plan import Order
from raftsdk.testing.conformance.trial import Subject, Trial
from raftsdk.testing.suite import Case
from raftsdk.testing.transport_suite import TransportSubject
from raftsdk.wire.tls import FileCredentials

_WEBSOCKETS: Final = ("ws", "wss")
_ABOUT_ADDRESSES: Final = ("address", "connecting where")


def plan(order: Order) -> list[Trial[Any]]:
    """Every case about each transport, or each live node, that is asked for: once, and about calls in each codec.

    Raises `ConfigError` for a name that leads nowhere.
    """
    codecs = {codec.name: codec for codec in (part(CODECS, name) for name in order.codecs or plugins.names()[CODECS])}
    if order.addresses:
        return [made for address in order.addresses for made in _about_node(order, address, codecs)]
    names = order.transports or plugins.names()[TRANSPORTS]
    return [made for name in names for made in _about_transport(order, name, codecs)]


def _about_node(order: Order, address: str, codecs: dict[str, Codec]) -> list[Trial[Any]]:
    name = scheme(address)
    transport = partial(_make, name)
    credentials = FileCredentials(order.tls) if order.tls.certificate else None
    transport(credentials)  # a name that leads nowhere is told before anything is tried
    target = LinkTarget(name, codecs, transport, address=address, credentials=credentials)
    return about(address, target)


def _about_transport(order: Order, name: str, codecs: dict[str, Codec]) -> list[Trial[Any]]:
    transport = partial(_make, name)
    schemes = transport(None).schemes
    spoken = name if name in schemes else schemes[0]
    subject = TransportSubject(
        transport=lambda: transport(own_credentials(OWN.node_id)),
        address=lambda: order.listen or own_address(spoken),
    )
    contract = [Case(case.sentence, case.check, _clause(case.sentence)) for case in transport_suite.SUITE.cases]
    target = LinkTarget(spoken, codecs, transport, listen=order.listen)
    return [
        *trial.trials([Subject(name, subject, transport=name)], contract),
        *about(name, target),
    ]


def about(name: str, target: LinkTarget) -> list[Trial[Any]]:
    """Every case about one node, or one transport with our own link: as it is, and about calls with one codec each."""
    shared = [
        case for suite in (FRAMES, GROUPS, PACKING, HELLOS, NEGOTIATION, IDENTITY, LIMITS) for case in suite.cases
    ] + by_vectors.cases(target)
    shared += CERTIFICATES.cases if over_tls(f"{target.scheme}://") else []
    shared += WEBSOCKET.cases if target.scheme in _WEBSOCKETS else []
    if not target.live:
        shared += DIALERS.cases + GROUP_DIALERS.cases + PACKING_DIALERS.cases
        shared += OVER_TLS.cases if over_tls(f"{target.scheme}://") else []
        shared += OVER_WEBSOCKET.cases if target.scheme in _WEBSOCKETS else []
    shared.sort(key=lambda case: clauses.order(case.clause))
    subject = Subject(name, target, transport=target.scheme, address=target.address)
    in_codecs = [
        replace(
            subject, name=f"{name}+{codec}", target=replace(target, codecs={codec: target.codecs[codec]}), codec=codec
        )
        for codec in target.codecs
    ]
    return [*trial.trials([subject], shared), *trial.trials(in_codecs, CALLS.cases)]


def _clause(sentence: str) -> str:
    """Of the contract of every transport, where the specification has it."""
    return "2.2" if any(word in sentence for word in _ABOUT_ADDRESSES) else "2.1"


def _make(name: str, credentials: Credentials | None) -> Transport:
    """The transport of that name, or class, with credentials where it takes some."""
    made: Transport = part(TRANSPORTS, name, credentials=credentials)
    if not made.schemes:
        raise ConfigError([f"{name} understands no scheme, so nothing can be dialed with it"])
    return made
