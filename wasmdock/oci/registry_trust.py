"""Which CAs a registry is believed by: the machine's, a bundle the user names, its own as Docker keeps them."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from wasmdock.errors import UnavailableError

CERTIFICATES = Path("/etc/docker/certs.d")  # a folder for each registry, `host[:port]`
_BUNDLES = ("WASMDOCK_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class Trust:
    """The TLS settings for a host: what is trusted for one registry alone says nothing of the others."""

    def __init__(self, environment: Mapping[str, str], insecure: bool) -> None:
        """Keep what is asked; nothing is read yet. insecure: any certificate is taken."""
        self._environment, self._insecure = environment, insecure
        self._made: dict[tuple[Path, ...], Any] = {}

    def __call__(self, host: str, port: int) -> Any:
        """The settings, the same object each time. Raises UnavailableError for a bundle that is none."""
        own = self._own(host, port)
        if own not in self._made:
            self._made[own] = self._make(own)
        return self._made[own]

    def _own(self, host: str, port: int) -> tuple[Path, ...]:
        """The CAs of that registry, as Docker finds them."""
        name = f"[{host}]" if ":" in host else host
        names = (f"{name}:{port}", name) if port == 443 else (f"{name}:{port}",)
        folders = [CERTIFICATES / each for each in names if not each.startswith(".")]
        return tuple(path for folder in folders for path in sorted(folder.glob("*.crt")))

    def _make(self, own: tuple[Path, ...]) -> Any:
        import ssl

        bundle = next((self._environment[name] for name in _BUNDLES if self._environment.get(name)), None)
        try:
            context = ssl.create_default_context(cafile=bundle)
        except OSError as error:
            hint = "it must be a file of certificates in PEM"
            raise UnavailableError(f'reading the CA bundle "{bundle}": {error.strerror or error}', hint) from error
        for path in own:
            with suppress(OSError):
                context.load_verify_locations(path)
        if self._insecure:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1"])
        return context
