#!/usr/bin/env python
from eca_mm.cli import start

if __name__ == '__main__':
    start('configs')
