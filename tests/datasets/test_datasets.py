"""The embedded dataset, read back by pycocotools, and the sampler."""

import errno
import multiprocessing
import os
import signal

import cv2
import numpy as np
import pytest
from mmdet.datasets import AspectRatioBatchSampler
from mmdet.registry import DATASETS
from pycocotools.coco import COCO

from eca_mm.datasets import ShapeClassesDataset, StepSampler, shapes
from eca_mm.datasets.shapes import CLASSES, NUM_IMAGES, PARTS, VERSION, draw_image, draw_shapes
from eca_mm.errors import UserError


@pytest.mark.parametrize('split', NUM_IMAGES)
def test_images_and_annotations(split, shapes_root):
    """Masks give the boxes and areas; every class and size occurs."""
    dataset, folder = COCO(shapes_root / 'annotations' / f'instances_{split}.json'), shapes_root / split
    assert len(dataset.imgs) == NUM_IMAGES[split] == len(list(folder.iterdir()))
    for image in list(dataset.imgs.values())[:20]:
        assert cv2.imread(folder / image['file_name']).shape == (image['height'], image['width'], 3)
        assert dataset.getAnnIds(image['id'])
    for annotation in list(dataset.anns.values())[:500]:
        mask = dataset.annToMask(annotation)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert annotation['bbox'] == [columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]]
        assert annotation['area'] == mask.sum()
    assert {type(a['segmentation']) for a in dataset.anns.values()} == {list, dict}  # polygons and run lengths
    assert {dataset.cats[a['category_id']]['name'] for a in dataset.anns.values()} == set(CLASSES)
    areas = np.array([a['area'] for a in dataset.anns.values()])
    for part in (areas < 32**2, (areas >= 32**2) & (areas <= 96**2), areas > 96**2):
        assert part.mean() > 0.1


def test_the_mask_is_where_the_shape_was_drawn():
    pixels, annotations = draw_image(np.random.default_rng(5))
    coco = COCO()
    coco.imgs = {1: dict(height=pixels.shape[0], width=pixels.shape[1])}
    for annotation in annotations:
        inside = pixels[coco.annToMask(dict(annotation, image_id=1)) > 0]
        assert len(np.unique(inside, axis=0)) == 1  # one colour, all of it


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr('eca_mm.datasets.shapes.NUM_IMAGES', dict(train=2, val=1))


def test_splits_differ_and_drawing_is_deterministic(shapes_root, tmp_path, few):
    draw_shapes(tmp_path)
    for split, images in (('train', 2), ('val', 1)):
        again, first = (COCO(root / 'annotations' / f'instances_{split}.json') for root in (tmp_path, shapes_root))
        assert list(again.anns.values()) == [a for a in first.anns.values() if a['image_id'] <= images]
        for image in again.imgs.values():
            name = f'{split}/{image["file_name"]}'
            assert (tmp_path / name).read_bytes() == (shapes_root / name).read_bytes()
    train, val = ({f.read_bytes() for f in (shapes_root / split).iterdir()} for split in ('train', 'val'))
    assert len(train) == 800 and not train & val


def test_processes_may_draw_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr('eca_mm.datasets.shapes.NUM_IMAGES', dict(train=30, val=3))
    context, real = multiprocessing.get_context('fork'), shapes.draw_image
    drawn = context.Value('i')

    def counted(rng):
        with drawn.get_lock():
            drawn.value += 1
        return real(rng)

    monkeypatch.setattr(shapes, 'draw_image', counted)
    workers = [context.Process(target=draw_shapes, args=(tmp_path / 'shapes',)) for _ in range(4)]
    [w.start() for w in workers]
    [w.join() for w in workers]
    assert [w.exitcode for w in workers] == [0] * 4 and drawn.value == 33  # one drew, the others waited
    assert [f.name for f in tmp_path.iterdir()] == ['shapes']
    assert {f.name for f in (tmp_path / 'shapes').iterdir()} == set(PARTS)  # nothing temporary is left
    assert len(list((tmp_path / 'shapes/train').iterdir())) == 30


@pytest.mark.parametrize(
    ('found', 'version'),
    [
        (['thesis.tex'], None),
        (['train', 'val', 'annotations'], None),
        (['mine'], ''),
        (['train', 'mine'], ''),
        ([], '0'),
        (['train', 'val', 'annotations'], '0'),
    ],
)
def test_a_foreign_folder_is_left_alone(found, version, tmp_path, few):
    for name in found:
        (tmp_path / name).write_text('0')
    if version is not None:
        (tmp_path / 'VERSION').write_text(version)
        found = [*found, 'VERSION']
    with pytest.raises(UserError, match='not a shapes dataset of version 1'):
        draw_shapes(tmp_path)
    assert sorted(f.name for f in tmp_path.iterdir()) == sorted(found)


