"""Bad inputs, by what is wrong: the command, what is done to the files before it, and a part of the sentence that it ends with.

The files are those of :func:`world`; a command runs in their folder.
"""

import json
import math

import torch
from torchvision.models import resnet18

from tests.checks import faults
from tests.support import FASTER, MASK, REPOSITORY

NAN = float('nan')
NARROW = """
model = dict(
    backbone=dict(depth=18, stem_channels=8, base_channels=8, kernel_size=3),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
    rpn_head=dict(in_channels=16, feat_channels=16),
    roi_head=dict(bbox_roi_extractor=dict(out_channels=16), bbox_head=dict(in_channels=16, fc_out_channels=32){masks}))
images_per_step, pictures = 2, None
train_cfg = dict(max_epochs=1, val_interval=1)
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
"""
MASKS = ', mask_roi_extractor=dict(out_channels=16), mask_head=dict(in_channels=16, conv_out_channels=8)'
CLASSIFIER = f"""
_base_ = {str(REPOSITORY / 'configs/imagenet/eca_resnet50.py')!r}
classes = ('cat', 'dog')
images_per_step = 2
model = dict(
    backbone=dict(depth=18, stem_channels=8, base_channels=8, kernel_size=3, init_cfg=dict(type='Kaiming', layer='Conv2d')),
    head=dict(in_channels=64))
pipeline = [
    dict(type='LoadImageFromFile'), dict(type='ResizeEdge', scale=32), dict(type='CenterCrop', crop_size=32),
    dict(type='PackInputs')]
data = dict(data_root='animals', pipeline=pipeline)
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=data)
val_dataloader = train_dataloader | dict(dataset=dict(split='val', **data))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1, val_interval=1)
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
"""
ROW = 'mask_rcnn_eca_r50_fpn_1x'


def world(root):
    """A detector, one with masks, and a classifier, with three images each to train on; truth and results to score."""
    for split, images in (('train', 3), ('val', 2)):
        faults.write_split(root, split, faults.coco(images))
        for name in ('cat/1.png', 'dog/2.png'):
            faults.write_image(root / 'animals' / split / name)
    faults.config(FASTER, '.', root / 'det.py', more=NARROW.format(masks=''))
    faults.config(MASK, '.', root / 'mask.py', more=NARROW.format(masks=MASKS))
    (root / 'cls.py').write_text(CLASSIFIER)
    (root / 'a.json').write_text(json.dumps(faults.coco(2)))
    (root / 'p.json').write_text(json.dumps([detection()]))


def detection(**changes):
    return dict(image_id=1, category_id=2, score=0.9, bbox=[4, 4, 20, 16]) | changes


# What is done to the files.
def remove(name):
    return lambda root: (root / name).unlink()


def write(name, content=b''):
    def do(root):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return do


def cut(name):
    return lambda root: write(name, (root / name).read_bytes()[:-900])(root)


def folder(name):
    def do(root):
        (root / name).unlink(missing_ok=True)
        (root / name).mkdir()

    return do


def size(name, width, height):
    return lambda root: faults.write_image(root / name, width, height)


def thin(split):
    """An image that keeps no pixel of a side when it is scaled down, and is annotated so."""

    def do(root):
        faults.write_image(root / split / '2.png', 3000, 1)
        images = [dict(id=i, file_name=f'{i}.png', width=48, height=32) for i in (1, 2, 3)]
        images[1].update(width=3000, height=1)
        content(f'{split}.json', images=images)(root)

    return do


def both(*changes):
    return lambda root: [change(root) for change in changes]


def add(name, text):
    return lambda root: write(name, f'{(root / name).read_text()}\n{text}\n')(root)


def annotations(file='train.json', every=False, **changes):
    """Of the first annotation, or of all."""

    def do(root):
        content = json.loads((root / file).read_text())
        for a in content['annotations'][: None if every else 1]:
            a.update(changes)
        write(file, json.dumps(content))(root)

    return do


def content(file='train.json', **changes):
    return lambda root: write(file, json.dumps(json.loads((root / file).read_text()) | changes))(root)


def results(**changes):
    return write('p.json', json.dumps([detection(), detection(**changes)]))


def masks(segmentation, file='p.json'):
    return write(file, json.dumps([dict(image_id=1, category_id=2, score=0.9, segmentation=segmentation)]))


def weights(name, change):
    def do(root):
        state = torch.load(root / name, weights_only=True)
        torch.save(change(state), root / name)

    return do


def torch_file(name, **state):
    return lambda root: torch.save(state, root / name)


