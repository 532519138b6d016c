"""Certificates from files: what is wrong with them, reading them again, and saying in time that they run out."""

import base64
import logging
import os
import random
import ssl
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from certificate_files import Authority
from cryptography.hazmat.primitives import serialization

from raftsdk.config import Clients, TlsConfig
from raftsdk.errors import ConfigError
from raftsdk.ports import Credentials
from raftsdk.wire import tls
from raftsdk.wire.tls import FileCredentials


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def faults_of(config: TlsConfig, node_id: str = "n1") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        FileCredentials(config, node_id)
    return list(caught.value.faults)


def changed(config: TlsConfig, **changes: str) -> TlsConfig:
    return msgspec.structs.replace(config, **changes)


class Clock:
    """Time that passes when it is told to, by the clock on the wall and by the other one."""

    def __init__(self) -> None:
        self.passed = timedelta()
        self._start = datetime.now(UTC)

    def settings(self) -> dict[str, Any]:
        return {"clock": lambda: self.passed.total_seconds(), "now": lambda: self._start + self.passed}

    def tick(self, **how_long: float) -> None:
        self.passed += timedelta(**how_long)


def shake_hands(dialer: Credentials, host: Credentials) -> None:
    """Raises `ssl.SSLError` when one of them does not believe the other."""
    to_host, to_dialer = ssl.MemoryBIO(), ssl.MemoryBIO()
    dialing = dialer.client_context().wrap_bio(to_dialer, to_host)
    accepting = host.server_context().wrap_bio(to_host, to_dialer, server_side=True)
    for side in (dialing, accepting) * 3:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


# -- what is sound


def test_two_nodes_of_one_authority_believe_each_other(authority: Authority) -> None:
    n1, n2 = (FileCredentials(authority.issue(name), name) for name in ("n1", "n2"))
    shake_hands(n1, n2)
    shake_hands(n2, n1)
    assert isinstance(n1, Credentials)


def test_a_node_of_another_authority_is_not_believed(authority: Authority, tmp_path: Path) -> None:
    ours = FileCredentials(authority.issue("n1"), "n1")
    theirs = FileCredentials(Authority(tmp_path, "another").issue("n2"), "n2")
    for dialer, host in ((ours, theirs), (theirs, ours)):
        with pytest.raises(ssl.SSLCertVerificationError):
            shake_hands(dialer, host)


def test_versions_before_1_2_are_not_spoken_and_host_names_not_looked_at(authority: Authority) -> None:
    credentials = FileCredentials(authority.issue("n1"), "n1")
    for context in (credentials.server_context(), credentials.client_context()):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, False)


def test_a_client_needs_no_certificate_where_anyone_may_ask(authority: Authority) -> None:
    config = authority.issue("n1")
    browser = FileCredentials(TlsConfig(authorities=config.authorities))
    shake_hands(browser, FileCredentials(msgspec.structs.replace(config, clients=Clients.ANYONE), "n1"))
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        shake_hands(browser, FileCredentials(config, "n1"))


@pytest.mark.parametrize("names", [("n1",), ("other", "n1"), ("host.example", "n1", "localhost")])
def test_a_certificate_may_carry_other_names_besides(authority: Authority, names: tuple[str, ...]) -> None:
    FileCredentials(authority.issue("mine", *names), "n1")


def test_comments_beside_the_authorities_may_be_in_any_language(authority: Authority) -> None:
    config = authority.issue("n1")
    authority.path.write_bytes("# Főtanúsítvány\n".encode() + authority.path.read_bytes())
    FileCredentials(config, "n1")


# -- what is not


def test_files_that_are_not_there_are_all_named() -> None:
    assert faults_of(TlsConfig(certificate="/no/n1.pem", key="/no/n1.key", authorities="/no/\0ca.pem")) == [
        "tls.certificate: cannot read /no/n1.pem: No such file or directory; give the path of a file in PEM",
        "tls.key: cannot read /no/n1.key: No such file or directory; give the path of a file in PEM",
        "tls.authorities: cannot read /no/\0ca.pem: embedded null byte; give the path of a file in PEM",
    ]


def test_a_client_without_authorities_believes_nobody() -> None:
    assert faults_of(TlsConfig(), "") == [
        "tls.authorities is missing: give the file of the certificates that vouch for the other side"
    ]


