from eca_mm.checkpoints.attention import kernel_sizes
from eca_mm.checkpoints.files import check_checkpoint, load_backbone
from eca_mm.checkpoints.fit import check_model, check_start
from eca_mm.checkpoints.reading import latest_checkpoint, read_checkpoint, read_meta, use_safe_loading
from eca_mm.checkpoints.weights import check_fit, check_values, weights_of

__all__ = [
    'check_checkpoint', 'check_fit', 'check_model', 'check_start', 'check_values', 'kernel_sizes', 'latest_checkpoint',
    'load_backbone', 'read_checkpoint', 'read_meta', 'use_safe_loading', 'weights_of',
]  # fmt: skip
