"""The certificate and the key of a service, which change while it runs."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from cryptography import x509

from service.core.settings import Settings
from tests.support import engine
from tests.support.certificates import Authority
from tests.support.program import Service

NAME = "localhost"
CONNECTIONS = 12
"""So many that both workers get some."""


class Files:
    """The two files that the service reads."""

    def __init__(self, folder: Path, authority: Authority):
        self.certificate, self.key = folder / "cert.pem", folder / "key.pem"
        self._authority = authority
        self.serial = self.issue()

    @property
    def variables(self) -> dict[str, str]:
        return {"API_TLS_CERT": str(self.certificate), "API_TLS_KEY": str(self.key)}

    def sign(self) -> tuple[bytes, bytes]:
        """A new certificate and its key."""
        certificate, key = self._authority.issue(NAME)
        self.serial = x509.load_pem_x509_certificate(certificate).serial_number
        return certificate, key

    def issue(self) -> int:
        """The serial number of a new certificate, which replaces the old one."""
        certificate, key = self.sign()
        self.certificate.write_bytes(certificate)
        self.key.write_bytes(key)
        return self.serial


def environment(settings: Settings, files: Files) -> dict[str, str]:
    found = engine.environment(settings) | files.variables
    del found["API_PORT"]
    return found


async def serial_of_new_connection(service: Service, context: ssl.SSLContext) -> int:
    """The serial number of the certificate that a new connection gets."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", service.port, ssl=context, server_hostname=NAME
    )
    peer = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(peer).serial_number


async def serials(service: Service, context: ssl.SSLContext) -> set[int]:
    return {await serial_of_new_connection(service, context) for _ in range(CONNECTIONS)}
