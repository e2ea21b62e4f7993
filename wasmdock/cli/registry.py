"""wasmdock push, pull, copy, tags, login and logout: images to and from registries."""

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from wasmdock.cli.context import Context
from wasmdock.cli.key_file import read_signing_key
from wasmdock.cli.progress import progress_of
from wasmdock.errors import ImageError, RegistryError, UsageError
from wasmdock.oci import registry_transfer, remote
from wasmdock.oci.credentials import Credentials, Login
from wasmdock.oci.fields import shown
from wasmdock.oci.image import Digest, Platform, Reference
from wasmdock.oci.image_index import ImageIndex, images_of
from wasmdock.oci.registry import Registry
from wasmdock.oci.registry_http import Patience, Transport
from wasmdock.oci.registry_referrers import copy_referrers, push_referrers
from wasmdock.oci.registry_transfer import Sent
from wasmdock.oci.store import StoredImage

_STAND_IN = re.compile(r"sha256-[0-9a-f]{64}(\.(sig|att|sbom))?")
_SECRET_CAP = 1 << 16  # bytes of a password or token


def push(options: argparse.Namespace, context: Context) -> int:
    """Send an image, or an index with its images."""
    key = read_signing_key(options.sign) if options.sign else b""  # a wrong one stops us before anything is sent
    line = context.store.resolve(options.image)
    content = context.store.content(str(line.digest))
    reference = Reference.parse(options.name) if options.name else line.reference
    if not reference.tag and not reference.digest:
        reference = reference._replace(tag="latest")

    def sources(digest: Digest) -> Sequence[str]:
        return context.store.repositories(reference.registry, digest)

    with progress_of(f"pushing {reference}", context) as progress:
        registry = connect(reference.registry, context, options.insecure)
        part_of = None if options.platform_only else line.part_of
        sent = registry_transfer.push(registry, reference, content, sources=sources, part_of=part_of, progress=progress)
    images = images_of(content)
    about = [referrer for image in images for referrer in context.store.referrers(image.digest)]
    _attach(lambda: push_referrers(registry, reference, about), context)
    if key:
        from wasmdock.cosign import push_signature

        push_signature(registry, reference, sent.digest, key)
    _report_sent(reference, sent, options)
    return 0


def pull(options: argparse.Namespace, context: Context) -> int:
    """Fetch an image into the store."""
    platforms = (options.platform,) if options.platform else None
    reference = Reference.parse(options.name)
    line = pull_into_store(reference, context, platforms, options.insecure, options.all_platforms)
    about = _pull_about(reference, line, context, options.insecure) if options.referrers else []
    if options.format == "json":
        facts = {"name": line.reference.familiar, "digest": str(line.digest), "platform": str(line.platform)}
        several = {"platforms": list(map(str, line.platforms))} if line.platforms else {}
        more = {"referrers": about} if options.referrers else {}
        print(json.dumps({**facts, **several, "packed_size": line.packed_size, **more}))
    else:
        size = f"{line.packed_size / 1000:.1f} kB"
        platform = ", ".join(map(str, line.platforms or (line.platform,)))
        print(f"{line.reference.familiar}  {line.digest.short}  {platform}  {size}")
        if options.referrers:
            print(f"  referrers: {', '.join(shown(kind, 60) for kind in about) or 'none'}")
    return 0


def copy(options: argparse.Namespace, context: Context) -> int:
    """Copy a name's images from registry to registry; exit code 1 where a signature or a document stayed behind."""
    origin, name = Reference.parse(options.source), Reference.parse(options.target)
    source = connect(origin.registry, context, options.insecure)
    target = source if origin.registry == name.registry else connect(name.registry, context, options.insecure)
    with progress_of(f"copying {origin}", context) as progress:
        sent = registry_transfer.copy(source, origin, target, name, progress=progress)
    from wasmdock.cosign import copy_attached

    works = (copy_referrers, copy_attached)
    done = [_attach(lambda work=work: work(source, origin, target, name, sent.manifests), context) for work in works]  # type: ignore[misc]  # mypy cannot type defaults of a lambda
    _report_sent(name, sent, options)
    return 0 if all(done) else 1


def tags(options: argparse.Namespace, context: Context) -> int:
    """List tags, one on a line; not those that hold signatures and provenance."""
    if _names_registry_alone(options.name):
        cause = f'listing the tags of "{options.name}": that is a registry, its repository is missing'
        raise UsageError(cause, f"write {options.name}/NAME")
    reference = Reference.parse(options.name)
    listed = connect(reference.registry, context, options.insecure).tags(reference.repository)
    found = [tag for tag in listed if not _STAND_IN.fullmatch(tag)]
    print(json.dumps(found) if options.format == "json" else "\n".join(map(shown, found)))
    return 0


