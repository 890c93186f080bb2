"""Configs: read from a file, changed by options, classes and the batch, and asked for their parts.

``read`` makes a Config of a file, ``options`` applies the command line's changes, ``classes`` and ``batch`` set what must be
known before anything is built, and ``parts`` has the accessors. All other questions go to the built objects
(``eca_mm.engine.preflight``).
"""

from eca_mm.engine.config.read import load_config

__all__ = ['load_config']
