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
from typing import Any

import torch
from torch import Tensor, nn

from eca_mm.errors import UserError

MODES = ('train', 'inference')
VERSIONS = ('torch', 'torchvision', 'timm', 'mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'eca_mm')
MIB = 2**20


@dataclass(frozen=True)
class BenchmarkModel:
    """A model to measure.

    Attributes:
        name: Of its config, or 'timm/...'.
        baseline: Name of the network without attention that it is compared with: of the same library and group.
        build: Makes it, with random weights.
        detector: Whether it takes mmdet's batches.
    """

    name: str
    baseline: str
    build: Callable[[], nn.Module]
    detector: bool = False


@dataclass(frozen=True)
class BenchmarkSettings:
    """What is measured, and how.

    Attributes:
        modes: 'train': forward, loss, backward and a step of SGD; 'inference': logits, or a detector's predictions.
        rounds: Number of rounds after the first one, which warms up. Every model has its turn in every round.
        iterations: Batches in a turn.
        batch: Images in a batch.
        size: Height and width of the images in pixels; by default 224, and 800 for detectors.
        device: 'cpu' or 'cuda'.
        amp: torch's automatic mixed precision in its default type: float16 on a GPU, bfloat16 on a CPU.
        channels_last: Memory format of weights and images.
        compile: ``torch.compile`` with its defaults.
        threads: Of torch on the CPU; by default as many as torch chooses.

    Raises:
        UserError: If a number is not positive or the device cannot be used.
    """

    modes: Sequence[str] = MODES
    rounds: int = 20
    iterations: int = 5
    batch: int = 8
    size: int | None = None
    device: str = 'cpu'
    amp: bool = False
    channels_last: bool = False
    compile: bool = False
    threads: int | None = None

    def __post_init__(self) -> None:
        for name in ('rounds', 'iterations', 'batch', 'size', 'threads'):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UserError(f'{name} must be at least 1, got {getattr(self, name)}')
        if self.rounds < 2:
            raise UserError('rounds must be at least 2: one alone has no spread')
        if self.device == 'cuda' and not torch.cuda.is_available():
            raise UserError('device cuda needs a GPU, and torch sees none: choose cpu')
        if self.batch == 1 and (self.size or 224) <= 32 and 'train' in self.modes:
            raise UserError('batch norm cannot train on one value per channel: choose batch 2 or size 64')

    @property
    def dtype(self) -> str:
        amp = str(torch.get_autocast_dtype(self.device)).removeprefix('torch.')
        return f'amp-{amp}' if self.amp else 'float32'

    @property
    def layout(self) -> str:
        return 'channels_last' if self.channels_last else 'contiguous'

    @property
    def device_name(self) -> str:
        if self.device == 'cuda':
            return torch.cuda.get_device_name()
        try:
            found = re.search(r'model name\s*: (.+)', Path('/proc/cpuinfo').read_text())
        except OSError:
            found = None
        return f'CPU {found[1] if found else platform.processor() or platform.machine()}'

    @property
    def file_name(self) -> str:
        """States the settings and the minute, so that no earlier measurement is overwritten."""
        device = 'cpu' if self.device == 'cpu' else re.sub(r'\W+', '-', self.device_name.lower())
        parts = ['speed', device, self.dtype, self.layout, *['compile'] * self.compile, f'b{self.batch}']
        version = torch.__version__.split('+')[0]
        return '-'.join([*parts, f'torch{version}', f'{datetime.now():%Y%m%d_%H%M%S}']) + '.csv'

    def header(self) -> dict[str, object]:
        return {
            'device': self.device_name,
            'dtype': self.dtype,
            'layout': self.layout,
            'compile': self.compile,
            'batch': self.batch,
            'size': self.size or '224 (detectors 800)',
            'threads': torch.get_num_threads(),
            'iterations per round': self.iterations,
            'tf32 convolutions': self.device == 'cuda' and torch.backends.cudnn.allow_tf32,
            'date': f'{datetime.now():%Y-%m-%d %H:%M}',
            'python': platform.python_version(),
            **{name: importlib.import_module(name).__version__ for name in VERSIONS if importlib.util.find_spec(name)},
        }


@contextmanager
def seeded() -> Iterator[None]:
    """The same random numbers each time; torch's generators are afterwards as they were."""
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(0)
        yield


class Workload:
    """A model on its device with a fixed batch of random images (N, 3, size, size), already normalised.

    Classifiers: logits, and cross-entropy with random labels. Detectors: mmdet's losses with up to nine random boxes an
    image, and the whole ``predict``. With random weights they find nothing, so mask heads idle in inference; on images
    far smaller than 300 pixels the number of proposals, and so the work, depends on the weights.

    Attributes:
        peak: By mode, on a GPU: the most bytes that were allocated for this model's weights, buffers, momentum, gradients
            and activations, without the images. All models stay on the device; the others' bytes are subtracted.
    """

    def __init__(self, model: BenchmarkModel, settings: BenchmarkSettings) -> None:
        self.settings = settings
        self.peak: dict[str, int] = {}
        with seeded():
            self._build(model, settings)

    def _build(self, model: BenchmarkModel, settings: BenchmarkSettings) -> None:
        layout = torch.channels_last if settings.channels_last else torch.contiguous_format
        raw: Any = model.build()
        raw.to(device=settings.device, memory_format=layout)
        self.model: Any = torch.compile(raw) if settings.compile else raw
        size = settings.size or (800 if model.detector else 224)
        # At a rate of 0 every round has the same weights; the operations are those of any other rate.
        learning = [p for p in raw.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(learning, lr=0.0, momentum=0.9, weight_decay=1e-4)
        self.scaler = torch.amp.GradScaler(settings.device, enabled=settings.amp and settings.device == 'cuda')
        if model.detector:
            self._use_boxes(raw, size, layout)
        else:
            self._use_labels(size, layout)

    def _use_labels(self, size: int, layout: torch.memory_format) -> None:
        n, device = self.settings.batch, self.settings.device
        images = torch.randn(n, 3, size, size, device=device).contiguous(memory_format=layout)
        labels = torch.randint(1000, (n,), device=device)
        self._predict = lambda: self.model(images)
        self._loss = lambda: nn.functional.cross_entropy(self.model(images), labels)

    def _use_boxes(self, raw: Any, size: int, layout: torch.memory_format) -> None:
        from mmdet.testing import demo_mm_inputs

        batch = demo_mm_inputs(self.settings.batch, (3, size, size), num_classes=80, with_mask=raw.with_mask)
        data = raw.data_preprocessor(batch, True)
        images, samples = data['inputs'].contiguous(memory_format=layout), data['data_samples']
        unlabelled = deepcopy(samples)  # predictions are written into them
        self._predict = lambda: self.model(images, unlabelled, mode='predict')
        self._loss = lambda: raw.parse_losses(self.model(images, samples, mode='loss'))[0]

    def loss(self) -> Tensor:
        with torch.autocast(self.settings.device, enabled=self.settings.amp):
            return self._loss()

    def _step(self, mode: str) -> None:
        if mode == 'train':
            self.scaler.scale(self.loss()).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.optimizer.zero_grad()
        else:
            with torch.inference_mode(), torch.autocast(self.settings.device, enabled=self.settings.amp):
                self._predict()

    def turn(self, mode: str) -> float:
        """Seconds for the batches of one turn."""
        self.model.train(mode == 'train')
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

    def _resident(self) -> int:
        momenta = (v for state in self.optimizer.state.values() for v in state.values() if torch.is_tensor(v))
        return sum(t.nbytes for t in (*self.model.parameters(), *self.model.buffers(), *momenta))

    def memory(self, mode: str) -> dict[str, float]:
        """In MiB; what cannot be measured is left out."""
        memory = {'peak_memory_MiB': self.peak[mode] / MIB} if mode in self.peak else {}
        if mode == 'train':
            self.model.train()
            memory['saved_for_backward_MiB'] = saved_for_backward(self.model, self.loss) / MIB
        return memory


def saved_for_backward(model: nn.Module, loss: Callable[[], Tensor]) -> int:
    """Bytes that a forward pass keeps for its backward pass, each storage once.

    The model's own tensors are not counted; copies of them in another type (AMP) or layout (compiled on a CPU) are.
    """
    storages = {}  # keeps them alive, so that no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss()
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    return sum(storage.nbytes() for address, storage in storages.items() if address not in own)
