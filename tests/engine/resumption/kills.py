"""Kills trainings at random moments, resumes them by the same command until they end, and compares their weights, bit for bit.

    python -m tests.engine.resumption.kills --kills 10 --folder /tmp/kills

For each kind of run one is left alone. The others are ended by SIGKILL or a signal at any moment: while it starts, trains,
validates, or while a checkpoint is being written; of two processes under torchrun one or all.
Prints the table of docs/clusters.md.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch

from tests.support import REPOSITORY

AUGMENTED = """
    dict(type='RandomResizedCrop', scale=32), dict(type='RandomFlip', prob=0.5), dict(type='ColorJitter', brightness=0.4),"""
CONFIG = """
_base_ = {base!r}
classes = ('a', 'b', 'c', 'd')
images_per_step = 8
model = dict(
    backbone=dict(
        depth=18, stem_channels=32, base_channels=32, kernel_size=3, drop_path_rate={drop_path},
        init_cfg=dict(type='Kaiming', layer='Conv2d')),
    head=dict(in_channels=256))
pipeline = [
    dict(type='LoadImageFromFile'),{augmented} dict(type='Resize', scale=32), dict(type='PackInputs')]
data = dict(data_root={data!r}, pipeline=pipeline)
train_dataloader = dict(batch_size={batch}, num_workers={workers}, persistent_workers={workers} > 0, dataset=data)
val_dataloader = dict(batch_size=8, num_workers=0, persistent_workers=False, dataset=dict(split='train', **data))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=4, val_interval=1)
param_scheduler = [dict(type='LinearLR', by_epoch=False, begin=0, end=20), dict(type='MultiStepLR', milestones=[2])]
optim_wrapper = dict(optimizer=dict(lr=0.01))
default_hooks = dict(
    logger=dict(interval=1), checkpoint=dict(max_keep_ckpts=1, save_best='accuracy/top1', rule='greater'))
