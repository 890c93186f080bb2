"""``python -m eca_mm.cli TOOL ...``, for launchers that start modules, such as ``torchrun -m``."""

from eca_mm.cli import main

if __name__ == '__main__':
    main()
