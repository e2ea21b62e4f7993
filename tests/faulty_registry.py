"""A registry in this process that does as it should, except where a test has it do otherwise."""

import hashlib
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from wasmdock.oci.credentials import NOBODY, Login
from wasmdock.oci.image import Image
from wasmdock.oci.manifest import INDEXES, OCI_MANIFEST
from wasmdock.oci.registry import Registry
from wasmdock.oci.registry_http import Patience, Transport

REPOSITORY = "me/hello"
SECRET = "s3cret-of-mine"
LOGIN = Login("me", SECRET)


@dataclass(slots=True)
class Call:
    """One request, and the connection to answer it on."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    handler: BaseHTTPRequestHandler = field(repr=False)
    is_read: bool = False

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer whole; `Content_Length` and so on as keywords replace what is right."""
        self.read()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **named}.items():
            if value:
                self.handler.send_header(name, value)
        self.handler.end_headers()
        if self.method != "HEAD":
            self.handler.wfile.write(body)

    def read(self) -> None:
        """Take the body in, once."""
        if not self.is_read:
            self.is_read = True
            self.body = self.handler.rfile.read(int(self.headers.get("Content-Length", 0)))

    def raw(self, data: bytes) -> None:
        """Say just this, and hang up."""
        self.handler.wfile.write(data)
        self.hang_up()

    def hang_up(self) -> None:
        """Cut the connection."""
        self.handler.close_connection = True
        self.handler.wfile.flush()
        self.handler.connection.shutdown(socket.SHUT_RDWR)


Fault = Callable[[Call], bool]  # True: it has answered


