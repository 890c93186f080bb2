"""The summary of a training."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Summary:
    """What a training run leaves behind."""

    config: str
    work_dir: Path
    seconds: float
    checkpoint: Path | None  # the last one, or the one that a finished run was resumed from
    metrics: dict[str, float] = field(default_factory=dict)  # by name, of the last validation
    pictures: Path | None = None  # folder of pictures with detections
    finished_before: bool = False  # nothing was left to train or to validate
    only_validated: bool = False  # nothing was left to train
    unreadable: list[str] = field(default_factory=list)  # images that were passed over
    options: list[str] = field(default_factory=list)  # arguments with which tools/test.py sees the same data and model

    def __str__(self) -> str:
        lines = [f'Trained {self.config} in {self.seconds / 60:.1f} min']
        if self.only_validated:
            lines = [f'{self.config} was trained already: its last validation, which had not been finished, was run']
        lines += [f'  {name:<24} {value:.4f}' for name, value in self.metrics.items()]
        if self.finished_before:
            lines = [f'{self.config} was finished already: nothing was trained, and nothing validated']
        elif not self.metrics:
            lines += ['  no metrics: nothing was validated, or nothing at all was detected']
        if self.unreadable:
            some = f'{", ".join(self.unreadable[:4])}{", ..." * (len(self.unreadable) > 4)}'
            lines += [f'  unreadable   {len(self.unreadable)} of the images, passed over: {some}']
        if self.checkpoint:
            lines += [f'  checkpoint   {self.checkpoint}']
        if self.pictures:
            lines += [f'  pictures     {self.pictures}']
        if any(self.work_dir.rglob('events.out.tfevents*')):
            lines += [f'  curves       {shlex.join(["tensorboard", "--logdir", str(self.work_dir)])}']
        if self.checkpoint:
            test = ['tools/test.py', self.config, str(self.checkpoint), *self.options]
            lines += [f'  test again   {shlex.join(test)}']
        return '\n'.join(lines)
