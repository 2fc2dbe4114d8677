"""TLS of the API. New connections get a new certificate as soon as its files have changed."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import uvicorn
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from service.core.errors import SettingsError

log = logging.getLogger("hirebase.web")
State = tuple[tuple[int, int, int], ...]
Parsed = TypeVar("Parsed")


def reloading_context(config: uvicorn.Config, _default: object) -> ssl.SSLContext:
    """The factory of uvicorn's context, which uses the files that the configuration names."""
    reloading = _Reloading(Path(str(config.ssl_certfile)), Path(str(config.ssl_keyfile)))
    reloading.context.sni_callback = reloading.use_current
    return reloading.context


def context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A context of two PEM files; SettingsError names the variable whose file cannot be used."""
    _check_pair(certificate, key)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    try:
        made.load_cert_chain(certificate, key)
    except OSError as error:  # an SSLError is one; a file may also vanish after its check
        reason = getattr(error, "reason", None) or error.strerror
        raise SettingsError(
            f"API_TLS_CERT, API_TLS_KEY: OpenSSL refuses {certificate} with {key}: {reason}. "
            "Use another certificate"
        ) from error
    return made


class _Reloading:
    """The context of the two files, made again if they have changed."""

    def __init__(self, certificate: Path, key: Path):
        self._files = (certificate, key)
        self._state = self._read_state()
        self.context = context(*self._files)

    def use_current(
        self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext
    ) -> None:
        """Called in each handshake, whether the client names a server or not."""
        state = self._read_state()
        if state != self._state:
            self._state = state
            self._reload()
        connection.context = self.context

    def _reload(self) -> None:
        try:
            self.context = context(*self._files)
            log.info("%s is the new certificate of the API.", self._files[0])
        except SettingsError as error:
            log.error("%s. The API continues with its previous certificate.", error)

    def _read_state(self) -> State | None:
        """What changes with the content of the files; None while one of them is missing."""
        try:
            found = [path.stat() for path in self._files]
        except OSError:
            return None
        return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in found)


def _check_pair(certificate: Path, key: Path) -> None:
    leaf = _parse("API_TLS_CERT", certificate, load_pem_x509_certificate, "certificate")
    private = _parse(
        "API_TLS_KEY", key, partial(load_pem_private_key, password=None), "key without a password"
    )
    if leaf.public_key() != private.public_key():
        raise SettingsError(
            f"API_TLS_KEY: the key in {key} does not belong to the certificate in {certificate}. "
            "Set the key with which the certificate was requested"
        )


def _parse(name: str, path: Path, parse: Callable[[bytes], Parsed], what: str) -> Parsed:
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"{name}: {path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SettingsError(f"{name}: {path} does not begin with a PEM {what}") from error