class FaultyRegistry:
    """Blobs, manifests and uploads in memory; faults are asked first."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.resumes = True
        self.mounts = False
        self.stop = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def name(self) -> str:
        """`127.0.0.1:port`."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop serving."""
        self.stop.set()
        self._server.shutdown()
        self._server.server_close()

    def hold(self, image: Image, tag: str = "v1") -> None:
        """Have an image."""
        self.blobs[str(image.config_descriptor.digest)] = image.config
        self.blobs.update({str(layer.descriptor.digest): layer.data for layer in image.layers})
        self.hold_manifest(image.manifest, image.descriptor.media_type, tag)

    def hold_manifest(self, data: bytes, media_type: str = OCI_MANIFEST, tag: str = "v1") -> str:
        """Have a manifest, by tag and by digest."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.manifests[tag] = self.manifests[digest] = (media_type, data)
        return digest

    def client(self, login: Login = NOBODY, **patience: Any) -> Registry:
        """A client of little patience."""
        quick = {"connect": 2, "head": 0.5, "idle": 0.25, "document": 2, "tries": 3, "pause": 0.0, "longest_pause": 2}
        return Registry(self.name, Transport(patience=Patience(**{**quick, **patience})), lambda: login)

    def asked(self, method: str, pattern: str) -> list[Call]:
        """The requests so far that match."""
        return [call for call in self.calls if call.method == method and re.search(pattern, call.path)]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def _any(self) -> None:
                parts = urlsplit(self.path)
                call = Call(self.command, parts.path, parse_qs(parts.query), dict(self.headers), b"", self)
                registry.calls.append(call)
                for fault in registry.faults:
                    if fault(call):
                        return
                call.read()
                registry.serve(call)

            do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = _any

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    self.close_connection = True

        return Handler

    def serve(self, call: Call) -> None:
        """Do as the specification says."""
        kind = re.search(r"/v2/(?:(.+)/(manifests|blobs/uploads|blobs|tags|referrers)/(.*))?$", call.path)
        if not kind or not kind[2]:
            call.answer(200, b"{}")
        elif kind[2] == "manifests":
            self._manifest(call, kind[3])
        elif kind[2] == "blobs":
            self._blob(call, kind[3])
        elif kind[2] == "tags":
            tags = [tag for tag in self.manifests if ":" not in tag]
            call.answer(200, json.dumps({"name": kind[1], "tags": tags}).encode())
        elif kind[2] == "referrers":
            call.answer(404)
        else:
            self._upload(call, kind[3])

    def _manifest(self, call: Call, name: str) -> None:
        if call.method == "PUT":
            digest = self.hold_manifest(call.body, call.headers["Content-Type"], name)
            call.answer(201, Docker_Content_Digest=digest)
        elif name in self.manifests:
            media_type, data = self.manifests[name]
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            call.answer(200, data, Content_Type=media_type, Docker_Content_Digest=digest)
        else:
            call.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')

    def _blob(self, call: Call, digest: str) -> None:
        data = self.blobs.get(digest)
        if data is None:
            call.answer(404)
            return
        start = re.fullmatch(r"bytes=(\d+)-", call.headers.get("Range", "")) if self.resumes else None
        if start:
            begin = int(start[1])
            call.answer(206, data[begin:], Content_Range=f"bytes {begin}-{len(data) - 1}/{len(data)}")
        else:
            call.answer(200, data)

    def _upload(self, call: Call, session: str) -> None:
        where = f"/v2/{REPOSITORY}/blobs/uploads/"
        if call.method == "POST":
            if self.mounts and "mount" in call.query:
                call.answer(201, Location="/x")
                return
            session = f"s{len(self.uploads)}"
            self.uploads[session] = bytearray()
            call.answer(202, Location=f"{where}{session}?state=0")
            return
        upload = self.uploads.get(session)
        if upload is None:
            call.answer(404, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"no such upload"}]}')
        elif call.method == "GET":
            call.answer(204, Range=f"0-{max(0, len(upload) - 1)}", Location=where + session)
        elif call.method == "PATCH":
            self._patch(call, upload, where + session)
        else:
            upload += call.body
            digest = f"sha256:{hashlib.sha256(upload).hexdigest()}"
            if call.query["digest"] != [digest]:
                call.answer(400, b'{"errors":[{"code":"DIGEST_INVALID","message":"wrong digest"}]}')
                return
            self.blobs[digest] = bytes(upload)
            call.answer(201, Docker_Content_Digest=digest, Location="/x")

    def _patch(self, call: Call, upload: bytearray, where: str) -> None:
        if call.headers["Content-Range"].partition("-")[0] != str(len(upload)):
            call.answer(416)
            return
        upload += call.body
        call.answer(202, Location=f"{where}?state={len(upload)}", Range=f"0-{len(upload) - 1}")


@contextmanager
def faulty_registry(tls: ssl.SSLContext | None = None) -> Iterator[FaultyRegistry]:
    """A registry for one test."""
    registry = FaultyRegistry(tls)
    try:
        yield registry
    finally:
        registry.close()


def on(method: str, pattern: str, act: Callable[[Call], object], times: int = 1_000_000) -> Fault:
    """A fault that acts on matching requests, the first `times` of them."""
    left = [times]

    def fault(call: Call) -> bool:
        if call.method != method or not re.search(pattern, call.path) or not left[0]:
            return False
        left[0] -= 1
        act(call)
        return True

    return fault


def answering(status: int, body: bytes = b"", **headers: str) -> Callable[[Call], object]:
    """Answer just so."""
    return lambda call: call.answer(status, body, **headers)


def cut_after(data: bytes, promised: int, **headers: str) -> Callable[[Call], object]:
    """Promise so many bytes, give these, and hang up."""

    def act(call: Call) -> None:
        call.answer(200, data, Content_Length=str(promised), **headers)
        call.hang_up()

    return act


def dripping(head: bytes, registry: FaultyRegistry) -> Callable[[Call], object]:
    """Say this, then a byte now and then, for ever."""

    def act(call: Call) -> None:
        call.handler.close_connection = True
        call.handler.wfile.write(head)
        until = time.monotonic() + 20
        while time.monotonic() < until and not registry.stop.wait(0.05):
            call.handler.wfile.write(b"x")

    return act


def endless(media_type: str) -> Callable[[Call], object]:
    """Bytes without end, in chunks."""

    def act(call: Call) -> None:
        call.handler.close_connection = True
        call.answer(200, b"", Content_Length="", Content_Type=media_type, Transfer_Encoding="chunked")
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        while True:
            call.handler.wfile.write(chunk)

    return act


def index_of(*entries: Mapping[str, Any]) -> bytes:
    """An index's bytes."""
    return json.dumps({"schemaVersion": 2, "mediaType": INDEXES[0], "manifests": list(entries)}).encode()