def with_nan(state):
    return {key: value * math.nan if key.endswith('conv1.weight') else value for key, value in state.items()}


UNSTATED = """
classes = None
named = dict(metainfo=dict(classes=('cat', 'dog', 'owl')))
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=train | named)
val_dataloader = dict(batch_size=1, num_workers=0, persistent_workers=False, dataset=val | named)
"""
OTHER_FILE = """
model['roi_head']['bbox_head']['num_classes'] = 3
val_evaluator = dict(ann_file='other.json')
"""
WIDE = torch_file('r18.pth', **{f'backbone.{key}': value for key, value in resnet18().state_dict().items()})
RUBBISH = dict(size=[faults.HEIGHT, faults.WIDTH], counts='rubbish~~')
TRAIN, MASKED, CLASSIFY = 'train det.py', 'train mask.py', 'train cls.py'
TEST = 'test det.py det.pth'
SCORE = f'reproduce table4 table5 --only accuracy --ann-file a.json --predictions {ROW}=p.json'
SET = '--cfg-options'

IMAGES = [
    (TRAIN, remove('train/2.png'), 'train/2.png cannot be used: it does not exist'),
    (TRAIN, write('train/2.png'), 'train/2.png cannot be used: it is empty'),
    (TRAIN, write('train/2.png', '<html>'), 'train/2.png cannot be used: it is no image'),
    (TRAIN, cut('train/2.png'), 'train/2.png cannot be used: image file is truncated'),
    (TRAIN, folder('train/2.png'), 'train/2.png cannot be used: it is a folder'),
    (TRAIN, size('train/2.png', 64, 64), 'train/2.png cannot be used: it is 64 x 64, annotated 48 x 32'),
    (TRAIN, remove('train/1.png'), 'train/1.png, the first image, does not exist'),
    (f'{TRAIN} --skip-unreadable -1', None, '--skip-unreadable must be a number of images, got -1'),
    (MASKED, size('train/2.png', 32, 48), 'train/2.png cannot be used: it is 32 x 48, annotated 48 x 32'),
    (TRAIN, thin('train'), 'train/2.png cannot be used: OpenCV refuses it'),
    (TEST, thin('val'), 'val/2.png cannot be used: OpenCV refuses it'),
    (TEST, write('val/2.png'), 'val/2.png cannot be used: it is empty'),
    (CLASSIFY, write('animals/train/dog/2.png'), 'dog/2.png cannot be used: it is empty'),
    (CLASSIFY, cut('animals/train/cat/1.png'), 'cat/1.png cannot be used: image file is truncated'),
    ('test cls.py cls.pth', both(remove('animals/val/cat/1.png'), remove('animals/val/dog/2.png')), 'Found 0 files'),
    ('predict det.py det.pth x.png', size('x.png', 3000, 1), 'image x.png cannot be used: OpenCV refuses it'),
    ('predict cls.py cls.pth x.png', write('x.png'), 'none of the images can be read: x.png'),
    ('predict cls.py cls.pth x.png', write('x.png', 'no image'), 'none of the images can be read: x.png'),
    ('predict cls.py cls.pth nothing', folder('nothing'), 'no image at nothing: name a file, or a folder of .jpg'),
    ('predict cls.py cls.pth x.png', None, 'no image at x.png'),
    ('doctor det.py', write('val/2.png'), 'images that cannot be read: 1 (val/2.png: it is empty)'),
    ('plot weights cls.py cls.pth x.png', write('x.png'), 'x.png cannot be used: it is empty'),
]  # fmt: skip
ANNOTATIONS = [
    (TRAIN, remove('train.json'), 'data not found: train.json does not exist'),
    (TRAIN, write('train.json', '{"images": ['), 'Expecting value'),
    (TRAIN, write('train.json', '[]'), "annotation file format <class 'list'> not supported"),
    (TRAIN, write('train.json', '{}'), 'lists that are missing: 3 (images; annotations; categories)'),
    (TRAIN, content(images=[dict(id=1)]), "images[0] (id 1) has no 'file_name'"),
    (TRAIN, content(annotations=[]), 'files without a usable object: 1 (3 images, 0 annotations)'),
    (TRAIN, annotations(bbox=[NAN, 4, 20, 16]), 'boxes that are not four finite numbers: 1 (annotation 1 of 1.png'),
    (TRAIN, annotations(bbox='4 4 20 16'), 'boxes that are not four finite numbers: 1'),
    (TRAIN, annotations(every=True, bbox=[4, 4, 0, 16]), 'files without a usable object'),
    (TRAIN, annotations(every=True, image_id=99), 'files without a usable object'),
    (TRAIN, annotations(id=2), 'annotation ids that occur twice: 1 (id 2, 2 times)'),
    (TRAIN, annotations(area=None), 'objects whose area is no finite number'),
    (TRAIN, content(categories=[dict(id=1, name='cat')] * 2), 'ids or names of categories that occur twice'),
    (MASKED, annotations(segmentation=RUBBISH), 'masks that do not decode: 1 (annotation 1 of 1.png: compressed run'),
    (MASKED, annotations(segmentation=dict(RUBBISH, size=[9, 9])), 'run lengths for [9, 9], and the image is [32, 48]'),
    (MASKED, annotations(segmentation=dict(RUBBISH, counts=[5, 5])), 'run lengths of 10 pixels for an image of 1536'),
    (MASKED, annotations(segmentation=[[4, 4, 24, 4, NAN, 9]]), 'a polygon with a NaN or infinite number'),
    (MASKED, annotations(segmentation=None), 'masks that do not decode: 1 (annotation 1 of 1.png: no mask'),
    ('test mask.py mask.pth', annotations('val.json', segmentation=[[4, 4, 9]]), 'a polygon of 3 numbers'),
    ('doctor mask.py', annotations(segmentation=[]), 'masks that do not decode: 1 (annotation 1 of 1.png: no mask)'),
    ('doctor det.py', remove('val.json'), 'data not found: val.json does not exist'),
]  # fmt: skip
CLASSES = [
    (TRAIN, add('det.py', "classes = ('cat', 'dgo', 'owl')"), "no category for: 1 ('dgo'; the file has 'cat', 'dog', 'owl')"),
    (TRAIN, add('det.py', "classes = ('dog', 'cat', 'owl')"), "in another order than in the file: 1 (classes = ('cat', 'dog',"),
    (TRAIN, add('det.py', "classes = 'cat'"), "classes must be a list of names, such as ('cat', 'dog')"),
    (TRAIN, add('det.py', "classes = ('cat', 'cat')"), "classes has 'cat' twice"),
    (TRAIN, add('det.py', 'classes = None'), "no category for: 78 ('person'; the file has 'cat', 'dog', 'owl'; 'bicycle'; "),
    (TRAIN, add('det.py', UNSTATED), "the model's roi_head.bbox_head has num_classes=4, and the train dataset has 3 classes"),
    (CLASSIFY, add('cls.py', "classes = ('dog', 'cat')"), 'numbers its folders cat, dog, and classes are dog, cat'),
    (CLASSIFY, add('cls.py', "classes = ('cat', 'dog', 'owl')"), "number of subfolders (2) doesn't match"),
    (CLASSIFY, add('cls.py', 'classes = None'), "number of subfolders (2) doesn't match"),
    ('doctor cls.py', add('cls.py', "classes = ('dog', 'cat')"), 'numbers its folders cat, dog, and classes are dog'),
]  # fmt: skip
CONFIGS = [
    (f'{TRAIN} {SET} model.neck.in_channels=[64,128,256,512]', None, 'set model.neck.in_channels to [8, 16, 32, 64]'),
    (f'{TEST} {SET} model.backbone.out_indices=[1,2,3]', None, 'set model.neck.in_channels to [16, 32, 64]'),
    (f'{TRAIN} {SET} model.rpn_head.in_channels=256', None, 'set model.rpn_head.in_channels to 16'),
    (f'{CLASSIFY} {SET} model.head.in_channels=2048', None, 'set model.head.in_channels to 64'),
    (f'{TRAIN} {SET} train_cfg.val_interval=0', None, 'train_cfg.val_interval must be a positive number, got 0'),
    (f'{TRAIN} {SET} train_cfg.max_epochs=-1', None, 'train_cfg.max_epochs must be a positive number, got -1'),
    (f'{TRAIN} {SET} images_per_step=0', None, 'images_per_step must be a positive integer, got 0'),
    (f'{TRAIN} {SET} train_dataloader.batch_size=0', None, 'train_dataloader.batch_size must be a positive integer, got 0'),
    (f'{TRAIN} {SET} train_dataloader.num_workers=-1', None, 'num_workers option should be non-negative'),
    (f'{TRAIN} {SET} optim_wrapper.optimizer.lr=-1', None, 'does not build an optimiser'),
    (f'{TRAIN} {SET} optim_wrapper.optimizer.type=SDG', None, 'does not build an optimiser'),
    (f'{TRAIN} {SET} model.backbone.type=ECAResnet', None, 'ECAResnet is not in'),
    (f'{TRAIN} {SET} modell.backbone.depth=50', None, "did you mean 'model'"),
    (f'{TRAIN} {SET} train_dataloader=None', None, 'det.py has no train_dataloader, which training needs'),
    (f'{TRAIN} {SET} load_from=other.pth', torch_file('other.pth', w=torch.ones(1)), 'other.pth does not fit the config'),
    (f'{TRAIN} {SET} load_from=r18.pth', WIDE, 'r18.pth does not fit the config: 100 of another shape: backbone.conv1'),
    (f'{TRAIN} {SET} load_from=nowhere.pth', None, 'checkpoint not found: nowhere.pth'),
    (f'{TRAIN} {SET} backbone_weights=nowhere.pth', None, 'backbone weights not found: nowhere.pth'),
    (f'{TRAIN} {SET} model.backbone.init_cfg.checkpoint=5', None, '--cfg-options do not fit the config: init_cfg='),
    (TRAIN, add('det.py', f"{UNSTATED}{OTHER_FILE}"), 'compares with other.json'),
    (TRAIN, write('det.py', 'model = dict('), 'det.py cannot be read as a config'),
    (TRAIN, add('det.py', "custom_imports = dict(imports=['nowhere'])"), 'Failed to import nowhere'),
    ('train dett.py', None, 'config not found: dett.py; there is det.py'),
    (f'{TRAIN} {SET} max_invalid_losses=0', None, 'max_invalid_losses must be a positive number of iterations, got 0'),
    (f'{TRAIN} --seed -1', None, 'does not build a seed'),
    (f'{TRAIN} --checkpoint-every nan', None, '--checkpoint-every must be a number of minutes, got nan'),
    (f'{TRAIN} --resume nowhere.pth', None, 'checkpoint not found: nowhere.pth'),
    (f'{TRAIN} --resume det.pth', None, 'det.pth has no meta, message_hub, optimizer'),
    (f'{TRAIN} --work-dir det.py', None, 'det.py cannot be made a folder'),
    (f'{TRAIN} --data-root nowhere', None, 'nowhere/train.json does not exist'),
    (f'{TRAIN} --launcher pytorch', None, 'start this command with torchrun'),
    (f'{TRAIN} --amp --launcher kubernetes', None, "got 'kubernetes'"),
    (f'{TRAIN} {SET} seed', None, "KEY=VALUE, got 'seed'"),
    ('export cls.py cls.pth x.pt2 --part dense', None, 'cls.py is a classifier without a dense head'),
    ('doctor det.py --draw 0', None, '--draw must be a number of pictures, got 0'),
    ('doctor --quick', None, '--data-root, --quick and --draw need a CONFIG'),
    ('doctor det.py --fast', None, 'unrecognized arguments: --fast'),
    ('doctor dett.py', None, 'config not found: dett.py'),
]  # fmt: skip
RESULTS = [
    (TEST, weights('det.pth', with_nan), 'has NaN or infinity in'),
    ('test det.py cls.pth', None, 'cls.pth does not fit the config: 54 missing'),
    ('test det.py nowhere.pth', None, 'checkpoint not found: nowhere.pth'),
    ('test cls.py cls.pth --out p', None, '--out writes COCO results, and cls.py is not evaluated by CocoMetric'),
    ('predict det.py det.pth val --threshold nan', None, '--threshold must be a score from 0 to 1, got nan'),
    ('predict det.py det.pth val --threshold 30', None, '--threshold must be a score from 0 to 1, got 30'),
    ('predict cls.py cls.pth val --device gpu', None, "device 'gpu' cannot be used"),
    ('predict cls.py cls.pth val --cam layer9', None, "no layer 'layer9': there are"),
    ('predict cls.py cls.pth val --out-dir cls.py', None, '--out-dir: cls.py cannot be made a folder'),
    ('predict cls.py cls.pth val', size('val/1.jpg', 48, 32), 'would write the same JSON file'),
    (SCORE, results(bbox=[4, 4, -20, 16]), 'p.json: detection 1 needs x, y, width and height'),
    (SCORE, results(bbox=[4, 4, 20]), 'p.json: detection 1 needs x, y, width and height'),
    (SCORE, results(score=NAN), 'p.json: detection 1 needs a number as score, got nan'),
    (SCORE, results(image_id=9), 'p.json: image_id 9, 1 in all, are not in a.json'),
    (SCORE, results(category_id='cat'), "p.json: category_id 'cat', 1 in all, are not in a.json"),
    (SCORE, masks(RUBBISH), 'p.json: detection 0 has compressed run lengths that are none'),
    (SCORE, masks(dict(RUBBISH, counts='0000')), 'p.json: detection 0 has run lengths of 0 pixels'),
    (SCORE, masks([[4, 4, 9]]), 'p.json: detection 0 has a polygon of 3 numbers'),
    (SCORE, write('p.json', '[]'), 'p.json is an empty list'),
    (SCORE, write('p.json', '[{"image_id": 1,'), 'p.json is not JSON, or only a part of it'),
    (SCORE, annotations('a.json', bbox=[4, 4, 1e999, 16]), 'a.json: annotation 1 needs x, y, width and height'),
    (SCORE, content('a.json', images=5), 'a.json cannot be scored by pycocotools'),
    (SCORE.replace('r50', 'r51'), None, f'did you mean {ROW!r}'),
    ('reproduce tabel4', None, "no table 'tabel4'"),
    ('reproduce table2 --only speed --speed det.py', None, 'det.py is not what tools/benchmark.py writes'),
    ('reproduce table2 --only accuracy --tolerance nan', None, 'got nan'),
    ('convert_checkpoint det.pth x.pth --to timm', None, 'it is a detector, and timm has none like it'),
    ('convert_checkpoint det.pth x.pth', None, 'it is a detector of mmdet 3 already'),
    ('convert_checkpoint cls.pth x.txt', None, 'the converted file must end in .pth or .safetensors, got x.txt'),
    ('convert_checkpoint cls.pth det.pth', None, 'det.pth exists: name another file'),
    ('convert_checkpoint cls.pth cls.pth --force', None, 'cls.pth is the source itself'),
    ('convert_checkpoint det.py x.pth', None, 'not a PyTorch checkpoint'),
    ('convert_checkpoint cls.pth x.pth --source caffe', None, '--source must be one of mmdet1, mmdet, '),
    ('convert_checkpoint cls.pth x.pth --entry ema', None, "cls.pth has no entry 'ema', its entries are"),
    ('convert_checkpoint cls.pth val/1.png/x.pth', None, 'cannot be made a folder'),
    ('export cls.py cls.pth x.pt2 --tolerance nan', None, "tolerance is a part of an output's greatest value"),
    ('export cls.py cls.pth x.pt2 --batch 0', None, 'batch must be at least 1, got 0'),
    ('export cls.py cls.pth x.pt2 --size 8 8', None, 'the network takes images of 32 x 32 pixels or more'),
    ('export cls.py cls.pth x.docx', None, 'x.docx has none of the suffixes .onnx, .pt2, .ts, .pt'),
    ('export cls.py cls.pth det.pth', None, 'det.pth has none of the suffixes .onnx, .pt2, .ts, .pt'),
    ('export cls.py det.pth x.pt2', None, 'det.pth does not fit the config: 2 missing'),
    ('export cls.py cls.pth out --release --batch 2', None, '--release does not export a network: leave out --batch'),
    ('export cls.py cls.pth cls.py/out --release', None, 'cls.py/out cannot be made a folder'),
    ('benchmark imagenet/eca_resnet5', None, "unknown model 'imagenet/eca_resnet5': did you mean"),
    ('benchmark --batch 0', None, 'batch must be at least 1, got 0'),
    ('benchmark --rounds 1', None, 'rounds must be at least 2'),
    ('benchmark imagenet/eca_resnet50 --detectors', None, '--detectors and --no-peers choose among all models'),
    ('benchmark imagenet/eca_resnet50 --out a.csv', write('a.csv'), 'a.csv exists'),
    ('plot curves nowhere', None, 'nowhere has no log of a run'),
    ('plot bubble --out x.jpg', None, 'x.jpg must end in one of .png, .svg, .pdf'),
    ('plot bubble --out x.png', write('x.png'), 'x.png exists'),
    ('plot ksize --work-dirs nowhere', None, 'no folder of work directories: nowhere'),
    ('plot gap cls.py cls.pth val --layers conv_9_9', None, "the network has no 'conv_9_9': did you mean conv_5_2"),
    ('compare --layers plain EAC', None, "no attention layer 'EAC': did you mean"),
    ('compare --layers ECA:kernel_size', None, 'behind the colon stand options of the layer, KEY=VALUE'),
    ('compare --layers plain plain', None, 'plain is there twice: name each once'),
    ('configs nowhere', None, "no config of the package has 'nowhere' in its name"),
    ('compare nowhere.py', None, 'config not found: nowhere.py'),
]  # fmt: skip
TABLE = dict(images=IMAGES, annotations=ANNOTATIONS, classes=CLASSES, configs=CONFIGS, results=RESULTS)
