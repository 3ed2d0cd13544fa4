"""``docker import``: one image of one layer, from the tar of a root file system."""

from __future__ import annotations

import msgspec

from labdock.errors import Corrupt
from labdock.images.image import Image
from labdock.images.store import Images
from labdock.schema.oci import LAYER_TAR, History, ImageConfig
from labdock.store.layers.compression import Plain
from labdock.store.layers.reader import Source
from labdock.store.snapshots import Layer

_PIECE = 1 << 20


def import_tar(images: Images, tar: Source, config: ImageConfig, message: str, names: tuple[str, ...]) -> Image:
    """The image of *config* over the file tree in *tar*, compressed or not. Blocking; for worker threads.

    ``config.created`` is when. Raises Corrupt for what is no tar; nothing of it stays then.
    """
    with images.leases.hold() as hold, images.content.ingest(f"import-{id(hold)}") as ingest:
        plain = Plain(tar)
        while piece := plain.read(_PIECE):
            ingest.write(piece)
        if not ingest.tell():
            raise Corrupt("there is nothing to import: the tar is empty")
        digest, size = f"sha256:{ingest.hexdigest}", ingest.tell()
        hold.add(digest)
        ingest.commit()
        layer = Layer(LAYER_TAR, digest, size, digest)
        kept = False
        try:
            images.unpack_layers([layer])
            history = (History(created=config.created, comment=message or "Imported from -"),)
            made = images.assemble(msgspec.structs.replace(config, history=history), [layer], names)
            kept = True
            return made
        finally:
            if not kept:
                hold.release()
                if digest not in images.roots():
                    images.leases.free(digest)
