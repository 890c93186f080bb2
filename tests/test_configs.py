"""Every config of the repository: it builds, learns, and says what the paper says."""

import ast
import re

import pytest
import timm
import torch
from mmdet.testing import demo_mm_inputs
from mmengine.registry import MODELS
from mmpretrain.structures import DataSample

from eca_mm.checkpoints import load_backbone
from eca_mm.engine import load_config
from eca_mm.engine.model import build_model
from eca_mm.paper import TABLES, Row
from eca_mm.paper.complexity import build_on_meta
from tests.support import REPOSITORY, randomize

CONFIGS = REPOSITORY / 'configs'
DETECTORS = sorted(f.stem for f in CONFIGS.glob('*_1x.py'))
SHAPES = sorted(f.stem for f in CONFIGS.glob('*_shapes.py'))
CLASSIFIERS = sorted(f'imagenet/{f.stem}' for f in CONFIGS.glob('imagenet/*.py'))
OF_TIMM = [name for name in DETECTORS if name.endswith('d_fpn_1x')]  # ECA-ResNet-D, not in the paper
EXAMPLES = sorted(f'examples/{f.stem}' for f in CONFIGS.glob('examples/*.py'))
COMPARISONS = sorted(f'comparison/{f.stem}' for f in CONFIGS.glob('comparison/*.py'))
LEGACY = sorted(f'legacy/{f.stem}' for f in CONFIGS.glob('legacy/[!_]*.py'))

# The authors' weights; without a depth, MobileNetV2's.
KERNELS = {50: (3, 5, 5, 7), 101: (3, 3, 5, 7), 152: (3, 3, 5, 7), None: (1, 1, 1, 1, 3, 3, 3)}


def load(name, **options):
    return load_config(CONFIGS / f'{name}.py', cfg_options=options or None)


def facts(name):
    """Attention and depth, as the name of a config states them."""
    depth = re.search(r'(?:resnet|resnext|_r)(\d+)', name)
    return next((a for a in ('eca', 'se') if f'{a}_' in name), None), int(depth[1]) if depth else None


def check_backbone(backbone, name):
    attention, depth = facts(name)
    assert getattr(backbone, 'depth', None) == depth
    layers = [m for m in backbone.modules() if getattr(m, '_abbr_', None) in ('eca', 'se')]
    assert {m._abbr_ for m in layers} == ({attention} if attention else set())
    if attention == 'eca':
        fixed = re.search(r'k(\d)', name) or re.search('_ns()', name)
        of_paper = KERNELS[depth] if name not in OF_TIMM else (5, 5, 5, 7)
        sizes = of_paper if not fixed else (int(fixed[1] or 3),) * 4  # Table 1 has k = 3
        assert {m.conv.kernel_size[0] for m in layers} == set(sizes)
        if depth:
            last = [getattr(backbone, f'layer{i}')[-1].eca.conv.kernel_size[0] for i in range(1, 5)]
            assert tuple(last) == sizes


def test_every_row_of_the_paper_has_its_config():
    """And every config but the drawn data's and timm's is a row."""
    rows = {row.config for table in TABLES.values() for row in table.rows}
    assert rows == {*DETECTORS, *CLASSIFIERS} - {*OF_TIMM}


@pytest.mark.parametrize('name', DETECTORS)
def test_detector_follows_the_paper(name):
    cfg = load(name)
    assert cfg.images_per_step == 8
    assert cfg.optim_wrapper.optimizer.to_dict() | {'_scope_': 0} == dict(
        type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4, _scope_=0
    )
    decay = cfg.param_scheduler[-1]
    assert (decay.type, list(decay.milestones), decay.gamma, decay.by_epoch) == ('MultiStepLR', [8, 11], 0.1, True)
    assert cfg.train_cfg.max_epochs == 12
    (resize,) = (t for t in cfg.train_dataloader.dataset.pipeline if t.type == 'Resize')
    assert min(resize.scale) == 800 and resize.keep_ratio
    assert cfg.train_dataloader.dataset.ann_file.endswith('instances_train2017.json')
    assert cfg.val_evaluator.ann_file.endswith('instances_val2017.json')
    metrics = cfg.val_evaluator.metric
    assert metrics == (['bbox', 'segm'] if name.startswith('mask') else 'bbox')
    backbone = cfg.model.backbone
    assert (backbone.frozen_stages, backbone.norm_eval, backbone.style) == (1, True, 'pytorch')
    assert backbone.init_cfg.type == 'Pretrained' and backbone.init_cfg.checkpoint == cfg.backbone_weights
    attention, depth = facts(name)
    if name in OF_TIMM:
        assert cfg.backbone_weights == f'timm://ecaresnet{depth}d.miil_in1k'
        return
    place = f'checkpoints/{attention}_resnet{depth}.pth' if attention else f'torchvision://resnet{depth}'
    assert cfg.backbone_weights == place


