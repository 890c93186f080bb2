"""The doctor on a dataset with faults planted in it: each is named, and nothing is said of a whole one."""

import json

import cv2
import pytest
from mmengine.registry import DefaultScope

from eca_mm.datasets import GuardedDataset
from eca_mm.engine import load_config
from eca_mm.engine.doctor import inspect
from eca_mm.engine.sheet import draw_sheet
from eca_mm.errors import MissingFileError, UserError
from tests.checks import faults
from tests.support import FASTER, MASK, REPOSITORY

# After the first image, whose annotation lends its id.
PLACES = range(2, 2 + len(faults.ANNOTATIONS) + len(faults.FILES))


@pytest.fixture
def planted(tmp_path):
    """Every fault once, each of an image of its own; the validation set is whole."""
    content = faults.coco(PLACES[-1])
    for i, (changes, _) in zip(PLACES, faults.ANNOTATIONS, strict=False):
        content['annotations'][i - 1].update(changes)
    faults.write_split(tmp_path, 'train', content)
    for i, (spoil, _) in zip(PLACES[len(faults.ANNOTATIONS) :], faults.FILES, strict=True):
        spoil(tmp_path / 'train' / f'{i}.png')
    faults.write_split(tmp_path, 'val', faults.coco(2))
    return faults.config(MASK, tmp_path, tmp_path / 'mine.py')


def look(config, **options):
    return list(inspect(load_config(config), **options))


def test_every_planted_fault_is_named(planted, in_process, tmp_path, capsys):
    train, val = look(planted)
    said = [f'{kind.text}: {place}' for kind, places in train.findings.places.items() for place in places]
    for i, (_, sentence) in zip(PLACES, [*faults.ANNOTATIONS, *faults.FILES], strict=True):
        kind, _, reason = sentence.partition(': ')
        where = ('annotation 1 of', f'{i}.png', f'annotation {i}', 'id 1, 2 times')
        assert [s for s in said if kind in s and reason in s and any(w in s for w in where)], sentence
    assert len(faults.ANNOTATIONS) + len(faults.FILES) >= 20
    assert len(said) == 22 + 7  # and images that are left without an object
    assert not val.findings.places and '2 images, 2 annotations (cat 0, dog 1, owl 1)' in val.contents
    assert {kind.text.split(' ')[0] for kind in train.findings.failures()} == {'annotation', 'boxes', 'images', 'masks'}

    with pytest.raises(SystemExit) as end:
        in_process('doctor', planted, '--quick')
    screen = capsys.readouterr().out
    assert end.value.code == 1 and '7 kinds of fault: training would stop' in screen
    assert 'FAIL  images that are missing: 1 (' in screen and 'warn  boxes outside the image: 1 (' in screen


def test_a_whole_dataset_and_its_sheet(tmp_path, in_process, capsys):
    for split in ('train', 'val'):
        faults.write_split(tmp_path, split, faults.coco(3))
    config = faults.config(MASK, tmp_path, tmp_path / 'mine.py')
    with pytest.raises(SystemExit) as end:
        in_process('doctor', config, '--draw', 3)
    screen = capsys.readouterr().out
    assert end.value.code == 0 and 'Training can read this data.' in screen and 'FAIL' not in screen
    assert cv2.imread(str(tmp_path / 'work_dirs/mine/data.jpg')).shape == (960, 960, 3)
    with pytest.raises(UserError, match='--draw must be a number of pictures, got -1'):
        draw_sheet(load_config(config), -1, tmp_path / 'x.jpg')


def test_a_training_logs_what_it_passes_over(tmp_path, monkeypatch):
    content = faults.coco(4)
    content['annotations'][0]['category_id'] = 7
    content['annotations'][1]['bbox'] = [4, 4, 0, 16]
    faults.write_split(tmp_path, 'train', content)
    said = []
    monkeypatch.setattr('eca_mm.datasets.guarded.print_log', lambda text, *_: said.append(text))
    cfg = load_config(faults.config(FASTER, tmp_path, tmp_path / 'mine.py'))
    with DefaultScope.overwrite_default_scope('mmdet'):
        GuardedDataset(cfg.train_dataloader.dataset)
    assert said == [
        f'{tmp_path}/train.json: objects of a category that the file does not list: 1, they are passed over; boxes less than a '
        'pixel wide or high: 1, they are passed over; tools/doctor.py CONFIG lists all'
    ]


def test_arguments(refuse):
    assert '--data-root, --quick and --draw need a CONFIG' in refuse('doctor', '--draw', 9)
    assert 'unrecognized arguments: --foo' in refuse('doctor', '--foo')
    assert 'config not found: nowhere.py' in refuse('doctor', 'nowhere.py')


@pytest.mark.parametrize(('classes', 'said'), [
    (('cat', 'dgo', 'owl'), "no category for: 1 ('dgo'; the file has 'cat', 'dog', 'owl')"),
    (('dog', 'cat', 'owl'), "classes = ('cat', 'dog', 'owl')"),
    (('cat', 'owl'), "no class of the config: 1 ('dog')"),
])  # fmt: skip
def test_classes(classes, said, tmp_path):
    for split in ('train', 'val'):
        faults.write_split(tmp_path, split, faults.coco(3))
    train, val = look(faults.config(FASTER, tmp_path, tmp_path / 'mine.py', classes))
    for found in (train, val):
        assert said in str(found.findings)
    assert bool(train.findings.failures()) == (len(classes) == 3)


