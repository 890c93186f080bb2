from eca_mm.paper.cells import Cell, beside_the_paper
from eca_mm.paper.table import Measurement, Measurements, Row, Table
from eca_mm.paper.tables import TABLES

__all__ = ['TABLES', 'Cell', 'Measurement', 'Measurements', 'Row', 'Table', 'beside_the_paper']
