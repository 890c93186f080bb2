"""Run the tests of a checkout of mmcv or mmdet with these operators: ``python tests/run_upstream.py TESTS [PYTEST OPTIONS]``.

``--compiled`` as the last argument runs them with compiled operators, for a comparison.
"""

import sys

import pytest
from mmcv import ops

from mmcv_torch_ops import extension


def main(arguments: list[str]) -> int:
    if arguments[-1:] == ['--compiled']:
        return pytest.main(arguments[:-1])
    replaced = 0
    for name, module in list(sys.modules.items()):
        if name.startswith(f'{ops.__name__}.') and hasattr(module, 'ext_module'):
            module.ext_module = extension
            replaced += 1
    print(f'{replaced} modules of mmcv.ops use mmcv_torch_ops')
    return pytest.main(arguments)


if __name__ == '__main__':
    if len(sys.argv) < 2:
        sys.exit(f'error: no folder of tests given.\n{__doc__}')
    sys.exit(main(sys.argv[1:]))
