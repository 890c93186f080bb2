"""Training loop in epochs that resumes in the middle of one, with a whole optimiser step in each iteration."""

from collections import Counter
from itertools import islice
from typing import Any

from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop
from torch import Tensor


@LOOPS.register_module()
class ResumableEpochs(EpochBasedTrainLoop):
    """EpochBasedTrainLoop that resumes in the middle of an epoch, or with the validation of the epoch before.

    Where a step of the optimiser accumulates several batches, an iteration reads them all. Hooks then get the list of the batches
    as ``data_batch``, and the means of their losses as ``outputs``.

    Attributes:
        done: Iterations of the first epoch that were trained before; the batch sampler leaves out their images.
        validation_pending: An unfinished validation must be rerun on resume.
        validated: A validation was run.
    """

    done = 0
    validation_pending = False
    validated = False

    def run(self) -> None:
        wrapper, parts = self.runner.optim_wrapper, self.runner.parts
        if parts > 1:
            wrapper._accumulative_counts = parts
            # The runner's own call has counted iterations.
            wrapper.initialize_count_status(self.runner.model, parts * self._iter, parts * self._max_iters)
        self.runner.call_hook('before_train')
        if self.validation_pending:
            self._validate()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._validate()
        self.runner.call_hook('after_train')

    def _validate(self) -> None:
        self._decide_current_val_interval()
        due = self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs
        if self.runner.val_loop is not None and self._epoch >= self.val_begin and due:
            self.runner.val_loop.run()
            self.validated = True

    def run_epoch(self) -> None:
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        done, self.done = self.done, 0
        batches, parts = iter(self.dataloader), self.runner.parts
        steps = batches if parts == 1 else iter(lambda: list(islice(batches, parts)), [])
        for number, batch in enumerate(steps, done):
            self.run_iter(number, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: Any) -> None:
        if self.runner.parts == 1:
            super().run_iter(idx, data_batch)
            return
        place: Any = dict(batch_idx=idx, data_batch=data_batch)
        self.runner.call_hook('before_train_iter', **place)
        sums: dict[str, Any] = {}
        counts: Counter[str] = Counter()  # a head may leave a loss out where there is nothing to learn
        for part in data_batch:
            for key, value in self.runner.model.train_step(part, optim_wrapper=self.runner.optim_wrapper).items():
                sums[key] = sums.get(key, 0) + (value.detach() if isinstance(value, Tensor) else value)
                counts[key] += 1
        means = {key: value / counts[key] for key, value in sums.items()}
        self.runner.call_hook('after_train_iter', **place, outputs=means)
        self._iter += 1
