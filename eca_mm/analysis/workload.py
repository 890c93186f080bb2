"""What a model does while it is timed, and the memory that it takes."""

import importlib
import importlib.util
import platform
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from eca_mm.analysis.memory import peak_of_cpu, saved_for_backward
from eca_mm.errors import UserError

MODES = ('train', 'finetune', 'inference')
VERSIONS = ('torch', 'torchvision', 'timm', 'mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'eca_mm')


class BenchmarkModel(NamedTuple):
    """A model to measure."""

    name: str  # of its config, or 'timm/...'
    baseline: str  # the network without attention that it is compared with: of the same library and group
    build: Callable[[], nn.Module]  # with random weights
    detector: bool = False  # whether it takes mmdet's batches


@dataclass(frozen=True)
class BenchmarkSettings:
    """What is measured, and how.

    Raises:
        UserError: If a number is not positive or the device cannot be used.
    """

    # 'train': forward, loss, backward and a step of SGD; 'finetune': the same with all batch norms on their running
    # statistics, as detectors are trained (norm_eval); 'inference': logits, or a detector's predictions.
    modes: Sequence[str] = ('train', 'inference')
    rounds: int = 20  # after the first one, which warms up; every model has its turn in every round
    iterations: int = 5  # batches in a turn
    batch: int = 8  # images
    size: int | None = None  # height and width of the images in pixels; by default 224, and 800 x 1333 for detectors
    device: str = 'cpu'  # or 'cuda'
    amp: bool = False  # torch's mixed precision in its default type: float16 on a GPU, bfloat16 on a CPU
    channels_last: bool = False  # memory format of weights and images
    compile: bool = False  # torch.compile with its defaults
    threads: int | None = None  # of torch on the CPU; by default as many as torch chooses

    def __post_init__(self) -> None:
        for name in ('rounds', 'iterations', 'batch', 'size', 'threads'):
            if (value := getattr(self, name)) is not None and value < 1:
                raise UserError(f'{name} must be at least 1, got {value}')
        if self.rounds < 2:
            raise UserError('rounds must be at least 2: one alone has no spread')
        if self.device == 'cuda' and not torch.cuda.is_available():
            raise UserError('device cuda needs a GPU, and torch sees none: choose cpu')
        if self.batch == 1 and (self.size or 224) <= 32 and 'train' in self.modes:
            raise UserError('batch norm cannot train on one value per channel: choose batch 2 or size 64')

    @property
    def device_name(self) -> str:
        if self.device == 'cuda':
            return torch.cuda.get_device_name()
        cpus = Path('/proc/cpuinfo')
        found = re.search(r'model name\s*: (.+)', cpus.read_text()) if cpus.is_file() else None
        return f'CPU {found[1] if found else platform.processor() or platform.machine()}'

    def header(self) -> dict[str, object]:
        """What a measurement is of, by name."""
        amp = str(torch.get_autocast_dtype(self.device)).removeprefix('torch.')
        return {
            'device': self.device_name,
            'dtype': f'amp-{amp}' if self.amp else 'float32',
            'layout': 'channels_last' if self.channels_last else 'contiguous',
            'compile': self.compile,
            'batch': self.batch,
            'size': self.size or '224 (detectors 800 x 1333)',
            'threads': torch.get_num_threads(),
            'iterations per round': self.iterations,
            'tf32 convolutions': self.device == 'cuda' and torch.backends.cudnn.allow_tf32,
            'date': f'{datetime.now():%Y-%m-%d %H:%M}',
            'python': platform.python_version(),
            **{name: importlib.import_module(name).__version__ for name in VERSIONS if importlib.util.find_spec(name)},
        }

    def file_name(self) -> str:
        """States the settings and the second, so that no earlier measurement is overwritten."""
        about = self.header()
        device = 'cpu' if self.device == 'cpu' else re.sub(r'\W+', '-', self.device_name.lower())
        parts = ['speed', device, about['dtype'], about['layout'], *['compile'] * self.compile, f'b{self.batch}']
        version = torch.__version__.split('+')[0]
        return '-'.join(map(str, [*parts, f'torch{version}', f'{datetime.now():%Y%m%d_%H%M%S}'])) + '.csv'


@contextmanager
def seeded() -> Iterator[None]:
    """The same random numbers each time; torch's generators are afterwards as they were."""
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(0)
        yield


class Workload:
    """A model on its device with a fixed batch of random images (N, 3, H, W), already normalised.

    Classifiers: logits, and cross-entropy with random labels. Detectors: mmdet's losses with up to nine random boxes an
    image, and the whole ``predict``. With random weights they find nothing, so mask heads idle in inference; on images
    far smaller than 300 pixels the number of proposals, and so the work, depends on the weights.

    Attributes:
        peak: By mode, the most bytes that were allocated for this model's weights, buffers, momentum, gradients and
            activations, without the images: on a GPU in the turns, on a CPU in a step after them. All models stay on the
            device; the others' bytes are subtracted.
    """

    @seeded()
    def __init__(self, model: BenchmarkModel, settings: BenchmarkSettings) -> None:
        self.settings = settings
        self.peak: dict[str, int] = {}
        device, default = settings.device, (800, 1333) if model.detector else (224, 224)
        shape = 3, *((settings.size, settings.size) if settings.size else default)
        layout = torch.channels_last if settings.channels_last else torch.contiguous_format
        raw: Any = model.build()
        raw.to(device=device, memory_format=layout)
        self.model: Any = torch.compile(raw) if settings.compile else raw
        # At a rate of 0 every round has the same weights; the operations are those of any other rate.
        learning = [p for p in raw.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(learning, lr=0.0, momentum=0.9, weight_decay=1e-4)
        self.scaler = torch.amp.GradScaler(device, enabled=settings.amp and device == 'cuda')
        if model.detector:
            from mmdet.testing import demo_mm_inputs

            batch = demo_mm_inputs(settings.batch, shape, num_classes=80, with_mask=raw.with_mask)
            data = raw.data_preprocessor(batch, True)
            images, samples = data['inputs'].contiguous(memory_format=layout), data['data_samples']
            unlabelled = deepcopy(samples)  # predictions are written into them
            self._predict = lambda: self.model(images, unlabelled, mode='predict')
            self._loss = lambda: raw.parse_losses(self.model(images, samples, mode='loss'))[0]
        else:
            images = torch.randn(settings.batch, *shape, device=device).contiguous(memory_format=layout)
            labels = torch.randint(1000, (settings.batch,), device=device)
            self._predict = lambda: self.model(images)
            self._loss = lambda: nn.functional.cross_entropy(self.model(images), labels)

    def loss(self) -> Tensor:
        with torch.autocast(self.settings.device, enabled=self.settings.amp):
            return self._loss()

    def _step(self, mode: str) -> None:
        if mode != 'inference':
            self.scaler.scale(self.loss()).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.optimizer.zero_grad()
        else:
            with torch.inference_mode(), torch.autocast(self.settings.device, enabled=self.settings.amp):
                self._predict()

    def turn(self, mode: str) -> float:
        """Seconds for the batches of one turn."""
        self._set(mode)
        on_gpu = self.settings.device == 'cuda'
        if on_gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            others = torch.cuda.memory_allocated() - self._resident()
        start = perf_counter()
        for _ in range(self.settings.iterations):
            self._step(mode)
        if on_gpu:
            torch.cuda.synchronize()
            self.peak[mode] = max(self.peak.get(mode, 0), torch.cuda.max_memory_allocated() - others)
        return perf_counter() - start

    def _set(self, mode: str) -> None:
        self.model.train(mode != 'inference')
        if mode == 'finetune':
            for layer in self.model.modules():
                if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                    layer.eval()

    def _resident(self) -> int:
        """Bytes of weights, buffers and momentum."""
        momenta = (v for state in self.optimizer.state.values() for v in state.values() if torch.is_tensor(v))
        return sum(t.nbytes for t in (*self.model.parameters(), *self.model.buffers(), *momenta))

    def memory(self, mode: str) -> dict[str, Any]:
        """In MiB; what cannot be measured is left out."""
        self._set(mode)
        if self.settings.device == 'cpu':
            self.peak[mode] = self._resident() + peak_of_cpu(lambda: self._step(mode))
        memory = {'peak_memory_MiB': self.peak[mode] / 2**20}
        if mode != 'inference':
            memory['saved_for_backward_MiB'] = saved_for_backward(self.model, self.loss) / 2**20
        return memory
