"""Whether a checkpoint file is as it was written."""

import zipfile
import zlib
from pathlib import Path


def damage(file: str | Path) -> str | None:
    """What is wrong with an archive that ``torch.save`` wrote: each of its entries has a checksum, which torch does not check.

    Returns:
        None for one that is whole; also for a file that is no such archive, and has no checksum.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entry = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, ValueError) as error:
        return str(error) if zipfile.is_zipfile(file) else None
    return f'{entry} is not what its checksum says' if entry else None