@pytest.mark.parametrize('name', [name for name in OF_TIMM if name.startswith('faster')])
def test_resnet_d_is_timms(name, tmp_path):
    """Its network, and its normalisation: the weights load, and the features are the same ones.

    Layer by layer: a network of random weights makes much of the rounding in which a fast path differs.
    """
    cfg = load(name)
    timms = timm.create_model(cfg.backbone_weights.removeprefix('timm://').split('.')[0]).eval()
    torch.save(randomize(timms).state_dict(), tmp_path / 'timm.pth')
    backbone = MODELS.build({**cfg.model.backbone, 'init_cfg': None, 'fused': False}).eval()
    load_backbone(backbone, str(tmp_path / 'timm.pth'))
    image = torch.randn(1, 3, 65, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(backbone(image)[-1], timms.forward_features(image))
    published = timm.get_pretrained_cfg(cfg.backbone_weights.removeprefix('timm://'))
    for ours, theirs in ((cfg.model.data_preprocessor[k], getattr(published, k)) for k in ('mean', 'std')):
        assert [round(v / 255, 3) for v in ours] == list(theirs)


@pytest.mark.parametrize('name', CLASSIFIERS)
def test_classifier_follows_the_paper(name):
    cfg = load(name)
    mobile = 'mobilenet' in name
    assert cfg.images_per_step == (96 if mobile else 256)
    assert cfg.optim_wrapper.optimizer.to_dict() | {'_scope_': 0} == dict(
        type='SGD', lr=0.045 if mobile else 0.1, momentum=0.9, weight_decay=4e-5 if mobile else 1e-4, _scope_=0
    )
    schedule = cfg.param_scheduler
    if mobile:
        assert (schedule.type, schedule.gamma, schedule.by_epoch) == ('ExponentialLR', 0.98, True)
    else:
        assert (schedule.type, list(schedule.milestones), schedule.gamma) == ('MultiStepLR', [30, 60, 90], 0.1)
    assert cfg.train_cfg.max_epochs == (400 if mobile else 100)
    train, test = (
        [(t.type, t.get('scale', t.get('crop_size'))) for t in loader.dataset.pipeline]
        for loader in (cfg.train_dataloader, cfg.test_dataloader)
    )
    assert train[1:3] == [('RandomResizedCrop', 224), ('RandomFlip', None)]
    assert test[1:3] == [('ResizeEdge', 256), ('CenterCrop', 224)]


@pytest.mark.parametrize('name', DETECTORS + SHAPES)
def test_detector_builds(name):
    model = build_on_meta(Row(name, '', '', {}))
    check_backbone(model.backbone, name)
    features = model.extract_feat(torch.empty(2, 3, 96, 64, device='meta'))
    levels = [(24, 16), (12, 8), (6, 4), (3, 2), (2, 1)][: 4 if name in SHAPES else 5]
    assert [f.shape[2:] for f in features] == levels and len(model.rpn_head(features)[0]) == len(levels)
    assert model.with_mask == name.startswith('mask')


@pytest.mark.parametrize('name', EXAMPLES)
def test_example_builds(name):
    backbone = build_on_meta(Row(name, '', '', {})).backbone
    check_backbone(backbone, name)
    assert (backbone.frozen_stages, backbone.norm_eval) == (1, True)
    depth = facts(name)[1]
    assert load(name).model.backbone.init_cfg.checkpoint == f'checkpoints/eca_resnet{depth}.pth'


@pytest.mark.parametrize('name', CLASSIFIERS)
def test_classifier_builds(name):
    model = build_on_meta(Row(name, '', '', {}))
    check_backbone(model.backbone, name)
    assert model(torch.empty(2, 3, 64, 64, device='meta'), mode='tensor').shape == (2, 1000)


@pytest.mark.parametrize('name', [
    'faster_rcnn_eca_r50_fpn_1x', 'mask_rcnn_se_r50_fpn_1x', 'mask_rcnn_eca_r50_fpn_shapes',
    'examples/retinanet_eca_r50_fpn_1x', 'examples/detr_eca_r50_150e',
])  # fmt: skip
@pytest.mark.filterwarnings('ignore:To copy construct from a tensor:UserWarning')  # mmdet's cross-entropy, in DETR
def test_detector_learns(name):
    torch.manual_seed(0)
    model = build_model(load(name)).train()
    with_mask = name.startswith('mask')
    batch = demo_mm_inputs(2, [[3, 96, 96], [3, 96, 64]], num_classes=4, with_mask=with_mask)
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert ('loss_mask' in losses) == with_mask
    total, _ = model.parse_losses(losses)
    total.backward()
    idle = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    # With so few and small boxes no proposal may reach a level of the pyramid; the backbone always learns.
    assert total.isfinite() and not [n for n in idle if n.startswith('backbone.')]
    with torch.no_grad():
        results = model.eval()(**model.data_preprocessor(batch, False), mode='predict')
    assert len(results) == 2 and ('masks' in results[0].pred_instances) == with_mask


@pytest.mark.parametrize('name', ['resnet50', 'eca_resnet50', 'eca_ns_resnet50', 'se_gc1_resnet50', 'se_mobilenet_v2'])
def test_classifier_learns(name):
    torch.manual_seed(0)
    model = build_model(load(f'imagenet/{name}')).train()
    samples = [DataSample().set_gt_label(i) for i in (3, 999)]
    loss = model(torch.randn(2, 3, 64, 64), samples, mode='loss')['loss']
    loss.backward()
    assert loss.isfinite() and all(p.grad is not None for p in model.parameters())


PLUGIN = "[dict(cfg=dict(type='eca_mm.ECALayer'), stages=(True,) * 4, position='after_conv3')]"


@pytest.mark.parametrize(
    ('base', 'backbone'),
    [
        ('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', "type='eca_mm.ECAResNet', init_cfg=None"),
        ('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', f'plugins={PLUGIN}, init_cfg=None'),
        ('mmpretrain::resnet/resnet50_8xb32_in1k.py', "type='eca_mm.ECAResNet'"),
    ],
)
def test_configs_of_other_libraries_learn(base, backbone, tmp_path):
    """They cite our names and import nothing; a step of SGD lowers the loss."""
    (tmp_path / 'theirs.py').write_text(f'_base_ = {base!r}\nmodel = dict(backbone=dict({backbone}))')
    torch.manual_seed(0)
    cfg = load_config(tmp_path / 'theirs.py')
    model = build_model(cfg)
    model.init_weights()
    assert 'layer1.0.eca.conv.weight' in model.backbone.state_dict()
    if cfg.default_scope == 'mmdet':
        data = model.data_preprocessor(demo_mm_inputs(1, [[3, 96, 96]], num_classes=4), True)
    else:
        samples = [DataSample().set_gt_label(i) for i in (3, 999)]
        data = dict(inputs=torch.randn(2, 3, 64, 64), data_samples=samples)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 1e-3)
    losses = []
    for _ in range(3):
        torch.manual_seed(1)  # of the heads' samplers
        losses.append(model.parse_losses(model(**data, mode='loss'))[0])
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize('name', COMPARISONS)
def test_comparison_builds(name):
    model = build_on_meta(Row(name, '', '', {}))
    classes = dict(shapes=4, cifar10=10, cifar100=100, folder=1000)[name.split('/')[1]]
    assert model(torch.empty(2, 3, 64, 64, device='meta'), mode='tensor').shape == (2, classes)


