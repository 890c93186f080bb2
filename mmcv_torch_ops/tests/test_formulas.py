"""The operators that compiled mmcv has on GPUs only, against plain float64 formulas, here on the CPU."""

import pytest
import torch
import torch.nn.functional as F
from cases import regions, uniform
from mmcv import ops
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

pytestmark = pytest.mark.usefixtures('stand_in')
GRADCHECK = {'atol': 1e-6, 'eps': 1e-6}


@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('gamma', [2.0, 0.5])
def test_sigmoid_focal_loss(weighted, gamma):
    logits = uniform(1, 6, 3, low=-4, high=4, dtype=torch.float64).requires_grad_()
    labels = torch.tensor([0, 2, 1, 0, 2, 2] if weighted else [0, 2, 3, 1, 3, 3])  # 3 is background
    weight = uniform(2, 3, low=0.5, dtype=torch.float64) if weighted else None
    loss = ops.sigmoid_focal_loss(logits, labels, gamma, 0.25, weight, 'none')
    target = F.one_hot(labels, 4)[:, :3].double()
    p = logits.sigmoid()
    p_t, alpha_t = p * target + (1 - p) * (1 - target), 0.25 * target + 0.75 * (1 - target)
    expected = -alpha_t * (1 - p_t) ** gamma * p_t.log()
    expected = expected if weight is None else expected * weight[labels][:, None]
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss.sum(), logits), torch.autograd.grad(expected.sum(), logits))


@pytest.mark.parametrize('weighted', [False, True])
def test_softmax_focal_loss(weighted):
    logits = uniform(1, 5, 4, low=-3, high=3, dtype=torch.float64).requires_grad_()
    labels = torch.tensor([0, 3, 1, -1, 2])
    weight = uniform(2, 4, low=0.5, dtype=torch.float64) if weighted else None
    loss = ops.softmax_focal_loss(logits, labels, 2.0, 0.25, weight, 'none')
    log_p = logits.log_softmax(1).gather(1, labels.clamp(min=0)[:, None])[:, 0]
    expected = -0.25 * (1 - log_p.exp()) ** 2 * log_p * (labels >= 0)
    expected = expected if weight is None else expected * weight[labels]
    torch.testing.assert_close(loss, expected)
    total = ops.softmax_focal_loss(logits, labels, 2.0, 0.25, weight, 'sum')  # mmcv's gradient of 'none' raises
    torch.testing.assert_close(torch.autograd.grad(total, logits), torch.autograd.grad(expected.sum(), logits))


@pytest.mark.parametrize('loss', [ops.sigmoid_focal_loss, ops.softmax_focal_loss])
def test_focal_loss_in_half_precision_and_of_nothing(loss):
    if loss is ops.softmax_focal_loss and torch.__version__ < '2.1':
        pytest.skip('torch 2.0 has no exp of half precision on CPUs, which mmcv calls')
    logits, labels = uniform(1, 8, 3, low=-3, high=3), torch.arange(8) % 3
    values = []
    for x in (logits.half().requires_grad_(), logits.requires_grad_()):
        value = loss(x, labels, 2.0, 0.25, None, 'sum')
        value.backward()
        values.append((value.detach().float(), x.grad.float()))
    torch.testing.assert_close(values[0], values[1], rtol=5e-3, atol=1e-3)
    assert loss(logits[:0], labels[:0], 2.0, 0.25, None, 'sum') == 0


