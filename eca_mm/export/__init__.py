from eca_mm.export.network_file import ExportReport, export
from eca_mm.export.release import Release, release

__all__ = ['ExportReport', 'Release', 'export', 'release']
