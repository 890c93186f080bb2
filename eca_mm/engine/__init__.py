from eca_mm.engine.config import load_config
from eca_mm.engine.evaluate import evaluate
from eca_mm.engine.model import load_model
from eca_mm.engine.predict import find_images, predict
from eca_mm.engine.summary import Summary
from eca_mm.engine.train import train
from eca_mm.errors import Interrupted

__all__ = ['Interrupted', 'Summary', 'evaluate', 'find_images', 'load_config', 'load_model', 'predict', 'train']
