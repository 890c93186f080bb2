#!/usr/bin/env python
try:
    from eca_mm.cli import start
except ModuleNotFoundError as error:
    raise SystemExit(f'{error}: pip install . in the clone, see docs/installation.md') from None

if __name__ == '__main__':
    start('doctor')
