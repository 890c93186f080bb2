"""The tables of papers: each module of this package is a paper's, and lists them in its ``TABLES``."""

import importlib
import pkgutil

from eca_mm.paper.table import Table


def find_tables() -> dict[str, Table]:
    """The tables of all modules here, by name.

    Raises:
        ValueError: If two have the same name.
    """
    modules = (importlib.import_module(f'{__name__}.{module.name}') for module in pkgutil.iter_modules(__path__))
    found: dict[str, Table] = {}
    for table in (table for module in modules for table in module.TABLES):
        if table.name in found:
            raise ValueError(f'there are two tables {table.name}: name one of them after its paper in its label')
        found[table.name] = table
    return found


TABLES = find_tables()
