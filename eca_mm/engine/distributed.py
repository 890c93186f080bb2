"""Starting the processes' communication, on GPUs or, for tests and small machines, on CPUs."""

import contextlib
import os
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size, init_dist, is_distributed

from eca_mm.errors import UserError

# By launcher: what starts the processes, and a variable of the environment that it sets.
LAUNCHERS = dict(pytorch=('torchrun', 'RANK'), slurm=('srun', 'SLURM_PROCID'), mpi=('mpirun', 'OMPI_COMM_WORLD_RANK'))

TIMEOUT = 600  # seconds, torch's own for NCCL


def timeout_of(cfg: Config) -> float:
    """How long processes wait for one another, in seconds, before they give up: ``env_cfg.dist_cfg.timeout``.

    Raises:
        UserError: If that is no positive number.
    """
    seconds = _options(cfg).get('timeout', TIMEOUT)
    if not isinstance(seconds, int | float) or seconds <= 0:
        raise UserError(f'env_cfg.dist_cfg.timeout must be a number of seconds, got {seconds!r}')
    return seconds


def _options(cfg: Config) -> dict[str, Any]:
    return (cfg.get('env_cfg') or {}).get('dist_cfg') or dict(backend='nccl')


def _own_store(launcher: str) -> dict[str, Any]:
    """Arguments with which an attempt under ``torchrun --max-restarts`` does not read the addresses of the one before.

    torchrun's agent keeps its store from attempt to attempt, and torch 2.13 tells their keys apart no longer. Of several nodes
    each counts its own attempts; there ``TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1`` has a store made for each.
    """
    env = os.environ
    if launcher != 'pytorch' or env.get('TORCHELASTIC_USE_AGENT_STORE') != 'True' or env.get('GROUP_WORLD_SIZE') != '1':
        return {}
    store, rank, processes = next(torch.distributed.rendezvous('env://'))
    store = torch.distributed.PrefixStore(f'attempt {env["TORCHELASTIC_RESTART_COUNT"]}', store)
    return dict(store=store, rank=rank, world_size=processes)


@contextlib.contextmanager
def lost_processes(cfg: Config) -> Iterator[None]:
    """Makes a sentence of what gloo and NCCL raise when another process has ended, or does not answer."""
    try:
        yield
    except RuntimeError as error:
        if not is_distributed() or not re.search('gloo|nccl|Connection|connection|[Tt]imed? ?out', str(error)):
            raise
        raise UserError(
            f'another process has ended, or did not answer for {timeout_of(cfg):.0f} s (env_cfg.dist_cfg.timeout): '
            f'{str(error).strip().splitlines()[0]}; torchrun --max-restarts N starts all again, and they go on from the newest '
            'checkpoint'
        ) from error


def init_distributed(cfg: Config, launcher: str) -> int:
    """Joins the process group that ``launcher`` describes in the environment.

    Without CUDA it takes gloo, which mmengine's own start does not reach: it selects a GPU first.

    Returns:
        The number of processes.

    Raises:
        UserError: For an unknown launcher, one that did not start this process, torchrun without 'pytorch', or Slurm
            or MPI without CUDA.
    """
    if launcher not in ('none', *LAUNCHERS):
        raise UserError(f'launcher must be none, pytorch, slurm or mpi, got {launcher!r}')
    cfg.launcher = launcher
    if launcher == 'none':
        if (processes := os.environ.get('WORLD_SIZE', '1')) != '1':
            raise UserError(
                f'torchrun started {processes} processes that would each run alone: add `launcher="pytorch"`'
            )
        return 1
    starter, variable = LAUNCHERS[launcher]
    if variable not in os.environ:
        raise UserError(
            f'`launcher={launcher!r}` needs the variables that {starter} sets, such as {variable}: start this command with '
            f'{starter}, or leave `launcher` out'
        )
    if not is_distributed():
        if torch.cuda.is_available():
            init_dist(launcher, **{**_options(cfg), 'timeout': timeout_of(cfg)}, **_own_store(launcher))
        elif launcher == 'pytorch':
            timeout = timedelta(seconds=timeout_of(cfg))
            torch.distributed.init_process_group('gloo', timeout=timeout, **_own_store(launcher))
        else:
            raise UserError(f'`launcher={launcher!r}` needs CUDA; on CPUs use torchrun and `launcher="pytorch"`')
    if not torch.cuda.is_available():
        # mmengine's default wrapper names a GPU for each process.
        unused = cfg.get('find_unused_parameters', False)
        wrapper = dict(type='MMDistributedDataParallel', broadcast_buffers=False, device_ids=None)
        cfg.model_wrapper_cfg = {**wrapper, 'find_unused_parameters': unused, **(cfg.get('model_wrapper_cfg') or {})}
    return get_world_size()
