"""mmengine's training in epochs, from the middle of one too, with a whole step of the optimiser in each iteration."""

from typing import Any

from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop


@LOOPS.register_module()
class ResumableEpochs(EpochBasedTrainLoop):
    """EpochBasedTrainLoop that can begin in the middle of an epoch, or with the validation of the one before.

    Where a StrictRunner has a :class:`~eca_mm.engine.batch.Batch`, an iteration accumulates the gradients of all parts of a
    step. Hooks get the list of the parts as ``data_batch``, and the means of their losses as ``outputs``.

    Attributes:
        done: Batches of the first epoch that were trained before; the data loader must leave them out.
        owed: Whether the validation at the start, if one is due there, was not finished.
        validated: Whether it was run then.
    """

    done = 0
    owed = False
    validated = False

    def run(self) -> None:
        if batch := self.runner.batch:
            wrapper, parts = self.runner.optim_wrapper, batch.accumulation
            wrapper._accumulative_counts = parts
            # The runner's own call has counted iterations.
            wrapper.initialize_count_status(self.runner.model, parts * self._iter, parts * self._max_iters)
        self.runner.call_hook('before_train')
        if self.owed:
            self.validated = self._validate()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._validate()
        self.runner.call_hook('after_train')

    def _validate(self) -> bool:
        self._decide_current_val_interval()
        due = self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs
        if self.runner.val_loop is None or self._epoch < self.val_begin or not due:
            return False
        self.runner.val_loop.run()
        return True

    def run_epoch(self) -> None:
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        done, self.done = self.done, 0
        for number, batch in enumerate(self.dataloader, done):
            self.run_iter(number, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: Any) -> None:
        runner, place = self.runner, dict(batch_idx=idx, data_batch=data_batch)
        runner.call_hook('before_train_iter', **place)
        parts = data_batch if runner.batch else [data_batch]
        found = [runner.model.train_step(part, optim_wrapper=runner.optim_wrapper) for part in parts]
        outputs = {key: sum(part[key] for part in found) / len(found) for key in found[0]}
        runner.call_hook('after_train_iter', **place, outputs=outputs)
        self._iter += 1