def login(options: argparse.Namespace, context: Context) -> int:
    """Check a login with the registry, then keep it."""
    name = registry_name(options.registry)
    found = Login(*_ask(options, context))
    transport = Transport(context.environment, insecure=options.insecure)
    _check_login(Registry(name, transport, lambda: found))
    where = Credentials(context.environment).save(name, found)
    context.say(f"wasmdock: logged in to {name} as {found.user}; kept in {where}")
    return 0


def logout(options: argparse.Namespace, context: Context) -> int:
    """Forget a login."""
    name = registry_name(options.registry)
    known = Credentials(context.environment).forget(name)
    context.say(f"wasmdock: {'logged out of' if known else 'there was no login for'} {name}")
    return 0


def pull_into_store(
    reference: Reference,
    context: Context,
    platforms: Sequence[Platform] | None,
    insecure: bool,
    whole: bool = False,
) -> StoredImage:
    """Fetch an image into the store, or all of an index, with a bar on a terminal."""
    with progress_of(f"pulling {reference}", context) as progress:
        registry = connect(reference.registry, context, insecure)
        return registry_transfer.pull(
            registry, reference, context.store, platforms=platforms, whole=whole, progress=progress
        )


def _pull_about(reference: Reference, line: StoredImage, context: Context, insecure: bool) -> list[str]:
    """Keep what a registry has about an image, or about an index and its images; of which kinds it is."""
    from wasmdock.oci.registry_referrers import pull_referrers

    registry = connect(reference.registry, context, insecure)
    content = context.store.content(str(line.digest))
    images = content.images if isinstance(content, ImageIndex) else ()
    subjects = [line.digest, *(each.digest for each in images)]
    found = [each for subject in subjects for each in pull_referrers(registry, reference, subject)]
    for each in found:
        context.store.attach(each)
    return [each.artifact_type for each in found]


def connect(name: str, context: Context, insecure: bool) -> Registry:
    """The registry of that name, with the user's own login."""
    patience = Patience(tell=lambda text: context.say(f"wasmdock: {text}"))
    return remote.connect(name, context.environment, insecure, patience)


def registry_name(text: str) -> str:
    """`https://host/v2/`, `host:5000`, `docker.io` -> the registry's name. Raises UsageError."""
    host = text.removeprefix("https://").removeprefix("http://").partition("/")[0]
    if host in ("index.docker.io", "registry-1.docker.io", "docker.io"):
        return "docker.io"
    with suppress(ImageError):
        if Reference.parse(f"{host}/x").registry == host:
            return host
    if host and host.replace("-", "").isalnum() and host.isascii():
        return host
    raise UsageError(f'reading registry "{text}": not host[:port]', "write ghcr.io or localhost:5000")


def _check_login(registry: Registry) -> None:
    try:
        registry.ping()
    except RegistryError as error:
        if error.status not in (401, 403):
            raise
        hint = "check user and password; some registries want a token in the password's place"
        raise RegistryError(error.message, hint, error.status, error.code) from error


def _names_registry_alone(text: str) -> bool:
    """Whether it is `host:port` or a host's name with a dot: tags of images on Docker's hub are not named so."""
    host, _, port = text.partition(":")
    return "/" not in text and (port.isdigit() or "." in host or host == "localhost")


def _ask(options: argparse.Namespace, context: Context) -> tuple[str, str]:
    """User and password: from flags and standard input, or asked for on the terminal."""
    user = options.username
    if options.password_stdin:
        secret = sys.stdin.buffer.read(_SECRET_CAP).decode("utf-8", "replace").rstrip("\r\n")
        if not user:
            raise UsageError("logging in: --password-stdin without a user", "name the user with -u")
    elif sys.stdin.isatty():
        if not user:
            print("user: ", end="", file=sys.stderr, flush=True)
            user = sys.stdin.readline().strip()
        import getpass

        secret = getpass.getpass("password: ", sys.stderr)
    else:
        raise UsageError("logging in: no terminal to ask for the password", "pipe it in with --password-stdin")
    if not user or not secret or ":" in user:
        raise UsageError("logging in: a user and a password are needed, the user without a colon")
    return user, secret


def _attach(work: Callable[[], int], context: Context) -> bool:
    """Send SBOM and provenance after the image: it is there already, whatever the registry thinks of these."""
    try:
        work()
        return True
    except ImageError as error:
        context.say(f"wasmdock: the image is there, but not all that is said of it: {error.message}")
        return False


def _report_sent(reference: Reference, sent: Sent, options: argparse.Namespace) -> None:
    if options.format == "json":
        counts = {"sent": sent.sent, "mounted": sent.mounted, "there": sent.there}
        print(json.dumps({"name": reference.familiar, "digest": str(sent.digest), "blobs": counts}))
        return
    counted = ((sent.sent, "sent"), (sent.mounted, "mounted"), (sent.there, "there already"))
    blobs = ", ".join(f"{count} {how}" for count, how in counted if count)
    print(f"{reference.familiar}  {sent.digest}  blobs: {blobs}")
