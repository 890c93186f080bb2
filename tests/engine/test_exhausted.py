"""What is said when memory, files or data workers run out; the texts are torch's and the system's own."""

import errno
import os
from functools import partial

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from eca_mm.engine.exhausted import exhausted
from eca_mm.engine.resumption.stopping import init_worker
from eca_mm.errors import UserError


@pytest.mark.parametrize(('error', 'words'), [
    (RuntimeError('DataLoader worker (pid 7) is killed by signal: Killed. '), 'killed by signal: Killed.*num_workers'),
    (RuntimeError('DataLoader worker (pid(s) 7) exited unexpectedly'), 'no memory left.*num_workers'),
    (RuntimeError('DataLoader timed out after 600 seconds'), 'train_dataloader.timeout'),
    (RuntimeError('unable to allocate shared memory(shm) for file </torch_1>'), '--shm-size'),
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), 'no memory left.*batch_size'),
    (MemoryError(), 'MemoryError.*batch_size'),
    (torch.OutOfMemoryError('CUDA out of memory. Tried to allocate'), 'GPU has no memory.*batch_size'),
    (OSError(errno.EMFILE, os.strerror(errno.EMFILE), 'scalars.json'), 'ulimit -n'),
    (RuntimeError('received 0 items of ancdata'), 'ulimit -n'),
    (RuntimeError("can't start new thread"), 'ulimit -u'),
])  # fmt: skip
def test_sentences(error, words):
    with pytest.raises(UserError, match=f'{words}.*; go on$'), exhausted('; go on'):
        raise error


@pytest.mark.parametrize(
    'error', [RuntimeError('shape mismatch'), OSError(errno.EAGAIN, 'x', 'file'), UserError('x'), KeyError('x')]
)
def test_other_errors_pass(error):
    with pytest.raises(type(error)) as raised, exhausted():
        raise error
    assert raised.value is error


class Images(Dataset):
    def __init__(self, fault):
        self.fault = fault

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return self.fault()


def unsendable():
    """Fails in the thread that sends a batch, as one that does not fit into /dev/shm."""
    return lambda: None


@pytest.mark.parametrize('fault', [lambda: os._exit(3), os.abort, unsendable])
def test_a_worker_that_is_lost(fault, capfd):
    loader = DataLoader(Images(fault), num_workers=1, collate_fn=list, multiprocessing_context='fork')
    loader.worker_init_fn = partial(init_worker, None)
    with pytest.raises(UserError, match='data worker was ended from outside'), exhausted():
        list(loader)
