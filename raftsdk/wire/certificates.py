"""What a certificate says of itself. Needs `cryptography`, the extra `raftsdk[tls]`."""

from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import NameOID
from msgspec import Struct


class Certificate(Struct, frozen=True):
    """A certificate, as far as it matters here. Times are in UTC."""

    names: frozenset[str]  #: As `raftsdk.ports.Connection.certified_names` gives them.
    valid_from: datetime
    valid_until: datetime


def read_certificate(data: bytes) -> Certificate:
    """The first certificate in `data`, PEM. Raises `ValueError` when there is none, or one that makes no sense."""
    try:
        first = x509.load_pem_x509_certificates(data)[0]
        return Certificate(
            names=_names(first), valid_from=first.not_valid_before_utc, valid_until=first.not_valid_after_utc
        )
    except Exception as error:  # The library has a dozen, without a common base, for what may be wrong in there.
        raise ValueError(str(error)) from None


def _names(certificate: x509.Certificate) -> frozenset[str]:
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return frozenset(str(name.value) for name in common)
    return frozenset(alternatives.get_values_for_type(x509.DNSName))
