"""Registries nobody should trust: what each does to a pull or a push, and a piece of the error it must give."""

import base64
import json
from collections.abc import Callable
from typing import Any

from tests.faulty_registry import (
    FaultyRegistry,
    answering,
    cut_after,
    dripping,
    endless,
    index_of,
    on,
)
from tests.images import hello, image_of, manifest_of, plain_layer, tar_of
from wasmdock.oci.image import Descriptor, Digest
from wasmdock.oci.manifest import INDEXES, OCI_MANIFEST

Spoil = Callable[[FaultyRegistry], object]
MANIFEST, BLOB = "/manifests/", "/blobs/sha256"
IMAGE = hello()
LAYER = IMAGE.layers[0]
CONFIG = str(IMAGE.config_descriptor.digest)
_SIZE = LAYER.descriptor.size
_JSON = {"Content_Type": OCI_MANIFEST}


def _on(method: str, pattern: str, act: Any) -> Spoil:
    return lambda registry: registry.faults.append(on(method, pattern, act))


def _drip(pattern: str, head: bytes) -> Spoil:
    return lambda registry: registry.faults.append(on("GET", pattern, dripping(head, registry)))


def _redirect(target: str, pattern: str = MANIFEST) -> Spoil:
    return _on("GET", pattern, answering(307, Location=target))


def _manifest(data: bytes, media_type: str = OCI_MANIFEST) -> Spoil:
    return lambda registry: registry.hold_manifest(data, media_type)


def _document(**changes: Any) -> bytes:
    return json.dumps({**json.loads(IMAGE.manifest), **changes}).encode()


def _layer_of(**changes: Any) -> bytes:
    return _document(layers=[{**LAYER.descriptor.document(), **changes}])


def _entry(**changes: Any) -> dict[str, Any]:
    return {**IMAGE.descriptor.document(), **changes}


def _index(*entries: dict[str, Any]) -> Spoil:
    return _manifest(index_of(*entries), INDEXES[0])


def _nested(registry: FaultyRegistry) -> None:
    data, media_type = IMAGE.manifest, OCI_MANIFEST
    for _ in range(6):
        registry.hold_manifest(data, media_type)
        platform = {"os": "wasi", "architecture": "wasm"}
        data = index_of({**Descriptor.of(media_type, data).document(), "platform": platform})
        media_type = INDEXES[0]
    registry.hold_manifest(data, media_type)


def _config(config: bytes) -> Spoil:
    def spoil(registry: FaultyRegistry) -> None:
        registry.blobs[str(Digest.of(config))] = config
        registry.hold_manifest(manifest_of(config, [LAYER]))

    return spoil


def _other_layer(registry: FaultyRegistry) -> None:
    registry.blobs[str(LAYER.descriptor.digest)] = b"x" * _SIZE


def _token(status: int, body: bytes, **headers: str) -> Spoil:
    def spoil(registry: FaultyRegistry) -> None:
        registry.faults.append(on("GET", "/token", answering(status, body, **headers)))
        challenge = f'Bearer realm="http://{registry.name}/token",service="s"'
        registry.faults.append(on("GET", MANIFEST, answering(401, WWW_Authenticate=challenge)))

    return spoil


def _token_by(act: Any) -> Spoil:
    def spoil(registry: FaultyRegistry) -> None:
        registry.faults.append(on("GET", "/token", act))
        challenge = f'Bearer realm="http://{registry.name}/token",service="s"'
        registry.faults.append(on("GET", MANIFEST, answering(401, WWW_Authenticate=challenge)))

    return spoil


def _echo(registry: FaultyRegistry) -> None:
    """Ask for a login, then send it back in the error's text."""
    registry.faults.append(on("GET", MANIFEST, answering(401, WWW_Authenticate='Basic realm="x"'), 1))

    def act(call: Any) -> None:
        sent = call.headers.get("Authorization", "")
        plain = base64.b64decode(sent.removeprefix("Basic ")).decode()
        text = json.dumps({"errors": [{"code": "DENIED", "message": f"not {sent} = {plain}"}]})
        call.answer(403, text.encode())

    registry.faults.append(on("GET", MANIFEST, act))


