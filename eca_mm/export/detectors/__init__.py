from eca_mm.export.detectors.detector_file import DetectorReport, export_detector

__all__ = ['DetectorReport', 'export_detector']
