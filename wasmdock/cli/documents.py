"""Documents about an image, from where it was found: the store, or the registry its name begins with."""

from wasmdock.cli.context import Context
from wasmdock.cli.source import Source, Wanted, names_registry
from wasmdock.oci.image import Reference
from wasmdock.oci.referrer import Referrer


def documents(source: Source, context: Context, wanted: Wanted) -> list[Referrer]:
    """All documents about the image; the registry is asked only where the store has none, and the answer kept."""
    found = context.store.referrers(source.image.digest)
    if found or wanted.pull == "never" or not names_registry(source.reference):
        return found
    from wasmdock.cli.registry import connect
    from wasmdock.oci.registry_referrers import pull_referrers

    reference = Reference.parse(source.reference)
    registry = connect(reference.registry, context, wanted.insecure)
    fetched = pull_referrers(registry, reference, source.image.digest)
    for each in fetched:
        context.store.attach(each)
    return fetched


def attested(source: Source, context: Context, wanted: Wanted) -> list[bytes]:
    """The envelopes of what is attested of the image as cosign does, which only a registry keeps."""
    if wanted.pull == "never" or not names_registry(source.reference):
        return []
    from wasmdock.cli.registry import connect
    from wasmdock.cosign import attestations

    reference = Reference.parse(source.reference)
    return attestations(connect(reference.registry, context, wanted.insecure), reference, source.image.digest)