def pool_by_loops(features, rois, height, width, scale):
    """mmcv's kernel, one element at a time."""
    output = features.new_zeros(len(rois), features.shape[1], height, width)
    for n, (image, x1, y1, x2, y2) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = x1 * scale, y1 * scale, (x2 + 1) * scale, (y2 + 1) * scale
        if x2 <= x1 or y2 <= y1:
            continue
        for i in range(height):
            for j in range(width):
                top, bottom = (y1 + torch.tensor([i, i + 1.0]) * (y2 - y1) / height).tolist()
                left, right = (x1 + torch.tensor([j, j + 1.0]) * (x2 - x1) / width).tolist()
                window = features[
                    int(image),
                    :,
                    max(int(top // 1), 0) : max(int(-(-bottom // 1)), 0),
                    max(int(left // 1), 0) : max(int(-(-right // 1)), 0),
                ]
                if window.numel():
                    output[n, :, i, j] = window.amax(dim=(1, 2))
    return output


def test_roi_pool():
    features = uniform(1, 2, 3, 13, 17, low=-2, dtype=torch.float64).requires_grad_()
    outside = torch.tensor([[0, -30, -20, 5, 9], [1, 60, 50, 90, 70], [0, 8, 8, 8, 8], [1, 20, 9, 3, 12]])
    rois = torch.cat((regions(3, 6, 2), outside)).double()
    output, expected = ops.roi_pool(features, rois, (3, 4), 0.25), pool_by_loops(features, rois, 3, 4, 0.25)
    torch.testing.assert_close(output, expected)
    weights = uniform(5, *output.shape, dtype=torch.float64)
    weights[-1] = 0  # of a region without area, whose gradient mmcv gives to the first pixel
    gradients = [torch.autograd.grad((value * weights).sum(), features)[0] for value in (output, expected)]
    torch.testing.assert_close(*gradients)
    assert ops.roi_pool(features, rois[:0], (3, 4), 0.25).shape == (0, 3, 3, 4)
    assert not ops.roi_pool(features, rois[7:8] + torch.tensor([0, 200.0, 0, 200, 0]), (3, 4), 0.25).any()


@pytest.mark.parametrize(('kernel', 'groups', 'scale'), [(3, 1, 2), (5, 2, 3)])
def test_carafe(kernel, groups, scale):
    features = uniform(1, 2, 4, 3, 5, low=-1, dtype=torch.float64).requires_grad_()
    masks = uniform(2, 2, groups * kernel**2, 3 * scale, 5 * scale, dtype=torch.float64).requires_grad_()
    output = ops.carafe(features, masks, kernel, groups, scale)
    patches = F.unfold(features, kernel, padding=kernel // 2).view(2, groups, 4 // groups, kernel**2, 3, 5)
    patches = patches.repeat_interleave(scale, -2).repeat_interleave(scale, -1)
    expected = (patches * masks.view(2, groups, 1, kernel**2, 3 * scale, 5 * scale)).sum(3).view(output.shape)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(ops.carafe_naive(features, masks, kernel, groups, scale), expected)
    gradients = [torch.autograd.grad((value * value.detach()).sum(), (features, masks)) for value in (output, expected)]
    torch.testing.assert_close(*gradients)
    half = ops.carafe(features.half(), masks.half(), kernel, groups, scale)
    torch.testing.assert_close(half.double(), expected, rtol=2e-3, atol=2e-3)


@pytest.mark.filterwarnings('ignore:This overload of addmm is deprecated')  # in mmcv's Python code
def test_masked_convolution():
    layer = ops.MaskedConv2d(3, 4, (3, 5), padding=(1, 2)).double()
    features, mask = uniform(1, 1, 3, 6, 7, dtype=torch.float64), uniform(2, 1, 6, 7) > 0.5
    with torch.no_grad():
        torch.testing.assert_close(layer(features, mask), layer(features) * mask)
        assert not layer(features, torch.zeros_like(mask)).any()


def test_attention():
    """The formula is mmcv's own; what is tested here is the gradient that goes back to its three inputs."""
    shapes = torch.tensor([[3, 4], [2, 2]])
    value = uniform(1, 2, 16, 2, 3, dtype=torch.float64).requires_grad_()
    # Not at the edges of pixels, where the derivative jumps.
    locations = (uniform(2, 2, 5, 2, 2, 3, 2, low=-0.2, high=1.2, dtype=torch.float64) + 1e-5).requires_grad_()
    weights = uniform(3, 2, 5, 2, 2, 3, dtype=torch.float64).requires_grad_()

    def attention(*inputs):
        return MultiScaleDeformableAttnFunction.apply(inputs[0], shapes, torch.tensor([0, 12]), *inputs[1:], 64)

    assert attention(value, locations, weights).shape == (2, 5, 6)
    assert torch.autograd.gradcheck(attention, (value, locations, weights), **GRADCHECK)


def test_attention_in_half_precision():
    shapes, starts = torch.tensor([[3, 4], [2, 2]]), torch.tensor([0, 12])
    inputs = uniform(1, 2, 16, 2, 3), uniform(2, 2, 5, 2, 2, 3, 2), uniform(3, 2, 5, 2, 2, 3)
    results = []
    for dtype in (torch.float16, torch.float32):
        leaves = [x.to(dtype).requires_grad_() for x in inputs]
        output = MultiScaleDeformableAttnFunction.apply(leaves[0], shapes, starts, *leaves[1:], 64)
        assert output.dtype == dtype
        results.append([output.float(), *(g.float() for g in torch.autograd.grad(output.sum(), leaves))])
    torch.testing.assert_close(*results, rtol=1e-2, atol=2e-2)


def test_carafe_passes_gradcheck():
    """CARAFENaive has no gradient on a CPU: mmcv's Python code asserts a GPU."""
    features = torch.randn(1, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    masks = torch.rand(1, 2 * 9, 6, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(ops.CARAFE(3, 2, 2), (features, masks), **GRADCHECK)


def bin_by_loops(features, region, scale, grid, shift, i, j, size):
    """The average of one bin, point by point, with torch's own interpolation; all points lie inside."""
    x1, y1, x2, y2 = (region[1:] * scale - 0.5).tolist()
    step_y, step_x = (y2 - y1) / size[0], (x2 - x1) / size[1]
    total = 0
    for a in range(grid[0]):
        for b in range(grid[1]):
            y = y1 + shift[1] * (y2 - y1) + i * step_y + (a + 0.5) * step_y / grid[0]
            x = x1 + shift[0] * (x2 - x1) + j * step_x + (b + 0.5) * step_x / grid[1]
            limits = features.new_tensor([features.shape[2] - 1, features.shape[1] - 1])
            place = torch.stack((x, y)) / limits * 2 - 1
            total = total + F.grid_sample(features[None], place[None, None, None], align_corners=True)[0, :, 0, 0]
    return total / (grid[0] * grid[1])


@pytest.mark.parametrize('ratio', [0, 2])
def test_deform_roi_pool(ratio):
    features = uniform(1, 2, 3, 12, 16, low=-1, dtype=torch.float64).requires_grad_()
    rois = torch.tensor([[0, 8.0, 12, 40, 37], [1, 10, 6, 22, 39]], dtype=torch.float64)
    offset = uniform(2, 2, 2, 2, 3, low=-0.5, high=0.5, dtype=torch.float64).requires_grad_()
    output = ops.deform_roi_pool(features, rois, offset, (2, 3), 0.25, ratio, 0.1)
    rows = []
    for n, region in enumerate(rois):
        width, height = ((region[3:] - region[1:3]) * 0.25).tolist()
        grid = (ratio, ratio) if ratio else (-int(-height / 2 // 1), -int(-width / 3 // 1))
        bins = [
            bin_by_loops(features[int(region[0])], region, 0.25, grid, 0.1 * offset[n, :, i, j], i, j, (2, 3))
            for i in range(2)
            for j in range(3)
        ]
        rows.append(torch.stack(bins, dim=1).view(3, 2, 3))
    expected = torch.stack(rows)
    torch.testing.assert_close(output, expected)
    weights = uniform(5, *output.shape, dtype=torch.float64)
    gradients = [torch.autograd.grad((v * weights).sum(), (features, offset)) for v in (output, expected)]
    torch.testing.assert_close(*gradients)
    assert ops.deform_roi_pool(features, rois[:0], offset[:0], (2, 3), 0.25, ratio).shape == (0, 3, 2, 3)


def test_deform_roi_pool_at_the_edge():
    """The values of mmcv's own test: the regions' points lie in part outside the map."""
    features = torch.tensor([[[[1.0, 2], [3, 4]]]], requires_grad=True)
    output = ops.deform_roi_pool(features, torch.tensor([[0.0, 0, 0, 1, 1]]), None, (2, 2), 1.0, 2)
    torch.testing.assert_close(output, torch.tensor([[[[1, 1.25], [1.5, 1.75]]]]))
    gradient = torch.autograd.grad(output.sum(), features)[0]
    torch.testing.assert_close(gradient, torch.tensor([[[[3.0625, 0.4375], [0.4375, 0.0625]]]]))
