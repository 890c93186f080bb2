"""mmengine's Runner, strict where it is lenient, with sentences for what a config gets wrong."""

import copy
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner

from eca_mm.checkpoints import check_checkpoint
from eca_mm.datasets import SeededBatchSampler
from eca_mm.datasets.guarded import allow_unreadable, guarded
from eca_mm.engine.building import ConfigError, building
from eca_mm.engine.channels import check_channels
from eca_mm.engine.config.batch import Batch
from eca_mm.engine.config.options import RUNNER_KEYS
from eca_mm.engine.config.parts import annotation_files, evaluates_masks, scope_of, type_name
from eca_mm.engine.files import check_first_image
from eca_mm.engine.loading import with_components
from eca_mm.engine.preflight import check_classes, check_evaluated_file
from eca_mm.engine.resumption.changes import REFUSED, Change, RunRecord, check_changes
from eca_mm.engine.resumption.changes import table as changes_table
from eca_mm.engine.resumption.loops import ResumableEpochs
from eca_mm.engine.resumption.optimization import load_optimizer, load_optimizer_with_new_settings, take_new_schedule
from eca_mm.engine.resumption.removing import SafeCheckpointHook
from eca_mm.engine.resumption.resuming import resume_position
from eca_mm.engine.resumption.saving import WRITING, PreemptionHook
from eca_mm.errors import UserError


