"""The stand-in against compiled mmcv: against values recorded from it everywhere, and live where it is installed."""

import numpy as np
import pytest
import torch
from cases import CASES, tolerance
from record import RECORDED


def check(case, results, expected):
    assert results.keys() == expected.keys()
    rtol, atol = tolerance(case)
    for name, result in results.items():
        assert result.dtype == expected[name].dtype, name
        if rtol == atol == 0 or not np.issubdtype(result.dtype, np.floating):
            np.testing.assert_array_equal(result, expected[name], name)
        else:
            np.testing.assert_allclose(result, expected[name], rtol, atol, err_msg=name)


@pytest.mark.parametrize('case', CASES)
def test_recorded_values(case, stand_in):
    with np.load(RECORDED) as recorded:
        expected = {key.split('/')[1]: recorded[key] for key in recorded.files if key.split('/')[0] == case}
    check(case, CASES[case](), expected)


@pytest.mark.parametrize('case', CASES)
def test_compiled_values(case, compiled, request):
    expected = CASES[case]()
    request.getfixturevalue('stand_in')
    check(case, CASES[case](), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')
@pytest.mark.parametrize('case', CASES)
def test_on_gpu(case, stand_in):
    """The same numbers as on the CPU, but for the order of sums."""
    expected = CASES[case]()
    with torch.device('cuda'):
        results = CASES[case]()
    for name, result in results.items():
        np.testing.assert_allclose(result, expected[name], *((2e-2, 2e-2) if 'half' in case else (1e-4, 1e-5)))
