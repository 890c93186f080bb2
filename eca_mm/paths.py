"""Where the repository and its configs are."""

from pathlib import Path

PACKAGE = Path(__file__).parent
REPOSITORY = PACKAGE.parent  # of an installed package: the folder of site-packages
CONFIGS = MIM if (MIM := PACKAGE / '.mim/configs').is_dir() else REPOSITORY / 'configs'


def config_name(file: str | Path) -> str:
    """A config's name in the model index: ``configs/imagenet/eca_resnet50.py``; of one from elsewhere the file's name."""
    file = Path(file).resolve()
    return file.relative_to(REPOSITORY).as_posix() if file.is_relative_to(REPOSITORY) else file.name
