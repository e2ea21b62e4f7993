"""Documents about an image, from where it was found: the store, or the registry its name begins with."""

from wasmdock.cli.context import Context
from wasmdock.cli.source import Source, Wanted, names_registry
from wasmdock.errors import RegistryError
from wasmdock.oci.image import Digest, Index, Reference
from wasmdock.oci.manifest import INDEXES
from wasmdock.oci.referrer import Referrer
from wasmdock.oci.registry import Registry


def documents(source: Source, context: Context, wanted: Wanted) -> list[Referrer]:
    """All documents about the image; the registry is asked only where the store has none, and the answer kept."""
    found = context.store.referrers(source.image.digest)
    if found:
        return found
    asked = registry_of(source, context, wanted)
    if asked is None:
        return found
    from wasmdock.oci.registry_referrers import pull_referrers

    fetched = pull_referrers(*asked, source.image.digest)
    for each in fetched:
        context.store.attach(each)
    return fetched


def attested(source: Source, context: Context, wanted: Wanted) -> list[bytes]:
    """What is attested of the image as cosign does, which only a registry keeps: envelopes, signatures unchecked."""
    asked = registry_of(source, context, wanted)
    if asked is None:
        return []
    from wasmdock.cosign import attestations
    from wasmdock.provenance import names

    subjects = standing_for(source, *asked)
    return [each for subject in subjects for each in attestations(*asked, subject) if names(each, subjects)]


def registry_of(source: Source, context: Context, wanted: Wanted) -> tuple[Registry, Reference] | None:
    """The registry that the image's name begins with, and the name; None where it is not to be asked."""
    if wanted.pull == "never" or not names_registry(source.reference):
        return None
    from wasmdock.cli.registry import connect

    reference = Reference.parse(source.reference)
    return connect(reference.registry, context, wanted.insecure), reference


def standing_for(source: Source, registry: Registry, reference: Reference) -> list[Digest]:
    """The digests that stand for the image: of the index its name means, which lists it, and its own.

    Who pushes an index signs that, not each image in it; and a pull keeps only one image.
    """
    found = [source.named, source.image.digest]
    try:
        top, data = registry.manifest(
            reference.repository, str(reference.digest or reference.tag), f'looking for "{reference}"'
        )
    except RegistryError as error:
        if error.status != 404:
            raise
    else:
        if top.media_type in INDEXES and source.image.digest in {each.digest for each in Index.parse(data).manifests}:
            found.insert(0, top.digest)
    return list(dict.fromkeys(each for each in found if each))
