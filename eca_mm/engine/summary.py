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
    trained: bool = True  # else there was nothing left to train
    validated: bool = True  # then, else nothing at all was left
    unreadable: list[str] = field(default_factory=list)  # images that were passed over

    def __str__(self) -> str:
        lines = [f'Trained {self.config} in {self.seconds / 60:.1f} min']
        if not self.trained:
            lines = [
                f'{self.config} was trained already; {"its last validation" if self.validated else "nothing"} was run'
            ]
        lines += [f'  {name:<24} {value:.4f}' for name, value in self.metrics.items()]
        if (self.trained or self.validated) and not self.metrics:
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
            # mmengine wrote it, with the changes of the command line.
            config = self.work_dir / Path(self.config).name
            lines += [f'  test again   {shlex.join(["tools/test.py", str(config), str(self.checkpoint)])}']
        return '\n'.join(lines)
