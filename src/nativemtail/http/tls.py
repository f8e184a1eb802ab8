"""TLS: the server's certificate, and the authority that must have signed client certificates."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from nativemtail import plainfile

_MAX_PEM = 16 << 20


class TLSError(Exception):
    """Certificate files that cannot be used; the text names the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TLS:
    """The files of `--tls_cert`, `--tls_key`, `--tls_client_ca`; with the last one clients need a certificate too."""

    cert: str
    key: str
    client_ca: str = ""

    def context(self) -> ssl.SSLContext:
        """Read the files; raises TLSError."""
        for what, path in ("certificate", self.cert), ("key", self.key), ("client CA", self.client_ca):
            try:
                if path:
                    plainfile.check(path, _MAX_PEM)  # a pipe or an endless file would block the daemon
            except (OSError, ValueError) as error:
                raise TLSError(f"cannot use {what} {path}: {getattr(error, 'strerror', None) or error}") from None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self.cert, self.key, password=_no_password)
        except (OSError, ValueError) as error:
            why = _why(error, {self.cert: "CERTIFICATE", self.key: "PRIVATE KEY"})
            raise TLSError(f"cannot use certificate {self.cert} with key {self.key}: {why}") from error
        if self.client_ca:
            try:
                context.load_verify_locations(self.client_ca)
            except (OSError, ValueError) as error:
                why = _why(error, {self.client_ca: "CERTIFICATE"})
                raise TLSError(f"cannot use client CA {self.client_ca}: {why}") from error
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def _why(error: Exception, wanted: Mapping[str, str]) -> str:
    """A clearer reason than OpenSSL's: which of the files lacks what it should contain."""
    if not isinstance(error, ssl.SSLError):
        return str(error)
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key belongs to another certificate"
    for path, what in wanted.items():
        with contextlib.suppress(OSError), open(path, "rb") as file:
            if f"{what}-----".encode() not in file.read(_MAX_PEM):
                return f"{path} has no {what.lower()} in PEM form"
    return str(error)


def _no_password() -> str:
    raise ValueError("the key is encrypted")
