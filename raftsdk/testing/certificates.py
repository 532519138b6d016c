"""Certificates for a test or a demo on this machine: an authority that lives as long as a directory.

Needs `cryptography`, as everything about TLS here does: `pip install raftsdk[tls]`.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_CLOCK_SKEW = timedelta(minutes=5)
_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Issued(NamedTuple):
    """Where a certificate and its key are, in PEM."""

    certificate: Path
    key: Path


class Authority:
    """Issues certificates below `directory`. Its keys lie there unprotected: never for a service."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        own = _begun(self._name, self._key, timedelta(days=2)).issuer_name(self._name)
        # Key identifiers and usage: Python 3.13 and later refuse an authority without them.
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        own = own.add_extension(_SIGNS_CERTIFICATES, critical=True)
        own = own.add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
        self.certificate = directory / f"{name}.pem"  #: Whom members have to trust.
        self.certificate.write_bytes(_pem(own.sign(self._key, hashes.SHA256())))

    def issue(self, name: str, lifetime: timedelta = timedelta(days=1), *, for_a_client: bool = False) -> Issued:
        """A certificate for the node or client of that name, valid from now on; with a past end, it has expired.

        One for a client makes nobody a member.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        begun = _begun(_named(name), key, lifetime).issuer_name(self._name)
        begun = begun.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        if for_a_client:
            begun = begun.add_extension(
                x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
            )
        of_authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        begun = begun.add_extension(of_authority, critical=False)
        issued = Issued(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        issued.certificate.write_bytes(_pem(begun.sign(self._key, hashes.SHA256())))
        issued.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return issued


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name[:64])])


def _begun(subject: x509.Name, key: ec.EllipticCurvePrivateKey, lifetime: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, now + lifetime) - _CLOCK_SKEW)
        .not_valid_after(now + lifetime)
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
