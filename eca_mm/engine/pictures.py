"""Pictures of what a network detects when its training ends."""

from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook

from eca_mm.engine.predict import predict


class PicturesHook(Hook):
    """Predicts the first images of the validation set with the last checkpoint when the training ends.

    Writes into ``pictures`` in the work directory, as :func:`eca_mm.engine.predict` does. Without a validation set or a
    checkpoint there are no pictures.

    For :class:`~eca_mm.engine.runner.StrictRunner`, which knows its last checkpoint.

    Args:
        images: How many.

    Attributes:
        folder: Where they are; None until then.
    """

    priority = 'LOWEST'  # after the hook that writes the checkpoint

    def __init__(self, images: int) -> None:
        self.images = images
        self.folder: Path | None = None

    @master_only
    def after_train(self, runner: Any) -> None:
        if runner.val_loop is None or runner.last_checkpoint is None:
            return
        dataset = runner.val_loop.dataloader.dataset
        files = [dataset.get_data_info(i)['img_path'] for i in range(min(self.images, len(dataset)))]
        self.folder = Path(runner.work_dir) / 'pictures'
        predict(runner.cfg, runner.last_checkpoint, files, self.folder)