def test_an_empty_folder_is_filled_where_it_is(tmp_path, few):
    """As a mount point must be; a link to one stays a link."""
    (tmp_path / 'disk/lost+found').mkdir(parents=True)
    (tmp_path / 'shapes').symlink_to('disk')
    inode = (tmp_path / 'disk').stat().st_ino
    draw_shapes(tmp_path / 'shapes')
    assert (tmp_path / 'shapes').is_symlink() and (tmp_path / 'disk').stat().st_ino == inode
    assert {f.name for f in (tmp_path / 'disk').iterdir()} == {*PARTS, 'lost+found'}
    assert len(list((tmp_path / 'disk/train').iterdir())) == 2


@pytest.mark.parametrize('images', [0, 1, 2])
def test_a_kill_is_made_up_for(images, tmp_path, few, monkeypatch):
    """Before the first image, in the midst of a split, and between the splits; the last image is half written."""
    root, real, drawn = tmp_path / 'shapes', shapes.draw_image, []

    def killed(rng):
        if len(drawn) == images:
            for file in sorted(root.glob('train/*'))[-1:]:
                file.write_bytes(file.read_bytes()[:100])
            os.kill(os.getpid(), signal.SIGKILL)
        drawn.append(rng)
        return real(rng)

    with monkeypatch.context() as patched:
        patched.setattr(shapes, 'draw_image', killed)
        worker = multiprocessing.get_context('fork').Process(target=draw_shapes, args=(root,))
        worker.start(), worker.join()
    assert worker.exitcode == -signal.SIGKILL and (root / 'VERSION').read_text() == ''
    draw_shapes(root)
    assert {f.name for f in root.iterdir()} == set(PARTS)
    assert len(COCO(root / 'annotations/instances_train.json').imgs) == len(list((root / 'train').iterdir())) == 2
    assert all(cv2.imread(file) is not None for file in root.glob('*/*.png'))


def test_a_file_system_without_locks(tmp_path, few, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr('fcntl.flock', flock)
    draw_shapes(tmp_path)
    assert (tmp_path / 'VERSION').read_text() == '1\n' and {f.name for f in tmp_path.iterdir()} == set(PARTS)


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / 'file').touch()
    (tmp_path / 'nowhere').symlink_to('missing/there')
    for place in ('file', 'file/shapes', 'nowhere'):
        with pytest.raises(UserError, match=rf'^the shapes dataset cannot be drawn .*{place}.*SHAPES_ROOT$'):
            draw_shapes(tmp_path / place)


def test_registered_for_mmdet(shapes_root, tmp_path):
    cfg = dict(type='eca_mm.ShapesDataset', split='val', data_root=str(shapes_root), pipeline=[])
    dataset = DATASETS.build(cfg)
    assert len(dataset) == 100 and dataset.metainfo['classes'] == CLASSES
    with pytest.raises(UserError, match="split must be one of .*'test'"):
        DATASETS.build(dict(cfg, split='test', data_root=str(tmp_path / 'shapes')))
    assert not (tmp_path / 'shapes').exists()


@pytest.mark.parametrize(('images', 'processes'), [(1, 1), (1, 4), (80, 4), (81, 4)])
def test_step_sampler_fills_whole_steps(images, processes, monkeypatch):
    seen = []
    for rank in range(processes):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda rank=rank: (rank, processes))
        sampler = StepSampler(range(images), images_per_step=8, seed=0)
        indices = list(sampler)
        assert len(indices) == len(sampler)
        seen += indices
    assert len(seen) == -(-images // 8) * 8
    assert set(seen) == set(range(images))


def test_aspect_ratio_batches_stay_whole():
    class Dataset(list):
        def get_data_info(self, i):
            return dict(width=self[i], height=1)

    dataset = Dataset(np.random.default_rng(0).choice([0.5, 2], 83))
    batches = AspectRatioBatchSampler(StepSampler(dataset, images_per_step=8, seed=0), batch_size=2)
    assert len(list(batches)) == len(batches) == 88 // 2
    assert all(len(b) == 2 for b in batches)


def test_shape_classes():
    """Labels are recounted from the scenes, which are drawn anew; no class is rare."""
    train, val = (ShapeClassesDataset(split, indices=200) for split in ('train', 'val'))
    assert train.metainfo['classes'] == CLASSES
    for split, dataset in ((2, train), (3, val)):
        labels = [dataset[i]['gt_label'] for i in range(200)]
        assert min(labels.count(c) for c in range(4)) > 20
        for i in (0, 7, 199):
            pixels, shapes = draw_image(np.random.default_rng([VERSION, split, i]))
            areas = [sum(s['area'] for s in shapes if s['category_id'] == c) for c in range(1, 5)]
            sample = dataset[i]
            assert sample['gt_label'] == np.argmax(areas) and dataset.get_cat_ids(i) == [np.argmax(areas)]
            assert sample['img'].shape == (64, 64, 3)
            assert np.abs(sample['img'].mean((0, 1)) - pixels.mean((0, 1))).max() < 2
    with pytest.raises(UserError, match="'test'"):
        ShapeClassesDataset('test')
