"""Evaluating a checkpoint: metrics, and predictions in COCO's result format."""

import json
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process

from eca_mm.checkpoints import use_safe_loading
from eca_mm.engine.distributed import init_distributed
from eca_mm.engine.files import check_data
from eca_mm.engine.runner import build_runner, building


def evaluate(cfg: Config, checkpoint: str, *, out: str | None = None, launcher: str = 'none') -> dict[str, float]:
    """Evaluates a checkpoint on the config's test set and writes ``metrics.json`` into the work directory.

    Args:
        cfg: From :func:`load_config`; changed in place.
        checkpoint: File of the weights.
        out: Prefix for predictions in COCO's result format: ``out.bbox.json`` and, with masks, ``out.segm.json``.
        launcher: 'none', 'pytorch' (torchrun), 'slurm' or 'mpi'.

    Returns:
        The metrics, by mmengine's names: ``coco/bbox_mAP``, ``accuracy/top1``, ...

    Raises:
        FileNotFoundError: If data or the checkpoint are missing.
        ValueError: If the config is wrong, the checkpoint cannot be read or does not fit, or ``out`` is given for a
            metric that does not write COCO's format.
    """
    init_distributed(cfg, launcher)
    use_safe_loading()
    if not Path(checkpoint).expanduser().is_file():
        raise FileNotFoundError(f'checkpoint not found: {checkpoint}')
    check_data(cfg, 'test_dataloader')
    if out is not None:
        if str(cfg.test_evaluator.get('type')).split('.')[-1] != 'CocoMetric':
            raise ValueError(f'--out writes COCO results, and {cfg.filename} is not evaluated by CocoMetric')
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        cfg.test_evaluator.outfile_prefix = str(out)
    cfg.load_from, cfg.resume = None, False

    runner = build_runner(cfg)
    with building('a test set'):
        runner.test_loop  # noqa: B018  (this property builds)
    runner.strict = True
    runner.load_checkpoint(str(checkpoint))
    metrics = runner.test()
    if is_main_process():
        result = dict(config=cfg.filename, checkpoint=str(checkpoint), images=len(runner.test_dataloader.dataset))
        file = Path(cfg.work_dir) / 'metrics.json'
        file.write_text(json.dumps(dict(result, metrics=metrics), indent=2) + '\n')
    return metrics
