"""States of hooks that checkpoints hold, so that a resumed run stops early where the uninterrupted one does."""

import math
from typing import Any

from mmengine.hooks import EarlyStoppingHook


def hook_states(runner: Any) -> dict[str, Any]:
    """The states of EarlyStoppingHook, and of other hooks with ``state_dict``, by name; and whether the training was stopped."""
    states = {}
    for name, hook in _named(runner):
        if isinstance(hook, EarlyStoppingHook):
            states[name] = dict(wait_count=int(hook.wait_count), best_score=float(hook.best_score))
        elif hasattr(hook, 'state_dict') and hasattr(hook, 'load_state_dict'):
            states[name] = hook.state_dict()
    return dict(stopped=bool(getattr(runner.train_loop, 'stop_training', False)), hooks=states)


def load_hook_states(runner: Any, content: Any) -> None:
    """Set what :func:`hook_states` gave; hooks that it did not have keep their state."""
    states = content.get('hooks') if isinstance(content, dict) else None
    if not isinstance(states, dict):
        return
    for name, hook in _named(runner):
        state = states.get(name)
        if isinstance(hook, EarlyStoppingHook) and isinstance(state, dict):
            count, score = state.get('wait_count'), state.get('best_score')
            if isinstance(count, int) and isinstance(score, int | float) and not math.isnan(score):
                hook.wait_count, hook.best_score = count, score
        elif state is not None and hasattr(hook, 'load_state_dict'):
            hook.load_state_dict(state)


def _named(runner: Any) -> list[tuple[str, Any]]:
    counts: dict[str, int] = {}
    named = []
    for hook in runner.hooks:
        name = type(hook).__name__
        counts[name] = counts.get(name, 0) + 1
        named.append((f'{name} {counts[name]}', hook))
    return named
