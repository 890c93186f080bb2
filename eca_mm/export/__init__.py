from eca_mm.export.artefact import Settings, export
from eca_mm.export.release import release

__all__ = ['Settings', 'export', 'release']
