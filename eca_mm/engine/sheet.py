"""A sheet of training images with their annotations, as the network gets them."""

import math
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, VISUALIZERS, DefaultScope

from eca_mm.engine.building import building
from eca_mm.engine.config.parts import is_classifier, is_rgb, scope_of
from eca_mm.engine.files import require
from eca_mm.engine.loading import with_guard
from eca_mm.engine.restored import restored_globals
from eca_mm.errors import UserError
from eca_mm.output import write_atomically

SIDE = 480  # pixels of a picture's longer side


@restored_globals()
def draw_sheet(cfg: Config, pictures: int, file: str | Path) -> Path:
    """Draws images of the training set, evenly spread, after the augmentation, with what the network is to find in them.

    Args:
        cfg: From :func:`eca_mm.engine.load_config`.
        pictures: How many.
        file: A name with a suffix that OpenCV writes.

    Raises:
        UserError: If the config is wrong, an image cannot be read, or the file not be written.
    """
    require(cfg, 'a sheet of pictures', 'train_dataloader')
    if pictures < 1:
        raise UserError(f'--draw must be a number of pictures, got {pictures}')
    with DefaultScope.overwrite_default_scope(scope_of(cfg)):
        with building('the training set', cfg.train_dataloader.dataset):
            dataset = DATASETS.build(with_guard(cfg.train_dataloader.dataset, scope_of(cfg), masks=False))
        kind = 'UniversalVisualizer' if is_classifier(cfg) else 'DetLocalVisualizer'
        visualizer = VISUALIZERS.build(dict(type=kind, name='sheet'))
        visualizer.dataset_meta = dataset.metainfo
        some = range(0, len(dataset), max(1, len(dataset) // pictures))[:pictures]
        drawn = (_draw(visualizer, dataset[i], is_rgb(cfg)) for i in some)
        tiles = [mmcv.impad(mmcv.imrescale(image, (SIDE, SIDE)), shape=(SIDE, SIDE)) for image in drawn]
    columns = math.ceil(math.sqrt(len(tiles)))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    return write_atomically(file, cv2.imencode(Path(file).suffix, np.vstack(rows)[..., ::-1])[1].tobytes())


def _draw(visualizer: Any, item: dict[str, Any], rgb: bool) -> Any:
    """(H, W, 3) RGB of a packed image, (3, H, W), RGB or BGR."""
    image = item['inputs'].permute(1, 2, 0).numpy()[..., :: 1 if rgb else -1]
    image = np.ascontiguousarray(image.clip(0, 255), np.uint8)
    sample = item['data_samples']
    if hasattr(visualizer, 'visualize_cls'):
        return visualizer.visualize_cls(image, sample, draw_pred=False)
    truth = sample.gt_instances
    truth.bboxes = getattr(truth.bboxes, 'tensor', truth.bboxes)
    visualizer.add_datasample('', image, sample, draw_pred=False)
    return visualizer.get_image()