@pytest.mark.parametrize("content", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_files_that_hold_something_else_are_all_named(authority: Authority, content: str, tmp_path: Path) -> None:
    config = authority.issue("n1")
    for file in ("n1.pem", "authority.pem"):
        (tmp_path / file).write_text(content)
    assert faults_of(config) == [
        f"tls.certificate: {tmp_path}/n1.pem holds no certificate in PEM, or a broken one: give one",
        f"tls.authorities: {tmp_path}/authority.pem holds no certificates in PEM, or a broken one: give some",
    ]


def test_any_damage_to_a_certificate_is_a_fault_and_no_other_error(authority: Authority, tmp_path: Path) -> None:
    config = authority.issue("n1")
    lines = (tmp_path / "n1.pem").read_text().splitlines()
    der = bytearray(base64.b64decode("".join(lines[1 : lines.index("-----END CERTIFICATE-----")])))
    chance = random.Random(6)
    for _ in range(200):
        damaged = bytearray(der)
        damaged[chance.randrange(len(der))] ^= 1 << chance.randrange(8)
        text = base64.encodebytes(damaged).decode()
        (tmp_path / "n1.pem").write_text(f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n")
        with suppress(ConfigError):  # Most damage shows; a bit in what nobody looks at does not.
            FileCredentials(config, "n1")


def test_a_file_too_long_to_be_a_certificate_is_not_read(authority: Authority, tmp_path: Path) -> None:
    config = authority.issue("n1")
    (tmp_path / "n1.pem").write_bytes(bytes(tls.MAX_FILE_BYTES + 1))
    assert faults_of(config)[0] == (
        f"tls.certificate: {tmp_path}/n1.pem is longer than 1048576 bytes: give a file in PEM"
    )


def test_the_key_of_another_certificate_is_named(authority: Authority, tmp_path: Path) -> None:
    other = authority.issue("n2")
    assert faults_of(changed(authority.issue("n1"), key=other.key)) == [
        f"tls.key: {tmp_path}/n2.key is not the key of the certificate in {tmp_path}/n1.pem: "
        "give the one it was made with"
    ]


def test_a_file_without_a_key_is_named(authority: Authority, tmp_path: Path) -> None:
    config = authority.issue("n1")
    assert faults_of(changed(config, key=config.certificate)) == [
        f"tls.key: {tmp_path}/n1.pem is no private key in PEM that TLS takes: "
        "give the one the certificate was made with"
    ]


def test_a_passphrase_is_not_asked_for_at_the_terminal(authority: Authority, tmp_path: Path) -> None:
    config = authority.issue("n1")
    key = serialization.load_pem_private_key(Path(config.key).read_bytes(), None)
    Path(config.key).write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    assert faults_of(config) == [
        f"tls.key: {tmp_path}/n1.key cannot be used: it has a passphrase; give a key in PEM without a passphrase"
    ]


def test_a_certificate_of_another_node_is_named_with_both_names(authority: Authority, tmp_path: Path) -> None:
    assert faults_of(authority.issue("n2", "n2", "n2.example")) == [
        f"tls.certificate: {tmp_path}/n2.pem is a certificate of n2, n2.example, and this node is n1: "
        "give one that has the node's id among its DNS names"
    ]


def test_a_certificate_for_any_name_is_one_for_no_node(authority: Authority) -> None:
    assert "is a certificate of *.example" in faults_of(authority.issue("all", "*.example"), "n1.example")[0]


def test_a_certificate_that_has_run_out_or_is_of_tomorrow_is_named(authority: Authority, tmp_path: Path) -> None:
    then = {"not_before": datetime(2020, 1, 1), "not_after": datetime(2021, 1, 1)}
    assert faults_of(authority.issue("n1", **then)) == [
        f"tls.certificate: {tmp_path}/n1.pem ran out on 2021-01-01 00:00 UTC: give a new one"
    ]
    some_day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=100)
    later = {"not_before": some_day, "not_after": some_day + timedelta(days=1)}
    assert faults_of(authority.issue("n1", **later)) == [
        f"tls.certificate: {tmp_path}/n1.pem is valid from {some_day:%Y-%m-%d} 00:00 UTC on: "
        "wait, or set this machine's clock"
    ]


def test_a_node_that_its_own_authorities_do_not_vouch_for_is_told_so_before_the_others_refuse_it(
    authority: Authority, tmp_path: Path
) -> None:
    another = Authority(tmp_path, "another")
    assert faults_of(changed(authority.issue("n1"), authorities=str(another.path))) == [
        f"tls.authorities: {tmp_path}/another.pem does not vouch for the certificate in {tmp_path}/n1.pem "
        "(unable to get local issuer certificate): others with the same authorities would refuse this node"
    ]


def test_without_its_library_the_error_names_what_to_install(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.delitem(sys.modules, "raftsdk.wire.certificates", raising=False)
    (fault,) = faults_of(authority.issue("n1"))
    assert fault == "tls: certificates need the package cryptography; run: pip install 'raftsdk[tls]'"


# -- reading them again


def test_changed_files_are_read_again_at_most_once_a_second(authority: Authority, tmp_path: Path) -> None:
    clock = Clock()
    host = FileCredentials(authority.issue("n1"), "n1", **clock.settings())
    old_client = FileCredentials(authority.issue("n2"), "n2")
    before = host.server_context()
    another = Authority(tmp_path)  # It writes over the files of the first.
    another.issue("n1")
    assert host.server_context() is before
    clock.tick(seconds=tls.LOOK_INTERVAL_S)
    after = host.server_context()
    assert after is not before
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(old_client, host)
    shake_hands(FileCredentials(another.issue("n2"), "n2"), host)
    clock.tick(seconds=tls.LOOK_INTERVAL_S)
    assert host.server_context() is after


def test_an_authority_that_is_taken_away_is_believed_no_more(authority: Authority, tmp_path: Path) -> None:
    clock = Clock()
    another = Authority(tmp_path, "another")
    config = authority.issue("n1")
    both = changed(config, authorities=str(tmp_path / "both.pem"))
    Path(both.authorities).write_bytes(authority.path.read_bytes() + another.path.read_bytes())
    host = FileCredentials(both, "n1", **clock.settings())
    stranger = FileCredentials(changed(another.issue("n2"), authorities=both.authorities), "n2")
    shake_hands(stranger, host)
    Path(both.authorities).write_bytes(authority.path.read_bytes())
    clock.tick(seconds=1)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(stranger, host)


@pytest.mark.parametrize("file", ["n1.pem", "n1.key", "authority.pem"])
@pytest.mark.parametrize("damage", [lambda path: path.write_text("half a fi"), os.unlink], ids=["broken", "gone"])
def test_changed_files_that_cannot_be_used_leave_the_old_ones_in_use_and_are_complained_of_once(
    authority: Authority, tmp_path: Path, file: str, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    config = authority.issue("n1")
    host, client = FileCredentials(config, "n1", **clock.settings()), FileCredentials(authority.issue("n2"), "n2")
    good = (tmp_path / file).read_bytes()
    damage(tmp_path / file)
    for _ in range(3):
        clock.tick(seconds=1)
        shake_hands(client, host)
    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.WARNING, "raftsdk.wire")
    assert "the old ones stay in use: tls." in record.getMessage()
    assert str(tmp_path / file) in record.getMessage()
    (tmp_path / file).write_bytes(good)
    clock.tick(seconds=1)
    before = host.server_context()
    assert before is host.server_context()
    assert len(caplog.records) == 1  # That it is well again is said to those who listen to more than warnings.


def test_a_new_certificate_of_another_node_is_not_used(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    host = FileCredentials(authority.issue("n1"), "n1", **clock.settings())
    before = host.server_context()
    authority.issue("n1", "n2")
    clock.tick(seconds=1)
    assert host.server_context() is before
    assert "is a certificate of n2, and this node is n1" in caplog.text


# -- running out


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    found = [(record.levelno, record.getMessage()) for record in caplog.records]
    caplog.clear()
    return found


def valid_for(**how_long: float) -> dict[str, Any]:
    return {"not_after": datetime.now(UTC) + timedelta(**how_long)}


def test_a_certificate_that_runs_out_soon_is_warned_of_with_the_date_and_what_to_do(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    details = valid_for(days=13)
    FileCredentials(authority.issue("n1", **details), "n1")
    assert warnings_in(caplog) == [
        (
            logging.WARNING,
            f"the certificate in {tmp_path}/n1.pem runs out on {details['not_after']:%Y-%m-%d %H:%M} UTC: others will "
            "refuse its connections from then on. Put a new certificate and its key in the place of "
            f"{tmp_path}/n1.pem and {tmp_path}/n1.key; no restart is needed",
        )
    ]


def test_one_that_is_good_for_longer_is_not(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    config = authority.issue("n1", **valid_for(days=15))
    FileCredentials(config, "n1")
    assert warnings_in(caplog) == []
    FileCredentials(msgspec.structs.replace(config, expiry_warning_days=16), "n1")
    assert len(warnings_in(caplog)) == 1


def test_the_warning_comes_once_a_day_and_gets_louder_once_it_is_too_late(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    host = FileCredentials(authority.issue("n1", **valid_for(days=2.5)), "n1", **clock.settings())
    assert [level for level, _ in warnings_in(caplog)] == [logging.WARNING]
    seen = []
    for _hour in range(5 * 24):
        clock.tick(hours=1)
        host.client_context()
        seen += [(clock.passed.days, level) for level, _ in warnings_in(caplog)]
    assert seen == [
        (1, logging.WARNING),
        (2, logging.WARNING),
        (3, logging.ERROR),
        (4, logging.ERROR),
        (5, logging.ERROR),
    ]


def test_a_new_certificate_ends_the_warnings_and_one_that_is_as_short_is_warned_of_at_once(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    host = FileCredentials(authority.issue("n1", **valid_for(days=3)), "n1", **clock.settings())
    assert len(warnings_in(caplog)) == 1
    authority.issue("n1", **valid_for(days=4))
    clock.tick(seconds=1)
    host.server_context()
    assert len(warnings_in(caplog)) == 1
    authority.issue("n1", **valid_for(days=400))
    for _ in range(3):
        clock.tick(days=1)
        host.server_context()
    assert warnings_in(caplog) == []
