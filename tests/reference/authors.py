"""The networks in the authors' files, from the paper's Sections 3.2 and 3.3 and the keys of these files."""

import torch
from torch import nn


class AuthorsECA(nn.Module):
    """Figure 3: global average pooling, a convolution along the channels, a sigmoid, and the product."""

    def __init__(self, k):
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.conv = nn.Conv1d(1, 1, k, padding=k // 2, bias=False)

    def forward(self, x):
        y = self.conv(self.avg_pool(x).squeeze(-1).transpose(1, 2))  # (N, 1, C)
        return x * y.sigmoid().transpose(1, 2).unsqueeze(-1)


class AuthorsBlock(nn.Module):
    """Convolutions of He et al. with norms, ECA, the residual sum, ReLU."""

    def __init__(self, inputs, width, outputs, stride, k):
        super().__init__()
        if outputs == width:
            convs = [(inputs, width, 3, stride), (width, width, 3, 1)]
        else:
            convs = [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
        self.count = len(convs)
        for i, (a, b, size, step) in enumerate(convs, 1):
            setattr(self, f'conv{i}', nn.Conv2d(a, b, size, step, size // 2, bias=False))
            setattr(self, f'bn{i}', nn.BatchNorm2d(b))
        self.eca = AuthorsECA(k)
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.downsample = shortcut if stride > 1 or inputs != outputs else None

    def forward(self, x):
        out = x
        for i in range(1, self.count + 1):
            out = getattr(self, f'bn{i}')(getattr(self, f'conv{i}')(out))
            out = out.relu() if i < self.count else out
        return (self.eca(out) + (x if self.downsample is None else self.downsample(x))).relu()


class AuthorsResNet(nn.Module):
    def __init__(self, counts, expansion, sizes, classes=1000):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.maxpool, inputs = nn.MaxPool2d(3, 2, 1), 64
        for stage, (count, k) in enumerate(zip(counts, sizes, strict=True)):
            width, blocks = 64 * 2**stage, []
            for i in range(count):
                stride = 2 if stage and not i else 1
                blocks.append(AuthorsBlock(inputs, width, width * expansion, stride, k))
                inputs = width * expansion
            setattr(self, f'layer{stage + 1}', nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        for stage in range(1, 5):
            x = getattr(self, f'layer{stage}')(x)
        return self.fc(x.mean((2, 3)))


class AuthorsBottleneck(nn.Module):
    """MobileNetV2's: expansion, depth-wise convolution, projection, ECA; the sum where the shapes allow it."""

    def __init__(self, inputs, outputs, stride, expansion, k):
        super().__init__()
        hidden = inputs * expansion
        layers = [conv_bn_relu6(inputs, hidden, 1)] if expansion > 1 else []
        layers += [conv_bn_relu6(hidden, hidden, 3, stride, hidden), nn.Conv2d(hidden, outputs, 1, bias=False)]
        self.conv = nn.Sequential(*layers, nn.BatchNorm2d(outputs), AuthorsECA(k))
        self.sum = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.conv(x) if self.sum else self.conv(x)


def conv_bn_relu6(inputs, outputs, size, stride=1, groups=1):
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


class AuthorsMobileNetV2(nn.Module):
    """At a width of 0.25 its channels are a quarter of these, at least 8: small weights for tests of files."""

    def __init__(self, classes=1000, width=1.0):
        super().__init__()
        table = (
            (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
        )  # fmt: skip
        inputs = max(8, int(32 * width))
        layers = [conv_bn_relu6(3, inputs, 3, 2)]
        for expansion, channels, count, stride in table:
            k, outputs = 1 if channels < 96 else 3, max(8, int(channels * width))
            for i in range(count):
                layers.append(AuthorsBottleneck(inputs, outputs, 1 if i else stride, expansion, k))
                inputs = outputs
        self.features = nn.Sequential(*layers, conv_bn_relu6(inputs, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.25), nn.Linear(1280, classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


def as_the_authors_save(model):
    """The content of their training checkpoints."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    return dict(
        epoch=100,
        arch='eca_resnet50',
        state_dict={f'module.{key}': value for key, value in model.state_dict().items()},
        best_prec1=torch.tensor(77.42),
        optimizer=optimizer.state_dict(),
    )
