from eca_mm.engine.batch import Batch, apply_batch, split_batch
from eca_mm.engine.config import load_config
from eca_mm.engine.evaluate import evaluate
from eca_mm.engine.predict import find_images, predict
from eca_mm.engine.train import Summary, train
from eca_mm.errors import Interrupted

__all__ = [
    'Batch',
    'Interrupted',
    'Summary',
    'apply_batch',
    'evaluate',
    'find_images',
    'load_config',
    'predict',
    'split_batch',
    'train',
]
