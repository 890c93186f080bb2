"""Says what would break a training before a night is spent on it.

    tools/doctor.py                                     # what is installed, and whether it works
    tools/doctor.py my_config.py --data-root data/mine  # every annotation and every image that the config reads
    tools/doctor.py my_config.py --quick --draw 9       # 200 images of each dataset; a sheet of augmented pictures

Exits with 1 if training cannot run, or would learn something wrong.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

from eca_mm.cli.arguments import tool_parser
from eca_mm.cli.flags import name_flags


def make_parser() -> argparse.ArgumentParser:
    p = tool_parser(__doc__)
    p.add_argument('config', nargs='?', help='a config, whose data is to be looked at')
    p.add_argument('--data-root', help="root of the dataset, as tools/train.py's")
    p.add_argument('--quick', action='store_true', help='look at 200 images of each dataset')
    p.add_argument('--draw', type=int, metavar='N', help='draw N training images, augmented, into the work directory')
    return p


def run(a: argparse.Namespace) -> None:
    if a.config:
        check_data(a)
    elif a.data_root or a.quick or a.draw is not None:
        make_parser().error('--data-root, --quick and --draw need a CONFIG')
    else:
        check_installation()


def check_installation() -> None:
    """Print what works, line by line, and exit with 1 if training cannot run."""
    from eca_mm.installation import diagnose

    findings = diagnose()
    width = max(len(f.what) for f in findings)
    for f in findings:
        print(f'{f.state:<5} {f.what:<{width}}  {f.found}')
        if f.advice:
            print(f'      {"":<{width}}  -> {f.advice}')
    failures = sum(f.state == 'FAIL' for f in findings)
    print(f'\n{failures} problems: training cannot run' if failures else '\nTraining can run.')
    sys.exit(failures > 0)


def check_data(a: argparse.Namespace) -> None:
    """Print what is wrong with the data of a config, and exit with 1 if anything is."""
    from rich.console import Console
    from rich.progress import track

    from eca_mm import _register
    from eca_mm.engine import load_config
    from eca_mm.engine.doctor import inspect
    from eca_mm.engine.sheet import draw_sheet

    _register()
    cfg, failures = load_config(a.config, data_root=a.data_root), 0
    progress = partial(track, description='images', console=Console(stderr=True), transient=True)
    for found in inspect(cfg, quick=a.quick, track=progress):
        print(f'{found.name}\n  {found.contents}\n{name_flags(str(found.findings))}'.rstrip(), flush=True)
        failures += len(found.findings.failures())
    if a.draw is not None:
        print(f'\nsheet: {draw_sheet(cfg, a.draw, Path(cfg.work_dir) / "data.jpg")}')
    kinds = f'{failures} kind{"s" * (failures > 1)} of fault'
    print(f'\n{kinds}: training would stop, or learn something wrong' if failures else '\nTraining can read this data.')
    sys.exit(failures > 0)
