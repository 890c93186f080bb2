"""Attention that timm does not have, transcribed from its papers position by position; weights are those of our layers."""

import torch


def linear(conv, x):
    """A 1x1 convolution at one position: x is (C,)."""
    return conv.weight.flatten(1) @ x + conv.bias


def double_attention(layer, x):
    """A^2-Nets, Eq. 2-5, one image (C, H, W): gather descriptors of the image, then distribute them."""
    positions = x.flatten(1).T  # (HW, C)
    a = torch.stack([linear(layer.features, p) for p in positions])
    b = torch.stack([linear(layer.gather, p) for p in positions])
    v = torch.stack([linear(layer.distribute, p) for p in positions])
    attention = b.exp() / b.exp().sum(0)  # over the positions, one map per column
    descriptors = [sum(attention[i, m] * a[i] for i in range(len(positions))) for m in range(a.shape[1])]
    out = torch.empty_like(x.flatten(1))
    for i, p in enumerate(positions):
        share = v[i].exp() / v[i].exp().sum()
        z = sum(share[m] * descriptors[m] for m in range(a.shape[1]))
        out[:, i] = p + linear(layer.project, z)
    return out.view_as(x)


def batch_norm(norm, x, channel):
    return (x - norm.running_mean[channel]) / (norm.running_var[channel] + norm.eps).sqrt() * norm.weight[
        channel
    ] + norm.bias[channel]


def gsop(layer, x):
    """GSoP's block, Section 3.1 and the authors' code, one image (C, H, W), in evaluation mode."""
    step = layer.reduce.stride[0]
    positions = x[:, ::step, ::step].flatten(1).T.relu()
    d = len(layer.norm.weight)
    reduced = torch.stack([linear(layer.reduce, p) for p in positions])
    reduced = torch.stack([batch_norm(layer.norm, reduced[:, c], c) for c in range(d)], 1).relu()
    covariance = torch.cov(reduced.T, correction=0)
    four = []
    for row in range(d):
        values = batch_norm(layer.row_norm, covariance[row], row)
        for k in range(4):
            kernel = layer.row_conv.weight[4 * row + k].flatten()
            four.append(values @ kernel + layer.row_conv.bias[4 * row + k])
    weights = torch.sigmoid(linear(layer.expand, torch.stack(four)))
    return x * weights[:, None, None]


def attention_augmentation(layer, x):
    """AA-Net, Eq. 1-3, one image (C, H, W): the attended channels, head by head and position by position."""
    _, height, width = x.shape
    places = [(i, j) for i in range(height) for j in range(width)]
    dk, _, dv = layer.sizes
    n = layer.heads
    qkv = torch.stack([linear(layer.qkv, x[:, i, j]) for i, j in places])
    largest = len(layer.row_distances) // 2

    def vector(table, distance):
        return table[largest + max(-largest, min(largest, distance))]

    heads = []
    for h in range(n):
        q, k = (qkv[:, start + h * dk // n : start + (h + 1) * dk // n] for start in (0, dk))
        v = qkv[:, 2 * dk + h * dv // n : 2 * dk + (h + 1) * dv // n]
        out = []
        for a, (i, j) in enumerate(places):
            logits = [
                q[a] @ (k[b] + vector(layer.row_distances, y - i) + vector(layer.column_distances, z - j))
                for b, (y, z) in enumerate(places)
            ]
            share = (torch.stack(logits) / (dk // n) ** 0.5).softmax(0)
            out.append(share @ v)
        heads.append(torch.stack(out))
    projected = [linear(layer.project, torch.cat([head[a] for head in heads])) for a in range(len(places))]
    return torch.stack(projected, 1).view(dv, height, width)


def simam(x, e_lambda):
    """SimAM's minimal energy, Eq. 5, neuron by neuron, one image (C, H, W)."""
    out = torch.empty_like(x)
    for c, channel in enumerate(x):
        mean, variance = channel.mean(), channel.var(correction=1)
        energy = 4 * (variance + e_lambda) / ((channel - mean) ** 2 + 2 * variance + 2 * e_lambda)
        out[c] = channel * torch.sigmoid(1 / energy)
    return out