@pytest.mark.parametrize('name', DETECTORS + CLASSIFIERS + EXAMPLES)
def test_base_of_the_learning_rate(name):
    """Where OpenMMLab's own tools scale it by the images of a step."""
    config = load(name)
    assert config.auto_scale_lr.base_batch_size == config.images_per_step


@pytest.mark.parametrize('name', DETECTORS + CLASSIFIERS + SHAPES + EXAMPLES)
def test_checkpoints_are_written_atomically(name):
    """A kill in the middle leaves the one before."""
    assert load(name).default_hooks.checkpoint.backend_args == dict(backend='eca_mm.atomic')


# What stands behind the name of a table in the header of a config that is a row of it.
HEADERS = {
    'table1': 'top-1 {Top-1}, top-5 {Top-5}',
    'table2': 'top-1 {Top-1}, top-5 {Top-5}, {Param.} parameters, {FLOPs}FLOPs',
    'table4': 'AP {AP}, {Param.} parameters, {GFLOPs} GFLOPs',
    'table3': 'top-5 {Top-5}',
    'table5': 'mask AP {AP}',
}


@pytest.mark.parametrize('name', DETECTORS + CLASSIFIERS + SHAPES + LEGACY + EXAMPLES)
def test_header_has_the_command_and_the_papers_numbers(name):
    header = ast.get_docstring(ast.parse((CONFIGS / f'{name}.py').read_text()))
    line, command = header.split('\n\n')[:2]
    tool, checkpoint = ('test', ' CONVERTED.pth') if name in LEGACY else ('train', '')
    assert command == f'tools/{tool}.py configs/{name}.py{checkpoint}'
    row = name if name not in LEGACY else f'{name.removeprefix("legacy/")}_1x'
    cited = dict(re.findall(r'(Table \d): (.+?)(?=; |\.$)', line))
    for label, text in cited.items():
        table = TABLES[label.replace(' ', '').lower()]
        wanted = HEADERS[table.name] if name not in LEGACY else HEADERS[table.name].split(',')[0]
        (printed,) = (r.printed for r in table.rows if r.config == row)
        numbers = {column: re.sub(r'G$|M$', r' \g<0>', n) if column == 'FLOPs' else n for column, n in printed.items()}
        for column, number in numbers.items():
            wanted = wanted.replace(f'{{{column}}}', number or '-')
        assert text == wanted
    tables = {table.label for table in TABLES.values() if row in (r.config for r in table.rows)}
    assert bool(tables) == bool(cited or 'Figure 4' in line) and set(cited) <= tables
    assert name not in DETECTORS or set(cited) == tables


@pytest.mark.parametrize('file', sorted(CONFIGS.rglob('*.py')), ids=lambda file: str(file.relative_to(CONFIGS)))
def test_config_has_no_import(file):
    """With one, mmengine 0.10.7 takes a config for a pure-Python one where Python is outside /usr, and refuses its `_base_`."""
    assert not [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]
