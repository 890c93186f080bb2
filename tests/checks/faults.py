"""A dataset of three classes with faults planted in it, and a whole one."""

import json

import cv2
import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

WIDTH, HEIGHT = 48, 32
CLASSES = ('cat', 'dog', 'owl')


def write_image(file, width=WIDTH, height=HEIGHT, seed=0):
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def run_lengths():
    """Of pycocotools itself."""
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8, order='F')
    pixels[4:20, 5:30] = 1
    encoded = coco_mask.encode(pixels)
    return dict(size=encoded['size'], counts=encoded['counts'].decode())


def annotation(number, image, **changes):
    polygon = [[4, 4, 24, 4, 24, 20, 4, 20]]
    whole = dict(
        id=number, image_id=image, category_id=number % 3 + 1, bbox=[4, 4, 20, 16], area=320, segmentation=polygon
    )
    return {**whole, 'iscrowd': 0, **changes}


def coco(images):
    """The content of a file in COCO's format without a fault: an object in each image."""
    return dict(
        images=[dict(id=i, file_name=f'{i}.png', width=WIDTH, height=HEIGHT) for i in range(1, images + 1)],
        annotations=[annotation(i, i) for i in range(1, images + 1)],
        categories=[dict(id=i, name=name) for i, name in enumerate(CLASSES, 1)],
    )


def write_split(root, split, content):
    """The file, and each image that it lists."""
    for image in content['images']:
        write_image(root / split / image['file_name'], seed=image['id'])
    root.mkdir(exist_ok=True)
    (root / f'{split}.json').write_text(json.dumps(content))


# What is planted, as changes of one annotation, and what the doctor must say of it.
ANNOTATIONS = [
    (dict(bbox=[float('nan'), 4, 20, 16]), 'boxes that are not four finite numbers'),
    (dict(bbox=[4, 4, -20, 16]), 'boxes of negative width or height'),
    (dict(bbox=[4, 4, 0, 16]), 'boxes less than a pixel wide or high'),
    (dict(bbox=[100, 4, 20, 16]), 'boxes outside the image'),
    (dict(bbox=[30, 4, 40, 16]), 'boxes partly outside the image'),
    (dict(area=-1), 'objects whose area is not positive'),
    (dict(segmentation=dict(size=[HEIGHT, WIDTH], counts='rubbish~~')), 'masks that do not decode: compressed run lengths'),
    (dict(segmentation=dict(size=[64, 64], counts=run_lengths()['counts'])), 'masks that do not decode: run lengths for'),
    (dict(segmentation=dict(size=[HEIGHT, WIDTH], counts=[5, 5])), 'masks that do not decode: run lengths of 10 pixels'),
    (dict(segmentation=[[4, 4, 24, 4, float('nan'), 20]]), 'masks that do not decode: a polygon with a NaN'),
    (dict(segmentation=[]), 'masks that do not decode: no mask'),
    (dict(segmentation=[[4, 4, 24]]), 'polygons of too few or an odd number'),
    (dict(category_id=7), 'objects of a category that the file does not list'),
    (dict(image_id=999), 'annotations of an image that the file does not list'),
    (dict(id=1), 'annotation ids that occur twice'),
]  # fmt: skip


def _cut(file):
    file.write_bytes(file.read_bytes()[:-900])


def _turn(file):
    exif = Image.Exif()
    exif[0x0112] = 6  # as a camera held upright writes it: OpenCV turns the picture by 90 degrees
    with Image.open(file) as image:
        image.load()
    image.save(file, exif=exif)


def _folder(file):
    file.unlink()
    file.mkdir()


# The same of one image's file.
FILES = [
    (lambda file: file.unlink(), 'images that are missing'),
    (lambda file: file.write_bytes(b''), 'images that cannot be read: it is empty'),
    (lambda file: file.write_text('<html>'), 'images that cannot be read: it is no image'),
    (_folder, 'images that cannot be read: it is a folder'),
    (_cut, 'images that are cut off'),
    (lambda file: write_image(file, 64, 64), 'images of another size than annotated: 64 x 64'),
    (_turn, f'images of another size than annotated: {HEIGHT} x {WIDTH}'),
]  # fmt: skip


def config(base, root, file, classes=CLASSES, more=''):
    """A config of a small detector of `base` on such a dataset."""
    file.write_text(f"""
_base_ = {str(base)!r}
classes = {classes!r}
data_root = {str(root)!r}
pipeline = [
    dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask={'mask_rcnn' in str(base)}),
    dict(type='Resize', scale=(64, 64), keep_ratio=True), dict(type='PackDetInputs')]
train = dict(_delete_=True, type='CocoDataset', data_root=data_root, ann_file='train.json', data_prefix=dict(img='train'),
             filter_cfg=dict(filter_empty_gt=True), pipeline=pipeline)
val = dict(_delete_=True, type='CocoDataset', data_root=data_root, ann_file='val.json', data_prefix=dict(img='val'),
           test_mode=True, pipeline=pipeline)
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=train)
val_dataloader = dict(batch_size=1, num_workers=0, persistent_workers=False, dataset=val)
test_dataloader = val_dataloader
{more}
""")
    return file
