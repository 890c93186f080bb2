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
