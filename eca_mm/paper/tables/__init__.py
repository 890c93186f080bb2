"""The tables of papers: each module of this package is a paper's, and lists them in its ``TABLES``."""

import importlib
import pkgutil

from eca_mm.paper.table import Table


def find_tables() -> dict[str, Table]:
    """The tables of all modules here, by name."""
    modules = [importlib.import_module(f'{__name__}.{module.name}') for module in pkgutil.iter_modules(__path__)]
    return {table.name: table for module in modules for table in module.TABLES}


TABLES = find_tables()
