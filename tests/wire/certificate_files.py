"""Certificates in files, as an operator would put them there."""

from pathlib import Path
from typing import Any

import trustme

from raftsdk.config import TlsConfig


class Authority:
    """Somebody who vouches for nodes. What it issues lies in `folder`, beside its own certificate."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.folder = folder
        self.path = folder / f"{name}.pem"
        self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(str(self.path))

    def issue(self, file: str, *names: str, **details: Any) -> TlsConfig:
        """A certificate and its key in FILE.pem and FILE.key, for `names` or else for what the file is called."""
        certificate, key = self.folder / f"{file}.pem", self.folder / f"{file}.key"
        issued = self._authority.issue_cert(*(names or (file,)), **details)
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        return TlsConfig(certificate=str(certificate), key=str(key), authorities=str(self.path))
