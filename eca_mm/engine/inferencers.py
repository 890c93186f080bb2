"""mmdet's and mmpretrain's inferencers of models that have their weights, with errors that name the image and whole files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.dataset import default_collate
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from eca_mm.checks import NamingPipeline
from eca_mm.engine.building import building
from eca_mm.engine.config.parts import datasets, is_classifier, is_rgb, scope_of
from eca_mm.output import write_atomically


def make_inferencer(model: Any) -> Any:
    """The inferencer of a model from :func:`eca_mm.load_model`, for use in its config's scope."""
    with building('a pipeline for images', model.cfg.to_dict()):
        return (_classifier if is_classifier(model.cfg) else _detector)(model.cfg.copy(), model)


def read_batch(model: Any, inferencer: Any, files: Sequence[str | Path]) -> dict[str, Any]:
    """Images that can be read as one batch of the model's pipeline, for its data preprocessor."""
    batch = next(iter(inferencer.preprocess([str(file) for file in files], batch_size=len(files))))
    return batch if is_classifier(model.cfg) else batch[1]


def preprocessed(model: Any, files: Sequence[Path]) -> Tensor:
    """Images (N, 3, H, W), resized, normalised and padded as in a test, on the model's device.

    Args:
        model: From :func:`eca_mm.load_model`.
        files: Images that can be read.
    """
    with DefaultScope.overwrite_default_scope(scope_of(model.cfg)):
        batch = read_batch(model, make_inferencer(model), files)
        return model.data_preprocessor(batch, False)['inputs']


def _detector(cfg: Any, model: Any) -> Any:
    from mmdet.apis import DetInferencer

    class Inferencer(DetInferencer):
        """With a model that has its weights, classes and colours."""

        def _init_model(self, *_: Any) -> nn.Module:
            return model

        def visualize(self, inputs: Any, preds: Any, *, img_out_dir: str = '', **options: Any) -> None:
            drawn = super().visualize(inputs, preds, **options | dict(return_vis=bool(img_out_dir)))
            for file, picture in zip(inputs, drawn or (), strict=False):
                name = Path(file).name
                _write(Path(img_out_dir, 'vis', name if cv2.haveImageWriter(name) else f'{name}.png'), picture)

        def pred2dict(self, data_sample: Any, pred_out_dir: str = '') -> dict[str, Any]:
            if 'pred_panoptic_seg' in data_sample:  # which is a picture too
                return super().pred2dict(data_sample, pred_out_dir)
            result = super().pred2dict(data_sample)
            if pred_out_dir:
                file = Path(pred_out_dir, 'preds', f'{Path(data_sample.img_path).stem}.json')
                write_atomically(file, json.dumps(result))
            return result

    # mmdet looks for the pipeline in the data loader's dataset, below no wrapper but ConcatDataset.
    cfg.test_dataloader = {**cfg.test_dataloader, 'dataset': next(datasets(cfg.test_dataloader))}
    if cfg.get('visualizer'):
        cfg.visualizer = dict(cfg.visualizer, vis_backends=[])  # these write into a run's work directory: there is none
    inferencer = Inferencer(cfg, scope=scope_of(cfg))
    inferencer.pipeline = NamingPipeline(inferencer.pipeline.transforms)
    return inferencer


def _classifier(cfg: Any, model: Any) -> Any:
    from mmpretrain import ImageClassificationInferencer
    from mmpretrain.visualization import UniversalVisualizer

    class Inferencer(ImageClassificationInferencer):
        def preprocess(self, inputs: Sequence[str], batch_size: int = 1) -> Any:
            turned = [_turn_channels] if is_rgb(cfg) else []
            pipeline = NamingPipeline([_read, *turned, *self.pipeline.transforms])
            yield from map(default_collate, self._get_chunk_data(map(pipeline, inputs), batch_size))

        def visualize(self, ori_inputs: Sequence[str], preds: Any, show_dir: Any = None) -> None:
            visualizer = UniversalVisualizer()
            for file, sample in zip(ori_inputs, preds, strict=True) if show_dir else ():
                image = _read(file)['img'][..., ::-1]
                drawn = visualizer.visualize_cls(
                    image, sample, classes=self.classes, draw_gt=False, name=Path(file).stem
                )
                _write(Path(show_dir, f'{Path(file).stem}.png'), drawn)

    return Inferencer(model, classes=model.dataset_meta.get('classes'))


def read_image(file: str) -> Any:
    """An image in BGR, or None. OpenCV gets its bytes: it opens no names that are not UTF-8, and would wait for a pipe."""
    path = Path(file)
    try:
        data = np.frombuffer(path.read_bytes() if path.is_file() else b'', np.uint8)
    except OSError:
        return None
    return cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None


def _read(file: str) -> dict[str, Any]:
    image: Any = read_image(file)
    return dict(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])


def _turn_channels(data: dict[str, Any]) -> dict[str, Any]:
    return data | dict(img=cv2.cvtColor(data['img'], cv2.COLOR_BGR2RGB))


def _write(file: Path, picture: Any) -> None:
    """An (H, W, 3) picture in RGB, in the format that the suffix tells."""
    write_atomically(file, cv2.imencode(file.suffix, picture[..., ::-1])[1].tobytes())