def _wrong_range(registry: FaultyRegistry) -> None:
    data = LAYER.data
    pattern = str(LAYER.descriptor.digest)
    registry.faults.append(on("GET", pattern, cut_after(data[:9], _SIZE), 1))
    registry.faults.append(on("GET", pattern, answering(206, data[5:], Content_Range=f"bytes 5-{_SIZE - 1}/{_SIZE}")))


def _silence(registry: FaultyRegistry) -> None:
    registry.faults.append(on("GET", MANIFEST, lambda call: registry.stop.wait(5.0)))


_CHALLENGED = answering(401, WWW_Authenticate='Basic realm="x"')
_LAYER = str(LAYER.descriptor.digest)
_NOT_OURS = "http://registry.invalid/x"

PULLS: dict[str, tuple[Spoil, str]] = {
    "no such tag": (lambda registry: registry.manifests.clear(), "the registry does not have it .MANIFEST_UNKNOWN"),
    "manifest 500": (_on("GET", MANIFEST, answering(500)), "the registry answered 500"),
    "manifest 403": (_on("GET", MANIFEST, answering(403)), "the registry does not allow it"),
    "manifest 418": (_on("GET", MANIFEST, answering(418, b"<html>tea</html>")), "answered 418 .an HTML page"),
    "too many requests": (_on("GET", MANIFEST, answering(429)), "too many requests"),
    "long Retry-After": (_on("GET", MANIFEST, answering(503, Retry_After="3600")), "the registry answered 503"),
    "HTML": (_on("GET", MANIFEST, answering(200, b"<html>", Content_Type="text/html")), "an HTML page instead"),
    "not JSON": (_on("GET", MANIFEST, answering(200, b"{", **_JSON)), "not the JSON expected"),
    "JSON list": (_on("GET", MANIFEST, answering(200, b"[]", **_JSON)), "a JSON object was expected"),
    "deep JSON": (_on("GET", MANIFEST, answering(200, b"[" * 200_000, **_JSON)), "nested too deep"),
    "empty manifest": (_on("GET", MANIFEST, answering(200, b"", **_JSON)), "not the JSON expected"),
    "manifest without end": (_on("GET", MANIFEST, endless(OCI_MANIFEST)), "more than the 4194304 bytes allowed"),
    "manifest cut": (_on("GET", MANIFEST, cut_after(IMAGE.manifest[:50], 500, **_JSON)), "the answer broke off"),
    "manifest dripping": (
        _drip(MANIFEST, b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{"),
        "only [0-9]+ bytes came in",
    ),
    "head dripping": (_drip(MANIFEST, b"HTTP/1.1 200 OK\r\nX-Long: "), "no answer from http://127.0.0.1"),
    "head without end": (_on("GET", MANIFEST, lambda call: call.raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 99_999)), "cut"),
    "no answer": (_silence, "no answer from"),
    "hang-up": (_on("GET", MANIFEST, lambda call: call.hang_up()), "the connection was cut"),
    "not HTTP": (_on("GET", MANIFEST, lambda call: call.raw(b"220 smtp ready\r\n")), "the connection was cut"),
    "gzipped manifest": (
        _on("GET", MANIFEST, answering(200, b"\x1f\x8b\x08\0", Content_Encoding="gzip", **_JSON)),
        "not the JSON expected",
    ),
    "other content digest": (
        _on("GET", MANIFEST, answering(200, IMAGE.manifest, Docker_Content_Digest=f"sha256:{'0' * 64}", **_JSON)),
        "its content has the digest .* instead of sha256:0000",
    ),
    "mixed media types": (
        _on("GET", MANIFEST, answering(200, IMAGE.manifest, Content_Type=INDEXES[0])),
        "mixed media types",
    ),
    "schema 1": (_manifest(b'{"schemaVersion":1}'), "schemaVersion is 1 instead of 2"),
    "index and manifest": (_manifest(_document(manifests=[])), "it is an index of images"),
    "no config": (_manifest(_document(config=None)), '"config" is missing'),
    "some artifact": (
        _manifest(_document(config={**IMAGE.config_descriptor.document(), "mediaType": "application/x"})),
        "is not an image's config",
    ),
    "unknown layer type": (_manifest(_layer_of(mediaType="text/html")), "is not one of a layer"),
    "layer of a terabyte": (_manifest(_layer_of(size=1 << 40)), "more than the 1073741824 allowed"),
    "negative size": (_manifest(_layer_of(size=-1)), "is negative"),
    "digest that is none": (_manifest(_layer_of(digest="sha256:../../x")), "not a sha256 digest"),
    "too many layers": (_manifest(_document(layers=[LAYER.descriptor.document()] * 128)), "more than the 127 allowed"),
    "config of a gigabyte": (
        _manifest(_document(config={**IMAGE.config_descriptor.document(), "size": 1 << 30})),
        "its config has 1073741824 bytes",
    ),
    "config not JSON": (_config(b"\xff"), "not the JSON expected"),
    "config without platform": (_config(b"{}"), '"os" is missing'),
    "config for others": (_config(b'{"os":"linux","architecture":"amd64","rootfs":{}}'), "0 diff_ids for 1 layers"),
    "empty index": (_index(), "the index has no image"),
    "index for others": (_index(_entry(platform={"os": "plan9", "architecture": "mips"})), "the index has plan9/mips"),
    "index in index in index": (_nested, "more than 4 indexes within each other"),
    "index with another size": (_index(_entry(size=3)), "the index says 3 bytes"),
    "index of a huge manifest": (_index(_entry(size=1 << 30)), "more than the 4194304 allowed"),
    "index of no image": (_index(_entry(mediaType="text/html")), "its media type is .text/html"),
    "index of another type": (_index(_entry(mediaType=INDEXES[1])), "the index says"),
    "index of what is missing": (_index(_entry(digest=f"sha256:{'0' * 64}")), "does not have it"),
    "blob missing": (lambda registry: registry.blobs.pop(_LAYER), "fetching blob .* does not have it"),
    "config missing": (lambda registry: registry.blobs.pop(CONFIG), "fetching blob .* does not have it"),
    "blob of another digest": (_other_layer, "its content has the digest sha256"),
    "blob always cut": (
        _on("GET", BLOB, cut_after(LAYER.data[:5], _SIZE)),
        "fetching blob .*(broke off|bytes instead)",
    ),
    "blob short": (_on("GET", BLOB, answering(200, LAYER.data[:-1])), "bytes instead of"),
    "blob short without a length": (
        _on("GET", BLOB, lambda call: call.raw(b"HTTP/1.1 200 OK\r\n\r\n" + LAYER.data[:9])),
        "it ended after|bytes from 9 on",
    ),
    "blob long": (_on("GET", BLOB, answering(200, LAYER.data * 2)), "bytes instead of"),
    "blob without end": (_on("GET", BLOB, endless("application/octet-stream")), "bytes allowed"),
    "blob dripping": (
        _drip(BLOB, b"HTTP/1.1 200 OK\r\n\r\n"),
        "only [0-9]+ bytes came|the answer broke off|answer has more",
    ),
    "blob with another range": (_wrong_range, "bytes from 9 on were asked for, bytes 5-"),
    "blob is HTML": (_on("GET", BLOB, answering(200, b"<html>login</html>")), "bytes instead of"),
    "redirect loop": (_redirect(f"/v2{MANIFEST}x"), "more than 5 redirects"),
    "redirect of blobs in a loop": (_redirect(f"/v2{BLOB}", BLOB), "more than 5 redirects"),
    "redirect to a file": (_redirect("file:///etc/passwd"), "is no web address"),
    "redirect to plain http": (_redirect(_NOT_OURS), "plain http at http://registry.invalid/x"),
    "redirect with a user": (_redirect("https://a:b@registry.invalid/"), "is no web address"),
    "redirect to nonsense": (_redirect("http://[::1"), "is no web address"),
    "401 without a challenge": (_on("GET", MANIFEST, answering(401)), "asks for a login: it names none"),
    "401 of an unknown kind": (
        _on("GET", MANIFEST, answering(401, WWW_Authenticate="Negotiate")),
        "unknown kind of login",
    ),
    "401 for ever": (_on("GET", MANIFEST, _CHALLENGED), "asks for a login, or refused it"),
    "login sent back": (_echo, r"DENIED: not Basic \*\*\* = me:\*\*\*"),
    "token refused": (_token(401, b""), "getting a token: the login was refused"),
    "token server down": (_token(500, b""), "getting a token: .* answered 500"),
    "token is HTML": (_token(200, b"<html>"), "not the JSON expected"),
    "no token": (_token(200, b"{}"), "holds no token"),
    "token with a new line": (_token(200, b'{"token":"a\\r\\nX: y"}'), "holds no token"),
    "token for ever": (_token(200, b'{"token":"abcdef","expires_in":1' + b"0" * 400 + b"}"), "asks for a login"),
    "token without end": (_token(200, b'{"token":"' + b"x" * (2 << 20) + b'"}'), "more than the 1048576 bytes"),
    "token that never serves": (_token(200, b'{"token":"abcdef"}'), "asks for a login, or refused it"),
    "token server elsewhere in the clear": (
        _on("GET", MANIFEST, answering(401, WWW_Authenticate=f'Bearer realm="{_NOT_OURS}"')),
        "plain http at http://registry.invalid/x",
    ),
    "token cut": (_token_by(cut_after(b'{"token":"abc', 500)), "getting a token: the answer broke off"),
    "token server that hangs up": (_token_by(lambda call: call.hang_up()), "getting a token: .* connection was cut"),
    "token server in a redirect loop": (
        _token_by(answering(307, Location="/token")),
        "getting a token: more than 5 redirects",
    ),
    "manifest of a gigabyte": (
        _on("GET", MANIFEST, cut_after(b" " * (5 << 20), 1 << 30, **_JSON)),
        "more than the 4194304 bytes allowed",
    ),
    "manifest 204": (_on("GET", MANIFEST, answering(204)), "answered 204"),
    "head of a blob cut": (
        _on("GET", BLOB, lambda call: call.raw(b"HTTP/1.1 200 OK\r\nContent-Le")),
        "fetching blob .*(ended after|cut|broke off)",
    ),
    "blob 429 for ever": (_on("GET", BLOB, answering(429, Retry_After="0")), "fetching blob .* too many requests"),
    "blob elsewhere in the clear": (_redirect(_NOT_OURS, BLOB), "fetching blob .* plain http at"),
    "index cut": (
        _on("GET", MANIFEST, cut_after(b'{"schemaVersion":2,"manifests":[', 500, Content_Type=INDEXES[0])),
        "the answer broke off",
    ),
    "twice the same key": (_manifest(b'{"schemaVersion":2,"schemaVersion":2}'), "appears twice"),
    "no token server": (_on("GET", MANIFEST, answering(401, WWW_Authenticate="Bearer")), "names no token server"),
}

UPLOAD = "/blobs/uploads/"
BIG = image_of(plain_layer(tar_of({"app.wasm": b"\0asm\1\0\0\0" + bytes(range(256)) * 40})))
_LAST = len(BIG.layers[0].data)


def _range(text: str) -> Spoil:
    """Cut the sending, then say that so much has come."""

    def spoil(registry: FaultyRegistry) -> None:
        registry.faults.append(on("PATCH", UPLOAD, lambda call: call.hang_up()))
        registry.faults.append(on("GET", UPLOAD, answering(204, Range=text)))

    return spoil


def _stall(registry: FaultyRegistry) -> None:
    registry.faults.append(on("PATCH", UPLOAD, lambda call: registry.stop.wait(1.0)))


PUSHES: dict[str, tuple[Spoil, str]] = {
    "no such repository": (_on("POST", UPLOAD, answering(404)), "does not have it"),
    "not allowed": (
        _on("POST", UPLOAD, answering(403, b'{"errors":[{"code":"DENIED"}]}')),
        "does not allow it .DENIED",
    ),
    "not allowed to look": (_on("HEAD", BLOB, answering(403)), "does not allow it"),
    "looking fails": (_on("HEAD", BLOB, answering(500)), "answered 500"),
    "too many requests": (_on("POST", UPLOAD, answering(429)), "too many requests"),
    "no place": (_on("POST", UPLOAD, answering(202)), "names no place to go on"),
    "place is a file": (_on("POST", UPLOAD, answering(202, Location="file:///x")), "is no web address"),
    "place in the clear": (_on("POST", UPLOAD, answering(202, Location=_NOT_OURS)), "plain http at"),
    "redirect": (_on("POST", UPLOAD, answering(307, Location="/v2/")), "answered 307"),
    "PATCH always cut": (_on("PATCH", UPLOAD, lambda call: call.hang_up()), "the connection was cut"),
    "PATCH never answered": (_stall, "nothing came in time|was cut"),
    "PATCH 500": (_on("PATCH", UPLOAD, answering(500)), "answered 500"),
    "PATCH 413": (_on("PATCH", UPLOAD, answering(413)), "too large for the registry"),
    "PATCH 416": (_on("PATCH", UPLOAD, answering(416)), "answered 416"),
    "upload forgotten": (_on("PATCH", UPLOAD, answering(404)), "does not have it"),
    "more than was sent": (_range(f"0-{_LAST + 9}"), "the registry says it has"),
    "a range from the middle": (_range("5-9"), "the registry says it has"),
    "a range of nonsense": (_range("x" * 99), "the connection was cut"),
    "looking for the tag is cut": (_on("HEAD", MANIFEST, lambda call: call.hang_up()), "the connection was cut"),
    "looking for a blob is cut": (_on("HEAD", BLOB, lambda call: call.hang_up()), "the connection was cut"),
    "beginning is cut": (_on("POST", UPLOAD, lambda call: call.hang_up()), "the connection was cut"),
    "beginning is HTML": (_on("POST", UPLOAD, answering(200, b"<html>login</html>")), "answered 200"),
    "PATCH redirected": (_on("PATCH", UPLOAD, answering(307, Location=_NOT_OURS)), "answered 307"),
    "PATCH is not HTTP": (_on("PATCH", UPLOAD, lambda call: call.raw(b"220 smtp\r\n")), "the connection was cut"),
    "PUT 500": (_on("PUT", UPLOAD, answering(500)), "answered 500"),
    "manifest 429": (_on("PUT", MANIFEST, answering(429)), "too many requests"),
    "PUT 400": (_on("PUT", UPLOAD, answering(400, b'{"errors":[{"code":"DIGEST_INVALID"}]}')), "400 .DIGEST_INVALID"),
    "PUT cut": (_on("PUT", UPLOAD, lambda call: call.hang_up()), "the connection was cut"),
    "something else stored": (
        _on("PUT", UPLOAD, answering(201, Docker_Content_Digest=f"sha256:{'0' * 64}")),
        "the registry stored something else",
    ),
    "401 for ever": (_on("POST", UPLOAD, _CHALLENGED), "asks for a login, or refused it"),
    "manifest refused": (
        _on("PUT", MANIFEST, answering(400, b'{"errors":[{"code":"MANIFEST_INVALID","message":"no"}]}')),
        "answered 400 .MANIFEST_INVALID: no",
    ),
    "manifest too large": (_on("PUT", MANIFEST, answering(413)), "too large for the registry"),
    "manifest cut": (_on("PUT", MANIFEST, lambda call: call.hang_up()), "the connection was cut"),
    "another manifest stored": (
        _on("PUT", MANIFEST, answering(201, Docker_Content_Digest=f"sha256:{'0' * 64}")),
        "the registry stored something else",
    ),
}
