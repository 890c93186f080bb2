"""With this folder in PYTHONPATH Python does not find mmcv's compiled operators, as where they were never built."""

from importlib.machinery import PathFinder

find_spec = PathFinder.find_spec
PathFinder.find_spec = staticmethod(lambda name, *args: None if name == 'mmcv._ext' else find_spec(name, *args))
