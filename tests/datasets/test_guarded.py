"""An image that cannot be read ends a training with its name, or is passed over; a bug keeps its traceback."""

import warnings

import cv2
import pytest
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from torch.utils.data import DataLoader

from eca_mm.checks import NamingPipeline, UnreadableImage, image_fault
from eca_mm.datasets.guarded import GuardedDataset, allow_unreadable, guarded, unreadable_images
from eca_mm.engine import load_config, train
from eca_mm.errors import UserError
from tests.checks import faults
from tests.support import FASTER


@pytest.fixture
def dataset(tmp_path):
    """Builds one of twelve images, some spoilt by faults of their files."""

    def build(spoilt, **changes):
        faults.write_split(tmp_path, 'train', faults.coco(12))
        for i, spoil in spoilt.items():
            spoil(tmp_path / f'train/{i}.png')
        cfg = load_config(faults.config(FASTER, tmp_path, tmp_path / 'mine.py'))
        with DefaultScope.overwrite_default_scope('mmdet'):
            return GuardedDataset({**cfg.train_dataloader.dataset, **changes})

    return build


BREAKING = [(spoil, said.partition(': ')[2] or 'it does not exist') for spoil, said in faults.FILES[:4]]
BREAKING += [(lambda file: file.write_bytes(file.read_bytes()[:-10]), 'OpenCV cannot decode it')]
BREAKING += [(lambda file: faults.write_image(file, 64, 64), 'it is 64 x 64, annotated 48 x 32')]


@pytest.mark.parametrize(('spoil', 'reason'), BREAKING)
def test_it_is_named(spoil, reason, dataset, tmp_path):
    spoilt = dataset({3: spoil})
    with pytest.raises(
        UnreadableImage, match=rf'^image {tmp_path}/train/3\.png cannot be used: .*{reason}.*--skip-unreadable'
    ):
        spoilt[2]


def test_it_is_named_in_one_line_by_the_process_of_a_data_loader(dataset):
    spoilt = dataset({3: BREAKING[0][0]})
    with pytest.raises(UnreadableImage, match=r'^image /.*/3\.png cannot be used: it does not exist; [^\n]*$'):
        list(DataLoader(spoilt, num_workers=1, collate_fn=pseudo_collate))


def test_a_few_are_unreadable_images(dataset, tmp_path):
    """Each counts once, whichever process comes across it."""
    spoilt = dataset({3: BREAKING[0][0], 7: BREAKING[1][0]})
    allow_unreadable(guarded(spoilt), 2)
    for workers in (0, 1):
        batches = list(DataLoader(spoilt, num_workers=workers, collate_fn=pseudo_collate))
        names = [batch['data_samples'][0].img_path for batch in batches]
        assert len(names) == 12 and not {f'{tmp_path}/train/{i}.png' for i in (3, 7)} & set(names)
        assert unreadable_images(spoilt) == [f'{tmp_path}/train/{i}.png' for i in (3, 7)]
    allow_unreadable(guarded(spoilt), 1)
    with pytest.raises(UnreadableImage, match=r'train/7\.png .*after 1 that --skip-unreadable allowed'):
        [spoilt[i] for i in range(12)]


def test_a_picture_that_pillow_takes_for_an_attack_is_none(tmp_path, monkeypatch):
    """Above 179 million pixels, here above 200."""
    monkeypatch.setattr('PIL.Image.MAX_IMAGE_PIXELS', 100)
    faults.write_image(file := tmp_path / 'large.jpg', 48, 32)
    assert image_fault(file, (48, 32)) is None and image_fault(file, (32, 48))[1] == '48 x 32, annotated 32 x 48'


def test_of_several_datasets_together(dataset):
    """Below wrappers too, which know nothing of it."""
    from mmengine.dataset import ConcatDataset, RepeatDataset

    spoilt = dataset({3: BREAKING[0][0]})
    config = dict(type=GuardedDataset, dataset=spoilt.dataset)
    both = ConcatDataset([config, dict(type=RepeatDataset, dataset=dict(config), times=1)])
    allow_unreadable(guarded(both), 2)
    [both[i] for i in range(24)]
    assert len(unreadable_images(both)) == 2
    allow_unreadable(guarded(both), 1)
    with pytest.raises(UnreadableImage):
        [both[i] for i in range(24)]


def test_a_bug_keeps_its_traceback(dataset):
    whole = dataset({})
    allow_unreadable(guarded(whole), 5)
    whole.pipeline.transforms.append(lambda data: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        whole[0]
    assert not unreadable_images(whole)


def test_of_a_path(tmp_path):
    """As mmdet's inferencer has it."""
    faults.write_image(tmp_path / 'thin.png', 3000, 1)
    pipeline = NamingPipeline([lambda path: dict(img=cv2.imread(path)), lambda data: cv2.resize(data['img'], (100, 0))])
    with pytest.raises(UnreadableImage, match=r'^image .*thin\.png cannot be used: OpenCV refuses it'):
        pipeline(str(tmp_path / 'thin.png'))


def test_in_training(tmp_path):
    """Named with the summary of those that were passed over, or as the error; in validation always."""
    for split in ('train', 'val'):
        faults.write_split(tmp_path, split, faults.coco(4))
    (tmp_path / 'train/2.png').unlink()
    config = faults.config(FASTER, tmp_path, tmp_path / 'mine.py')

    def run(work='w', **options):
        changes = {'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1, 'images_per_step': 2, 'pictures': None}
        changes |= {'model.backbone.depth': 18, 'model.neck.in_channels': [64, 128, 256, 512]}
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return train(load_config(config, work_dir=str(tmp_path / work), cfg_options=changes), **options)

    with pytest.raises(UserError, match=r'image .*train/2\.png cannot be used: it does not exist'):
        run()
    summary = run(skip_unreadable=1)
    assert summary.unreadable == [f'{tmp_path}/train/2.png']
    assert f'unreadable   1 of the images, passed over: {tmp_path}/train/2.png' in str(summary)
    (tmp_path / 'val/3.png').write_bytes(b'')
    with pytest.raises(UserError, match=r'image .*val/3\.png cannot be used: it is empty'):
        run('second', skip_unreadable=9)
    with pytest.raises(UserError, match='--skip-unreadable must be a number of images, got -1'):
        run('third', skip_unreadable=-1)
    (tmp_path / 'val.json').write_text(
        (tmp_path / 'val.json').read_text().replace('[4, 4, 20, 16]', '[NaN, 4, 20, 16]')
    )
    with pytest.raises(
        UserError, match=r'val\.json: boxes that are not four finite numbers: 4 \(annotation 1 of 1\.png'
    ):
        run('third')
