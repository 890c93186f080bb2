"""Masks: what pycocotools decodes is no fault, and what would break it is one."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from eca_mm.checks import mask_fault
from eca_mm.checks.masks import _decompress


@pytest.mark.parametrize('shape', [(1, 1), (7, 5), (64, 48), (300, 200)])
def test_run_lengths_of_pycocotools_are_none(shape):
    """Those that it makes, and the same uncompressed: ours are what it decodes."""
    rng = np.random.default_rng(0)
    for threshold in (0.0, 0.3, 0.99, 1.1):
        pixels = np.asfortranarray(rng.random(shape) < threshold, np.uint8)
        encoded = coco_mask.encode(pixels)
        counts = encoded['counts'].decode()
        assert mask_fault(dict(size=list(shape), counts=counts), *shape) is None
        plain = dict(size=list(shape), counts=_decompress(counts))
        assert mask_fault(plain, *shape) is None
        assert (coco_mask.decode(coco_mask.frPyObjects(plain, *shape)) == pixels).all()


@pytest.mark.parametrize(('mask', 'fault'), [
    (None, 'no mask'),
    ([], 'no mask'),
    ([[]], 'a polygon of 0 numbers'),
    ([[1, 2, 3]], 'a polygon of 3 numbers'),
    ([[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 7]], 'a polygon of 7 numbers'),
    ([[1, 2, 3, 4, float('inf'), 6]], 'NaN or infinite'),
    ([[1, 2, 3, 4, 1e9, 6]], 'a polygon that goes to 1e+09'),  # ends the process
    ([[1, 2, 3, 4, '5', 6]], 'other things than numbers'),
    ([1, 2, 3, 4, 5, 6], 'a polygon that is no list: 1'),
    ('rubbish', 'neither polygons nor run lengths'),
    (dict(counts=[600]), 'run lengths for None'),
    (dict(size=[30, 20], counts=[600]), 'run lengths for [30, 20]'),
    (dict(size=[20, 30], counts='rubbish~~'), 'compressed run lengths that are none'),
    (dict(size=[20, 30], counts=''), 'compressed run lengths that are none'),
    (dict(size=[20, 30], counts='X' * 50), 'compressed run lengths that are none'),
    (dict(size=[20, 30], counts='0000'), 'run lengths of 0 pixels'),  # decodes to memory that nobody wrote
    (dict(size=[20, 30], counts=[610, -10]), 'a negative run length: -10'),
    (dict(size=[20, 30], counts=[5, 5]), 'run lengths of 10 pixels for an image of 600'),
    (dict(size=[20, 30], counts=[1.5]), 'not whole numbers'),
    (dict(size=[20, 30], counts=None), 'not whole numbers'),
])  # fmt: skip
def test_faults(mask, fault):
    assert fault in (mask_fault(mask, 20, 30) or '')