custom_hooks = [{hooks}]
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
"""
PLAIN = dict(augmented='', drop_path=0.0, batch=8, workers=0, hooks='')
WHOLE = dict(augmented=AUGMENTED, drop_path=0.2, batch=8, workers=2, hooks='')
EMA = "dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=0.02)"
KINDS = {
    'plain': PLAIN,
    'augmented, two data workers': WHOLE,
    'augmented, accumulated twice': WHOLE | dict(batch=4),
    'augmented, accumulated twice, EMA': WHOLE | dict(batch=4, hooks=EMA),
    'augmented, two processes': WHOLE | dict(batch=4, workers=1),
}
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
DONE = re.compile(r'Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+)/(\d+)\]')


class Run:
    """One start of the command; notes when each iteration was done."""

    def __init__(self, command, folder):
        self.folder, self.begun, self.times, self.resumed = folder, time.monotonic(), {}, 0
        self.lines, self.validating = [], False
        self.process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONUNBUFFERED': '1'},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            if found := DONE.search(line):
                epoch, done, length = map(int, found.groups())
                self.times[(epoch - 1) * length + done] = time.monotonic()
                self.validating = done == length
            elif found := re.search(r'resumed epoch: \d+, iter: (\d+)', line):
                self.resumed, self.begun = int(found[1]), time.monotonic()

    def running(self):
        return self.process.poll() is None

    def wait_for(self, happened, most=60.0):
        end = time.monotonic() + most
        while self.running() and not happened() and time.monotonic() < end:
            time.sleep(0.0005)

    def writing(self):
        return any(name.endswith('.eca_mm.tmp') for name in os.listdir(self.folder)) if self.folder.exists() else False

    def kill(self, rng, distributed):
        """At a moment of one of four kinds; returns what was sent and when, or nothing if it had ended before."""
        moment = rng.choice(('starting', 'training', 'training', 'writing', 'validating'))
        if moment == 'starting':
            time.sleep(rng.uniform(0, 8))
        else:
            self.wait_for(lambda: self.times)
            time.sleep(rng.uniform(0, 5))
            if moment != 'training':
                self.wait_for(self.writing if moment == 'writing' else lambda: self.validating)
        number = signal.SIGKILL if moment == 'writing' or rng.random() < 0.5 else rng.choice(SIGNALS)
        if not self.running():
            return None
        one = distributed and number == signal.SIGKILL and rng.random() < 0.5 and self._ranks()
        at = time.monotonic()
        if one:
            os.kill(rng.choice(one), number)
        elif distributed and number != signal.SIGKILL:
            number = signal.SIGTERM
            self.process.send_signal(number)  # torchrun passes it on
        else:
            os.killpg(self.process.pid, number)
        return moment, number, at

    def _ranks(self):
        children = Path(f'/proc/{self.process.pid}/task/{self.process.pid}/children').read_text().split()
        return [int(child) for child in children if 'train.py' in Path(f'/proc/{child}/cmdline').read_text()]

    def end(self):
        code = self.process.wait(120)
        self.reader.join(30)
        return code


def lost(killed, at, resumed):
    """Seconds of training between the iteration from which the next run goes on and the kill."""
    if not killed.times or resumed > max(killed.times):
        return 0.0
    return max(0.0, at - killed.times.get(resumed, min(killed.times.values())))


def final(folder):
    (file,) = folder.glob('epoch_*.pth')
    state = torch.load(file, weights_only=False)
    parts = {name: state[name] for name in ('state_dict', 'ema_state_dict', 'optimizer') if name in state}
    best = [file.name for file in folder.glob('best_*')]
    return parts | dict(validated=json.loads((folder / 'validated.json').read_text()), best=best)


def equal(one, other):
    if isinstance(one, torch.Tensor):
        return one.equal(other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def measure(kind, options, kills, folder, rng):
    """The row of a kind of run."""
    distributed = 'processes' in kind
    config = folder / f'{re.sub("[^a-z]+", "_", kind)}.py'
    base = str(REPOSITORY / 'configs/imagenet/eca_resnet50.py')
    config.write_text(CONFIG.format(base=base, data=str(folder / 'data'), **options))

    def command(work):
        start = [sys.executable]
        if distributed:
            start += ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2']
        end = ['--launcher', 'pytorch'] if distributed else []
        train = [REPOSITORY / 'tools/train.py', config, '--work-dir', work, '--resume', '--checkpoint-every', '0.02']
        return [*map(str, [*start, *train, *end])]

    alone = Run(command(folder / f'{config.stem}_alone'), folder / f'{config.stem}_alone')
    assert alone.end() == 0, ''.join(alone.lines[-30:])
    expected, work = final(alone.folder), folder / config.stem
    seconds, runs, differing, pending, killed = [], 0, 0, None, 0
    while killed < kills or work.exists():
        run = Run(command(work), work)
        if pending:
            run.wait_for(lambda: run.times, 90)  # noqa: B023
            before, moment, number, at = pending
            seconds.append(lost(before, at, run.resumed))
            print(f'  {kind}: {moment}, {number.name}, lost {seconds[-1]:.1f} s, resumed at {run.resumed}', flush=True)
        sent = run.kill(rng, distributed) if killed < kills else None
        code, text, pending = run.end(), ''.join(run.lines), None
        if 'Traceback' in text and not (sent and sent[1] == signal.SIGKILL):
            print(text[-6000:])
        if code == 0:
            runs += 1
            if not equal(final(work), expected):
                differing += 1
                print(f'  {kind}: DIFFERS, {sent}')
                shutil.copytree(work, folder / f'{config.stem}_differing_{differing}')
            shutil.rmtree(work)
        elif sent:
            killed, pending = killed + 1, (run, *sent)
        else:
            raise SystemExit(f'{kind}: ended with {code}\n{text[-6000:]}')
    how = 'yes' if not differing else f'{differing} not'
    return f'| {kind} | {killed} | {runs} | {how} | {median(seconds):.1f} | {max(seconds):.1f} |'


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--kills', type=int, default=10, help='of each kind of run (%(default)s)')
    p.add_argument('--folder', type=Path, required=True, help='for data and runs')
    p.add_argument('--kinds', nargs='+', choices=KINDS, default=KINDS, help='(all)')
    p.add_argument('--seed', type=int, default=0, help='(%(default)s)')
    a = p.parse_args()
    a.folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0)
    for name in 'abcd':
        (a.folder / 'data/train' / name).mkdir(parents=True, exist_ok=True)
        for i in range(40):
            picture = pixels.integers(0, 256, (40, 48, 3), np.uint8)
            cv2.imwrite(str(a.folder / 'data/train' / name / f'{i}.png'), picture)
    rows = [measure(kind, KINDS[kind], a.kills, a.folder, random.Random(f'{a.seed} {kind}')) for kind in a.kinds]
    print('| run | kills | runs | equal to the bit | lost seconds, median | most |\n|---|--:|--:|---|--:|--:|')
    print(*rows, sep='\n')


if __name__ == '__main__':
    main()
