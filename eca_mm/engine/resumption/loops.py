"""mmengine's training in epochs, from the middle of one too."""

from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop


@LOOPS.register_module()
class ResumableEpochs(EpochBasedTrainLoop):
    """EpochBasedTrainLoop that can begin in the middle of an epoch, or with the validation of the one before.

    Attributes:
        done: Batches of the first epoch that were trained before; the data loader must leave them out.
        owed: Whether the validation at the start, if one is due there, was not finished.
        validated: Whether it was run then.
    """

    done = 0
    owed = False
    validated = False

    def run(self) -> None:
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
