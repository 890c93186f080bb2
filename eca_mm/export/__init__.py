from eca_mm.export.network_file import ExportReport, ExportSettings, export
from eca_mm.export.release import Release, release

__all__ = ['ExportReport', 'ExportSettings', 'Release', 'export', 'release']
