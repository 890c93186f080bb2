"""The tables of papers: each module of this package is a paper's, and lists them in its ``TABLES``."""

import importlib
import pkgutil

from eca_mm.paper.table import Table


def find_tables() -> dict[str, Table]:
    """The tables of all modules here, by name.

    Raises:
        ValueError: If two have the same name.
    """
    found: dict[str, Table] = {}
    for module in pkgutil.iter_modules(__path__):
        for table in importlib.import_module(f'{__name__}.{module.name}').TABLES:
            if table.name in found:
                raise ValueError(f'there are two tables {table.name}: name one of them after its paper in its label')
            found[table.name] = table
    return found


TABLES = find_tables()