def _saying(what: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of Runner that says what could not be built from its arguments, which are parts of the config."""

    @wraps(method)
    def build(self: Runner, *args: Any, **kwargs: Any) -> Any:
        with building(what, [args, kwargs]):
            return method(self, *args, **kwargs)

    return build


class StrictRunner(Runner):
    """Runner that resumes and tests a checkpoint only if every weight of it fits the model.

    mmengine's own loads what fits and warns. Fine-tuning with ``load_from`` keeps that leniency: there it is the point.

    Args:
        cfg: The config; with ``resume`` set, ``load_from`` is the checkpoint to resume.
        strict: Whether the weights of ``load_from`` must fit; those of a resumed run always must.
        batch: The split of the batch, which the message hub keeps, hence the checkpoints do.
        skip_unreadable: How many images of the training set may be unreadable.
        record: What decides the weights of the run; checkpoints hold it, and a resumed run is compared with it.

    Attributes:
        changes: The differences from the run that the resumed checkpoint was written by.
        last_checkpoint: What this run has written last, or was resumed from; None before the first.
        last_saved_iter: The iteration of that checkpoint.
        resumed_iter: The iteration that this run began at.
        batch: The split of the batch.
        batch_sampler: Of the training; None before its loop is built, and for a dataset without indices.
        loaded_meta: What the checkpoint that was loaded says of itself.

    Raises:
        UserError: If the config is wrong.
    """

    optim_wrapper: Any  # its config, until `train` builds it

    # The schedule is built only after the optimiser, in `train`.
    set_randomness = _saying('a seed (randomness)', Runner.set_randomness)
    _build_model = _saying('a model', Runner.build_model)
    build_visualizer = _saying('a visualizer', Runner.build_visualizer)
    register_hooks = _saying('the hooks', Runner.register_hooks)
    build_evaluator = _saying('an evaluator', Runner.build_evaluator)
    build_optim_wrapper = _saying('an optimiser', Runner.build_optim_wrapper)
    build_param_scheduler = _saying('a schedule (param_scheduler)', Runner.build_param_scheduler)

    def __init__(
        self,
        cfg: Config,
        *,
        strict: bool = False,
        batch: Batch | None = None,
        skip_unreadable: int = 0,
        record: RunRecord | None = None,
    ) -> None:
        self.record = record
        self.changes: list[Change] = []
        self.skip_unreadable = skip_unreadable
        self.resuming = bool(cfg.get('resume'))
        self.strict = strict or self.resuming
        self.last_checkpoint = Path(cfg.load_from) if self.resuming else None
        self.resumed_iter = self.last_saved_iter = 0
        self.batch = batch
        self.batch_sampler: SeededBatchSampler | None = None
        self.kind = ''  # of the loop that is being built
        self.loaded_meta: dict[str, Any] = {}
        cfg = copy.deepcopy(cfg)
        with building('a run', cfg.to_dict()):
            super().__init__(**{key: cfg[key] for key in RUNNER_KEYS & cfg.keys()}, cfg=cfg)
        self.message_hub.update_info('batch', self.batch and asdict(self.batch))
        if self.parts > 1:  # the loop sets it, and mmengine is not to count iterations as parts
            self.optim_wrapper = dict(self.optim_wrapper, accumulative_counts=1)

    def build_model(self, model: Any) -> Any:
        built = self._build_model(model)
        check_channels(built)
        return built

    def register_hook(self, hook: Any, priority: Any = None) -> None:
        if isinstance(hook, dict) and type_name(hook) == 'CheckpointHook':
            hook = {'backend_args': dict(backend='eca_mm.atomic'), **hook, 'type': SafeCheckpointHook}
        super().register_hook(hook, priority)

    def build_train_loop(self, loop: Any) -> Any:
        if isinstance(loop, dict) and (
            type_name(loop) in ('EpochBasedTrainLoop', 'ResumableEpochs') or loop.get('by_epoch')
        ):
            loop = {**{key: value for key, value in loop.items() if key != 'by_epoch'}, 'type': ResumableEpochs}
        elif isinstance(loop, dict) and self.parts > 1:
            raise UserError(f'images_per_step goes with EpochBasedTrainLoop, not {type_name(loop)}: remove one of them')
        return super().build_train_loop(loop)

    def build_loop(self, kind: str) -> None:
        """Builds the loop of a kind, 'train', 'val' or 'test', if there is one, with its data.

        Raises:
            MissingFileError: If the file of the first image is missing.
            UserError: If the config is wrong, the annotations cannot be read, or there is no image.
        """
        loader = self.cfg.get(f'{kind}_dataloader')
        check_evaluated_file(self.cfg, kind)
        data = ', '.join(map(str, annotation_files(loader))) or 'its data'
        try:
            with building(f'the {kind} loop with {data}', [loader, self.cfg.get(f'{kind}_cfg')]):
                self.kind = kind
                loop = getattr(self, f'{kind}_loop')  # this property builds
        except ConfigError as error:
            if 'need at least one array to concatenate' not in str(error):  # mmengine joins the annotations of no image
                raise
            raise UserError(f'{data}: no image for the {kind} loop, or none with an object of its classes') from error
        if loop is not None:
            dataset = loop.dataloader.dataset
            check_first_image(loader, dataset)
            check_classes(self.cfg, self.model, dataset, kind)
            if kind == 'train':
                allow_unreadable(guarded(dataset), self.skip_unreadable)
                own = getattr(loop.dataloader, 'batch_sampler', None)
                self.batch_sampler = own if isinstance(own, SeededBatchSampler) else None

    def build_dataloader(self, dataloader: Any, seed: int | None = None, diff_rank_seed: bool = False) -> Any:
        if isinstance(dataloader, dict):
            dataloader = with_components(
                dataloader,
                scope_of(self.cfg),
                self.seed,
                masks=evaluates_masks(self.cfg, self.kind),
                train=self.kind == 'train',
                accumulation=self.parts,
            )
        return Runner.build_dataloader(dataloader, seed, diff_rank_seed)

    @property
    def parts(self) -> int:
        """Batches of an iteration, which are accumulated."""
        return self.batch.accumulation if self.batch else 1

    @property
    def accumulation(self) -> int:
        """Iterations in a step of the optimiser: more than one if the config itself accumulates."""
        return 1 if self.batch else getattr(self.optim_wrapper, '_accumulative_counts', 1)

    @property
    def steps(self) -> int:
        """Whole steps of the optimiser so far."""
        return self.iter // self.accumulation

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        if meta := kwargs.get('meta'):
            kwargs['meta'] = meta | dict(steps=meta['iter'] // self.accumulation)
            if self.record is not None and is_main_process():
                kwargs['meta']['run'] = self.record.describe(self.train_dataloader.dataset)
        super().save_checkpoint(out_dir, filename, *args, **kwargs)
        if not filename.startswith('best_'):  # the hook's copy, without the optimiser
            self.last_saved_iter = (kwargs.get('meta') or {}).get('iter', self.last_saved_iter)
            if not filename.startswith('resume_'):  # which may still be in memory
                self.last_checkpoint = Path(out_dir) / filename

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        if fn_name == 'after_load_checkpoint':  # read, and not yet in the model
            self._check(kwargs['checkpoint'])
        preemption = next((hook for hook in self._hooks if isinstance(hook, PreemptionHook)), None)
        if preemption is not None and fn_name in WRITING:
            preemption.call_all(self, fn_name, **kwargs)
        else:
            super().call_hook(fn_name, **kwargs)

    def _check(self, checkpoint: dict[str, Any]) -> None:
        self.loaded_meta, file = checkpoint.get('meta') or {}, self._load_from
        if self.strict:
            check_checkpoint(bare_model(self.model), checkpoint, file)
        missing = [key for key in ('meta', 'message_hub', 'optimizer') if key not in checkpoint]
        if self.resuming and missing:
            raise UserError(
                f'{file} has no {", ".join(missing)}: it holds weights, not a run to resume; to start from these weights, '
                f'--cfg-options load_from={file}'
            )
        if self.resuming:
            if self.record is not None and 'run' in self.loaded_meta:
                self.changes = self.record.compare(self.loaded_meta['run'], self.train_dataloader.dataset)
            load = load_optimizer_with_new_settings if self.new_optimization else load_optimizer
            load(self, checkpoint.pop('optimizer'), str(file))

    @property
    def new_optimization(self) -> bool:
        """Whether a resumed run takes other settings of the optimiser or its schedules than the checkpoint's."""
        names = ('optim_wrapper', 'param_scheduler')
        changed = any(change.effect == REFUSED and change.key.startswith(names) for change in self.changes)
        return changed and self.record is not None and self.record.with_changes

    def resume(self, filename: str, **kwargs: Any) -> None:
        """Resumes weights, optimiser, schedules, counters and the place in the epoch.

        Raises:
            UserError: If the checkpoint cannot be read, its weights or the state of its optimiser do not fit, or it holds weights
                only; also as :func:`resume_position`.
        """
        seed = self.seed
        super().resume(filename, **kwargs)
        if self.record is not None and self.record.with_changes and self.seed != seed:
            self._randomness_cfg.update(seed=seed)
            self.set_randomness(**self._randomness_cfg)
        loader, theirs = self.train_dataloader, self.message_hub.runtime_info.get('batch')
        parts: list[Any] = [loader.sampler, self.batch_sampler, self.batch_sampler and self.batch_sampler.sampler]
        for part in parts:
            if hasattr(part, 'seed'):
                part.seed = self.seed  # the checkpoint's, unless a new one is wanted
        resume_position(self, filename, theirs)
        self._report_changes(filename)
        if self.new_optimization:
            take_new_schedule(self)
        self.message_hub.update_info('batch', self.batch and asdict(self.batch))
        self.resumed_iter = self.last_saved_iter = self.iter

    def _report_changes(self, file: str) -> None:
        if self.record is None:
            return
        if 'run' not in self.loaded_meta:
            self.logger.warning(f'{file} does not say with which settings it was trained: they are not compared')
        check_changes(self.changes, file, self.record.with_changes)
        if self.changes:
            self.logger.warning(f'Settings that differ from those of {file}:\n{changes_table(self.changes)}')
        self.cfg.randomness = dict(self.cfg.get('randomness') or {}, seed=self.seed)
        super().dump_config()  # what runs

    def dump_config(self) -> None:
        """Write the config into the work directory; of a resumed run only after it is compared with the checkpoint's."""
        if not self.resuming:
            super().dump_config()


def bare_model(model: Any) -> Any:
    """The model without the wrappers of distributed training and test-time augmentation."""
    if is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        return bare_model(model.module)
    return model