UNUSABLE = [
    ('images', 'id', [1], "images[0] has no 'id' that is a number or text, got [1]"),
    ('images', 'file_name', ['1.png'], "images[0] (id 1) has no 'file_name' that is text, got ['1.png']"),
    ('images', 'file_name', 5, "images[0] (id 1) has no 'file_name' that is text, got 5"),
    ('annotations', 'id', {}, "annotations[0] has no 'id' that is a number or text, got {}"),
    ('annotations', 'image_id', [1], "annotations[0] (id 1) has no 'image_id' that is a number or text, got [1]"),
    ('annotations', 'category_id', [1], "annotations[0] (id 1) has no 'category_id' that is a number or text, got [1]"),
    ('annotations', 'category_id', {}, "annotations[0] (id 1) has no 'category_id' that is a number or text, got {}"),
    ('categories', 'id', [1], "categories[0] has no 'id' that is a number or text, got [1]"),
    ('categories', 'name', ['cat'], "categories[0] (id 1) has no 'name' that is a number or text, got ['cat']"),
]  # fmt: skip


def test_files_that_are_none(tmp_path):
    """Of no JSON, of other JSON, and what a config forgets: nothing is a traceback."""
    faults.write_split(tmp_path, 'val', faults.coco(2))
    config = faults.config(FASTER, tmp_path, tmp_path / 'mine.py', more="val_evaluator = dict(ann_file='other.json')")
    config.write_text(config.read_text().replace('classes = ', 'metainfo = '))
    with pytest.raises(MissingFileError, match=r'train\.json does not exist.*data_root.*`data_root`'):
        look(config)
    faults.write_split(tmp_path, 'train', faults.coco(1))
    for text, said in (
        ('{"images": [', 'annotations that cannot be read: 1 (JSONDecodeError'),
        ('[]', 'lists that are missing: 3 (images; annotations; categories)'),
        (json.dumps(faults.coco(1) | dict(images=[dict(id=1)])), "images[0] (id 1) has no 'file_name'"),
        (json.dumps(faults.coco(1) | dict(images=[5])), "images[0] has no 'id'"),
        *(
            (json.dumps(faults.coco(1) | {name: [faults.coco(1)[name][0] | {key: value}]}), said)
            for name, key, value, said in UNUSABLE
        ),
        (json.dumps(faults.coco(1) | dict(annotations=[])), 'files without a usable object'),
    ):
        (tmp_path / 'train.json').write_text(text)
        train, val = look(config)
        assert said in str(train.findings)
        assert 'num_classes=4, and the train dataset has 80 classes' in str(train.findings)
        assert 'val_evaluator compares with other.json, and val_dataloader reads' in str(val.findings)


def test_folders_of_images(tmp_path):
    for split in ('train', 'val'):
        for name in ('cat', 'dog'):
            faults.write_image(tmp_path / split / name / '1.png')
    config = tmp_path / 'mine.py'
    text = f'_base_ = {str(REPOSITORY / "configs/imagenet/eca_resnet50.py")!r}\nclasses = {{}}'
    config.write_text(text.format(('cat', 'dog')))
    train, val = inspect(load_config(config, data_root=str(tmp_path)))
    assert not train.findings.places and train.contents == '2 images (cat 1, dog 1); 2 images looked at'
    (tmp_path / 'train/dog/1.png').write_bytes(b'')
    (tmp_path / 'val/dog/1.png').unlink()
    config.write_text(text.format(('dog', 'cat')))
    train, val = inspect(load_config(config, data_root=str(tmp_path)))
    assert 'numbers its folders cat, dog, and classes are dog, cat' in str(train.findings)
    assert f'cannot be read: 1 ({tmp_path}/train/dog/1.png: it is empty)' in str(train.findings)
    assert 'warn  classes without an image' in str(val.findings)


def test_quick_and_coco(coco_root, monkeypatch):
    """Real annotations have no fault that would stop anything; of many images some are looked at."""
    monkeypatch.setattr('eca_mm.engine.doctor.QUICK', 50)
    config = REPOSITORY / 'configs/mask_rcnn_eca_r50_fpn_1x.py'
    for found in inspect(load_config(config, data_root=str(coco_root)), quick=True):
        assert not found.findings.failures() and '80 images' in found.contents
        assert '; 50 images looked at' in found.contents


def test_folders_without_an_image(tmp_path):
    (tmp_path / 'train/cat').mkdir(parents=True)
    config = load_config(REPOSITORY / 'configs/imagenet/eca_resnet50.py', data_root=str(tmp_path))
    with pytest.raises(UserError, match=r"the train dataset: .*subfolders \(1\) doesn't match .*classes \(1000\)"):
        next(inspect(config))
    config = load_config(config.filename, data_root=str(tmp_path), cfg_options=dict(classes=['cat']))
    with pytest.raises(UserError, match='the train dataset: RuntimeError: Found 0 files in subfolders of: .*train'):
        next(inspect(config))
