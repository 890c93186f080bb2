from eca_mm.paper.cells import Cell, Measurement, Measurements, compare
from eca_mm.paper.tables import TABLES, Row, Table

__all__ = ['TABLES', 'Cell', 'Measurement', 'Measurements', 'Row', 'Table', 'compare']
