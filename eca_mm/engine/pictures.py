"""Pictures of what a network detects when its training ends."""

from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook

from eca_mm.engine.model import load_model
from eca_mm.engine.predict import predict
from eca_mm.errors import UserError


class PicturesHook(Hook):
    """Predicts the first images of the validation set, if there is one, with a StrictRunner's last checkpoint after training.

    Writes into ``pictures`` in the work directory, as :func:`eca_mm.engine.predict` does.

    Args:
        images: How many.

    Raises:
        UserError: If ``images`` is no number of images.
    """

    priority = 'LOWEST'  # after the hook that writes the checkpoint

    def __init__(self, images: int) -> None:
        if not isinstance(images, int) or images < 0:
            raise UserError(f'pictures must be a number of images, got {images!r}')
        self.images = images
        self.folder: Path | None = None  # where they are, then

    @master_only
    def after_train(self, runner: Any) -> None:
        if self.images and runner.val_loop and runner.last_checkpoint:
            dataset = runner.val_loop.dataloader.dataset
            files = [dataset.get_data_info(i)['img_path'] for i in range(min(self.images, len(dataset)))]
            self.folder = Path(runner.work_dir) / 'pictures'
            predict(load_model(runner.cfg, runner.last_checkpoint), files, self.folder)
