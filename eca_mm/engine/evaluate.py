"""Evaluating a checkpoint: metrics, and predictions in COCO's result format."""

from importlib import import_module
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process

from eca_mm.checkpoints.download import local_file
from eca_mm.engine.config.parts import evaluators, is_classifier, type_name
from eca_mm.engine.distributed import init_distributed
from eca_mm.engine.files import check_data, require
from eca_mm.engine.metrics import Metrics
from eca_mm.engine.restored import restored_globals
from eca_mm.engine.runner import StrictRunner, bare_model
from eca_mm.engine.tta import apply_tta
from eca_mm.errors import UserError
from eca_mm.models import fuse_for_inference
from eca_mm.output import full_disk, make_folder
from eca_mm.streams import lenient_streams


@restored_globals()
def evaluate(
    cfg: Config,
    checkpoint: str,
    *,
    out: str | None = None,
    launcher: str = 'none',
    fuse: bool = False,
    tta: bool = False,
) -> dict[str, float]:
    """Evaluates a checkpoint on the config's test set and writes ``metrics.json`` into the work directory.

    Args:
        cfg: From :func:`load_config`; changed in place.
        checkpoint: File or URL of the weights; or a whole detector's .onnx file, which is then evaluated itself.
        out: Prefix for predictions in COCO's result format: ``out.bbox.json`` and, with masks, ``out.segm.json``.
        launcher: 'none', 'pytorch' (torchrun), 'slurm' or 'mpi'.
        fuse: Test the model that :func:`eca_mm.models.fuse_for_inference` makes of it.
        tta: Test-time augmentation: by the config's ``tta_model`` and ``tta_pipeline``, or else a flip. ``metrics.json`` says so.

    Returns:
        The metrics, by mmengine's names: ``coco/bbox_mAP``, ``accuracy/top1``, ...; none where mmdet's CocoMetric has not
        a single detection to evaluate.

    Raises:
        MissingFileError: If data or the checkpoint are missing.
        UserError: If the config is wrong, the checkpoint cannot be read or does not fit, ``out`` is given for a metric
            that does not write COCO's format, or an output folder cannot be made.
    """
    places = ' or '.join(filter(None, (cfg.work_dir, out)))
    with lenient_streams(), full_disk(places, f', or choose another --work-dir{" or --out" if out else ""}'):
        return _evaluate(cfg, checkpoint, out, launcher, fuse, tta)


def _use_exported(cfg: Config, file: str, fuse: bool, tta: bool) -> None:
    """Have the config's test run an exported detector."""
    if is_classifier(cfg) or fuse:
        what = 'fuse is chosen when a file is exported' if fuse else f'{cfg.filename} is a classifier'
        raise UserError(f'{file}: only whole detectors are tested as ONNX, as they are, and {what}')
    import_module('eca_mm.engine.exported')
    if tta:
        raise UserError(
            f'{file}: test-time augmentation (tta) needs the network and its checkpoint, not an exported one'
        )
    cfg.model = dict(type='eca_mm.OnnxDetector', file=file, data_preprocessor=dict(type='mmdet.DetDataPreprocessor'))
    cfg.load_from, cfg.custom_hooks = None, []


def _evaluate(cfg: Config, checkpoint: str, out: str | None, launcher: str, fuse: bool, tta: bool) -> dict[str, float]:
    init_distributed(cfg, launcher)
    require(cfg, 'testing', 'test_dataloader', 'test_cfg', 'test_evaluator')
    local_file(str(checkpoint))  # a missing file is said before the data is read
    check_data(cfg, 'test_dataloader')
    if out is not None:
        coco = [e for e in evaluators(cfg, 'test') if type_name(e) == 'CocoMetric']
        if not coco:
            raise UserError(f'--out writes COCO results, and {cfg.filename} is not evaluated by CocoMetric')
        prefix = Path(out).expanduser()
        make_folder(prefix.parent, '--out')
        names = cfg.test_evaluator.get('dataset_prefixes') if isinstance(cfg.test_evaluator, dict) else None
        prefixes = [f'{prefix}.{name}' for name in names] if names else [str(prefix)]
        for metric, own in zip(coco, prefixes, strict=False):
            metric.outfile_prefix = own
    make_folder(cfg.work_dir, '--work-dir')
    cfg.load_from, cfg.resume = str(checkpoint), False
    if str(checkpoint).endswith('.onnx'):
        _use_exported(cfg, str(checkpoint), fuse, tta)

    if fuse:  # an average that the checkpoint already has in its weights, and that would be read into unfused ones
        cfg.custom_hooks = [hook for hook in cfg.get('custom_hooks') or [] if type_name(hook) != 'EMAHook']
    if tta:
        apply_tta(cfg)
    runner = StrictRunner(cfg, strict=True)
    runner.build_loop('test')
    if fuse:
        runner.load_or_resume()
        fuse_for_inference(bare_model(runner.model))
    metrics = runner.test()
    if is_main_process():
        # How far these weights were trained, or whose they are: the file's name may not tell.
        known = {key: runner.loaded_meta[key] for key in ('epoch', 'source') if key in runner.loaded_meta}
        images = len(runner.test_dataloader.dataset)
        config = f'{cfg.filename} with test-time augmentation' if tta else cfg.filename
        Metrics(metrics, images, config, str(checkpoint), **known).write(cfg.work_dir)
    return metrics
