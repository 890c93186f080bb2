"""The paper's tables against its text, the counts against the tables, other counters and pycocotools."""

import dataclasses
import io
import json
import os
import re
from contextlib import redirect_stdout

import modelindex
import numpy as np
import pytest
import torch
import yaml
from mmcv.cnn import get_model_complexity_info
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn

from eca_mm.analysis.coco import BACKENDS, NAMES, score
from eca_mm.analysis.complexity import MMCV, THOP, count_modules, count_operators, parameters
from eca_mm.models import AttentionResNet, ECALayer, ECAResNet
from eca_mm.paper import TABLES, Measurement, compare
from eca_mm.paper.accuracy import AUTHORS, prediction_measurements, work_dir_measurements
from eca_mm.paper.cells import CONFIGS
from eca_mm.paper.complexity import EXPLAINED, build, complexity_measurements
from eca_mm.paper.index import index_files
from eca_mm.paper.reproduce import MEASURED, reproduce, select_tables
from tests.support import REPOSITORY

PAPER = REPOSITORY.parent / 'shared/paper/eca-net.txt'
ROW = 'mask_rcnn_eca_r50_fpn_1x'


class TestTables:
    @pytest.mark.skipif(not PAPER.is_file(), reason=f'no text of the paper at {PAPER}')
    @pytest.mark.parametrize(('name', 'head'), [
        ('table1', 'Methods\tAttention'), ('table2', 'Method\tBackbone'),
        ('table4', 'Methods\tDetectors'), ('table5', 'Methods\tAP'),
    ])  # fmt: skip
    def test_numbers_are_the_paper_s(self, name, head):
        """Line by line below the table's heading in the text: the method's name, and all the numbers at the end."""
        lines = PAPER.read_text().replace(' M\t', 'M\t').splitlines()
        (start,) = (i for i, line in enumerate(lines) if line.startswith(head))
        rows = TABLES[name].rows
        for row, line in zip(rows, lines[start + 1 : start + 1 + len(rows)], strict=True):
            units = [' FPS' if column in ('Training', 'Inference') else '' for column in row.printed]
            wanted = [f'{n}{u}' if n else 'N/A' for n, u in zip(row.printed.values(), units, strict=True)]
            method, *found = line.split('\t')
            assert re.sub(r'[$^ ]', '', method).startswith(row.method.replace(' ', '')), (row, line)
            if name == 'table1':  # a formula
                found[1] = re.sub(r'[${}()]', '', found[1]).replace('\\times', '*').replace(' ', '')
                found[1] = {'kC': 'k*C', 'k=3': 'k'}.get(found[1], found[1])
            assert found[-len(wanted) :] == wanted
        assert '\t' not in lines[start + 1 + len(rows)]

    @pytest.mark.skipif(not PAPER.is_file(), reason=f'no text of the paper at {PAPER}')
    def test_table_3_is_the_paper_s(self):
        text = PAPER.read_text().partition('Table 3: ')[2].partition('Top-5\n')[2]
        assert [r.printed['Top-5'] for r in TABLES['table3'].rows] == re.findall(r'(\d\d\.\d\d)$', text[:60], re.M)

    def test_columns_of_the_same_experiment_agree(self):
        for config, top5 in [(r.config, r.printed['Top-5']) for r in TABLES['table3'].rows]:
            if config in {r.config for r in TABLES['table2'].rows}:
                assert TABLES['table2'].row(config).printed['Top-5'] == top5

    def test_unknown_name(self):
        with pytest.raises(ValueError, match=r"no table 'tabel4'.*did you mean 'table4'"):
            select_tables(['table1', 'tabel4'])
        assert [t.name for t in select_tables(['all'])] == list(TABLES)


@pytest.fixture(scope='module')
def cells():
    """All numbers, with those that need neither data nor time."""
    return reproduce(list(TABLES.values())).cells


class TestComplexity:
    def test_every_printed_number(self, cells):
        """To the last digit, but for the one whose reason is known."""
        printed = [
            c for c in cells if c.column in ('Param.', 'FLOPs', 'GFLOPs') and (CONFIGS / f'{c.row}.py').is_file()
        ]
        assert len(printed) == 10 + 12 * 2 + 12 * 2
        assert {(c.row, c.column, c.ours) for c in printed if c.status != 'match'} == set(EXPLAINED)
        assert {c.status for c in printed} == {'match', 'differ'}

    @pytest.mark.parametrize('row', TABLES['figure4'].rows, ids=lambda row: row.config)
    def test_figure_4_has_its_kernels(self, row):
        kernels = {m.conv.kernel_size[0] for m in build(row.config).modules() if isinstance(m, ECALayer)}
        fixed = re.search(r'k=(\d)', row.method)
        assert kernels == ({int(fixed[1])} if fixed else {3, 5, 7} if 'ECA' in row.method else set())

    def test_table_1_needs_its_layers(self, monkeypatch):
        monkeypatch.setattr('eca_mm.paper.complexity._attention_layers', lambda model: [])
        cells = compare([TABLES['table1']], complexity_measurements([TABLES['table1']]))
        assert [c.row for c in cells if c.status == 'match'] == ['imagenet/resnet50']

    def test_by_hand(self):
        model = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), ECALayer(8, 3))
        image = torch.empty(2, 3, 10, 10, device='meta')
        model.to('meta')
        macs, elements, eca = 2 * 8 * 25 * 27, 2 * 8 * 25, 2 * 8 * 3
        thop = count_modules(model, lambda: model(image), THOP)
        assert thop.total == macs + 4 * elements + elements + elements + eca
        mmcv = count_modules(model, lambda: model(image), MMCV)
        assert mmcv.total == macs + elements + 2 * elements + elements + elements + eca
        honest = count_operators(lambda: model.eval()(image))
        assert honest.total == macs + eca
        assert set(honest.uncounted) == {'native_batch_norm', 'relu', 'mean', 'sigmoid', 'mul'}
        assert parameters(model) == 3 * 8 * 9 + 8 + 16 + 3

    def test_shared_modules(self):
        relu, x = nn.ReLU(), torch.empty(1, 4, device='meta')
        model = nn.Sequential(nn.Linear(4, 8, device='meta'), relu, nn.Linear(8, 2, device='meta'), relu, nn.Tanh())
        assert count_modules(model, lambda: model(x), THOP).by_kind['ReLU'] == 2
        count = count_modules(model, lambda: model(x), MMCV)
        assert count.by_kind == {'ReLU': 10, 'Linear': 48} and count.uncounted == {'Tanh': 1}

    def test_mmcv_s_own_counter_agrees(self):
        model = AttentionResNet(50)
        theirs, _ = get_model_complexity_info(model, (3, 64, 96), print_per_layer_stat=False, as_strings=False)
        image = torch.empty(1, 3, 64, 96, device='meta')
        model.to('meta')
        assert count_modules(model, lambda: model(image), MMCV).total == theirs

    def test_hooks_are_removed(self):
        model = ECAResNet(18)
        with pytest.raises(ZeroDivisionError):
            count_modules(model, lambda: 1 / 0, THOP)
        assert not any(m._forward_hooks for m in model.modules())


@pytest.fixture(scope='module')
def predictions(coco_root, tmp_path_factory):
    """Real annotations, shaken: boxes and masks with scores, some of them wrong."""
    ann_file = coco_root / 'annotations/instances_val2017.json'
    truth, rng = COCO(str(ann_file)), np.random.default_rng(0)
    boxes, masks = [], []
    for a in truth.anns.values():
        common = dict(image_id=a['image_id'], category_id=a['category_id'], score=float(rng.random()))
        box = list(np.array(a['bbox']) + rng.normal(0, 3, 4) * (1, 1, 0, 0))
        boxes.append(dict(common, bbox=box))
        mask = np.roll(truth.annToMask(a), rng.integers(0, 4), axis=1)
        code = rle.encode(np.asfortranarray(mask))
        masks.append(dict(common, bbox=box, segmentation=dict(code, counts=code['counts'].decode())))
    folder = tmp_path_factory.mktemp('predictions')
    (folder / 'p.bbox.json').write_text(json.dumps(boxes))
    (folder / 'p.segm.json').write_text(json.dumps(masks))
    return folder, ann_file


def scores_of_pycocotools(ann_file, file, kind):
    found = json.loads(file.read_text())
    for p in found if kind == 'segm' else ():
        p.pop('bbox')
    with redirect_stdout(io.StringIO()):
        truth = COCO(str(ann_file))
        e = COCOeval(truth, truth.loadRes(found), kind)
        e.evaluate(), e.accumulate(), e.summarize()
    return dict(zip(NAMES, e.stats, strict=True))


class TestScore:
    @pytest.mark.parametrize('kind', ['bbox', 'segm'])
    def test_is_pycocotools(self, predictions, kind):
        folder, ann_file = predictions
        expected = scores_of_pycocotools(ann_file, folder / f'p.{kind}.json', kind)
        assert score(folder / f'p.{kind}.json', ann_file) == (kind, expected)
        assert 0.1 < expected['AP'] < 0.9

    @pytest.mark.parametrize('kind', ['bbox', 'segm'])
    def test_backends_agree(self, predictions, kind):
        pytest.importorskip('faster_coco_eval')
        folder, ann_file = predictions
        _, slow = score(folder / f'p.{kind}.json', ann_file)
        _, fast = score(folder / f'p.{kind}.json', ann_file, 'faster-coco-eval')
        assert fast == pytest.approx(slow, abs=1e-9)

    @pytest.mark.parametrize(('content', 'sentence'), [
        ('[{"image_id": ', 'not JSON'),
        ('[]', 'an empty list'),
        ('{"a": 1}', 'a dict'),
        ('[1]', 'a list'),
        ('[{"image_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]', 'detection 0 has no category_id'),
        ('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1], "score": 1}]', 'four in its bbox'),
        ('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": "high"}]', 'number as score'),
        ('[{"image_id": -7, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]', 'image_id -7'),
        ('[{"image_id": "1", "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]', "image_id '1'"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": NaN}]', 'number as score'),
    ])  # fmt: skip
    def test_refuses_predictions(self, predictions, tmp_path, content, sentence):
        (tmp_path / 'p.json').write_text(content)
        with pytest.raises(ValueError, match=rf'p\.json.*{sentence}'):
            score(tmp_path / 'p.json', predictions[1])

    @pytest.mark.parametrize('backend', BACKENDS)
    def test_masks_in_every_code(self, predictions, tmp_path, backend):
        """Polygons and uncompressed run lengths score as pycocotools' own encoding of them."""
        ann_file = predictions[1]
        truth = COCO(str(ann_file))
        found = {'polygons': [], 'lists': [], 'compressed': []}
        for a in (a for a in truth.anns.values() if isinstance(a['segmentation'], list)):
            mask = truth.annToMask(a).T.ravel()
            edges = np.flatnonzero(np.diff(mask, prepend=0, append=1 - mask[-1]))
            code = truth.annToRLE(a)
            codes = {
                'polygons': a['segmentation'],
                'lists': dict(size=code['size'], counts=np.diff(edges, prepend=0).tolist()),
                'compressed': dict(code, counts=code['counts'].decode()),
            }
            for kind, segmentation in codes.items():
                found[kind].append(
                    dict(image_id=a['image_id'], category_id=a['category_id'], score=0.5, segmentation=segmentation)
                )
        scores = []
        for kind, masks in found.items():
            (tmp_path / f'{kind}.json').write_text(json.dumps(masks))
            scores.append(score(tmp_path / f'{kind}.json', ann_file, backend))
        assert scores[0] == scores[1] == scores[2] and scores[0][0] == 'segm' and scores[0][1]['AP'] > 0.5

    @pytest.mark.parametrize('backend', BACKENDS)
    @pytest.mark.parametrize(('segmentation', 'sentence'), [
        (5, 'TypeError'),
        (dict(size=[2, 2], counts='04'), r'has size \[2, 2\], not that of the image'),
        (dict(size=[2, 2]), 'counts'),
    ])  # fmt: skip
    def test_refuses_masks(self, predictions, tmp_path, backend, segmentation, sentence):
        folder, ann_file = predictions
        found = json.loads((folder / 'p.segm.json').read_text())
        (tmp_path / 'p.json').write_text(json.dumps([dict(found[0], segmentation=segmentation)]))
        with pytest.raises(ValueError, match=rf'p\.json cannot be scored by {backend}.*{sentence}') as error:
            score(tmp_path / 'p.json', ann_file, backend)
        assert '\n' not in str(error.value)

    @pytest.mark.parametrize('part', ['{"images": 5', '{"images": [{}]', '{"images": []', '{"images": [{"id": 1}]'])
    def test_refuses_annotations(self, predictions, tmp_path, part):
        (tmp_path / 'a.json').write_text(f'{part}, "annotations": [{{"id": 1}}], "categories": []}}')
        with pytest.raises(ValueError, match=r'a\.json'):
            score(predictions[0] / 'p.bbox.json', tmp_path / 'a.json')

    def test_refuses_the_rest(self, predictions, tmp_path):
        folder, ann_file = predictions
        found = json.loads((folder / 'p.bbox.json').read_text())
        (tmp_path / 'p.json').write_text(json.dumps([dict(found[0], category_id=99)]))
        with pytest.raises(ValueError, match='category_id 99'):
            score(tmp_path / 'p.json', ann_file)
        with pytest.raises(ValueError, match='not COCO annotations'):
            score(tmp_path / 'p.json', folder / 'p.bbox.json')
        with pytest.raises(FileNotFoundError, match='nowhere'):
            score(folder / 'nowhere.json', ann_file)
        with pytest.raises(ValueError, match="'cocoapi'"):
            score(folder / 'p.bbox.json', ann_file, 'cocoapi')


class TestPredictions:
    def test_boxes_and_masks_find_their_tables(self, predictions):
        folder, ann_file = predictions
        found, problems = prediction_measurements(
            TABLES.values(), [f'{ROW}={folder}/p.bbox.json', f'{ROW}={folder}/p.segm.json'], ann_file
        )
        assert not problems
        expected = scores_of_pycocotools(ann_file, folder / 'p.segm.json', 'segm')
        assert found['table5', ROW, 'APS'].raw == 100 * expected['APS']
        assert found['table5', ROW, 'APS'].text == f'{100 * expected["APS"]:.1f}'
        assert {t for t, _, _ in found} == {'table4', 'table5'} and len(found) == 12
        cell = next(c for c in compare([TABLES['table4']], found) if c.row == ROW and c.column == 'AP')
        assert cell.status == 'not comparable' and 'on 80 images, not on the 5000 of COCO val2017' in cell.note

    @pytest.mark.parametrize(('text', 'sentence'), [
        ('p.bbox.json', 'ROW=FILE'),
        ('mask_rcnn_ecar50_fpn_1x=p.bbox.json', "did you mean 'mask_rcnn_eca_r50_fpn_1x'"),
        ('faster_rcnn_r50_fpn_1x=p.segm.json', 'not a row of table5'),
        (f'{ROW}=x.json', 'not found: x.json'),
        (f'{ROW}=p.bbox.json', 'is for table4, which is not asked for'),
    ])  # fmt: skip
    def test_one_wrong_file_leaves_the_others(self, predictions, monkeypatch, text, sentence):
        folder, ann_file = predictions
        monkeypatch.chdir(folder)
        found, (problem,) = prediction_measurements([TABLES['table5']], [text, f'{ROW}=p.segm.json'], ann_file)
        assert sentence in problem and ('table5', ROW, 'AP') in found

    @pytest.mark.parametrize(('options', 'sentence'), [
        (dict(predictions=['a=b']), 'needs --ann-file'),
        (dict(ann_file='a.json'), 'there are none'),
        (dict(evaluate=print), 'needs --work-dirs'),
        (dict(only='complexity', work_dirs='work_dirs'), 'leaves out the accuracies'),
        (dict(only='accuracy', speed=[]), 'leaves out the speeds'),
        (dict(tolerance=float('nan')), 'got nan'),
        (dict(tolerance=-1), 'got -1'),
    ])  # fmt: skip
    def test_options_that_would_do_nothing(self, options, sentence):
        with pytest.raises(ValueError, match=sentence):
            reproduce([TABLES['table4']], **options)

    def test_a_wrong_benchmark_leaves_the_others(self, tmp_path):
        result = reproduce([TABLES['table2']], only='speed', speed=[tmp_path / 'x.csv', *MEASURED.glob('*.csv')])
        assert ['x.csv' in p for p in result.problems] == [True] and any(c.ours for c in result.cells)


def write_metrics(folder, images, checkpoint='a/epoch_100.pth', **metrics):
    folder.mkdir(parents=True)
    (folder / 'metrics.json').write_text(json.dumps(dict(images=images, metrics=metrics, checkpoint=checkpoint)))


class TestWorkDirs:
    def test_val2017_is_compared(self, tmp_path):
        write_metrics(tmp_path / ROW, 5000, **{'coco/bbox_mAP': 0.391, 'coco/segm_mAP': 0.350})
        write_metrics(tmp_path / 'eca_resnet50', 50000, **{'accuracy/top1': 77.42, 'accuracy/top5': 93.62})
        result = reproduce(select_tables(['all']), only='accuracy', work_dirs=tmp_path)
        measured = {(c.table, c.column): c for c in result.cells if c.ours}
        assert {key: c.status for key, c in measured.items()} == {
            ('table4', 'AP'): 'match',
            ('table5', 'AP'): 'differ',
            ('table2', 'Top-1'): 'match',
            ('table2', 'Top-5'): 'match',
            ('table3', 'Top-5'): 'match',
            ('figure4', 'Top-1'): 'match',
        }
        cell = measured['table5', 'AP']
        assert (cell.paper, cell.ours, round(cell.difference, 6)) == ('35.6', '35.0', -0.6)
        assert cell.source == f'measured before ({tmp_path.name}/{ROW}/metrics.json, epoch_100.pth)'
        assert result.failures == [cell]
        assert not reproduce(select_tables(['all']), only='accuracy', work_dirs=tmp_path, tolerance=0.6).failures

    def test_the_authors_detectors_count_where_there_are_none_of_ours(self, tmp_path):
        write_metrics(tmp_path / 'mask_rcnn_eca_r50_fpn', 5000, **{'coco/bbox_mAP': 0.390, 'coco/segm_mAP': 0.356})
        found, _ = work_dir_measurements([TABLES['table4']], tmp_path)
        assert found['table4', ROW, 'AP'].raw == pytest.approx(39.0)
        assert found['table4', ROW, 'AP'].note == AUTHORS
        write_metrics(tmp_path / ROW, 5000, **{'coco/bbox_mAP': 0.388})
        found, _ = work_dir_measurements([TABLES['table4']], tmp_path)
        assert found['table4', ROW, 'AP'].raw == pytest.approx(38.8)

    def test_those_with_the_package_give_way(self, tmp_path, monkeypatch):
        monkeypatch.setattr('eca_mm.paper.reproduce.MEASURED', tmp_path / 'measured')
        write_metrics(tmp_path / 'measured' / ROW, 5000, **{'coco/bbox_mAP': 0.390, 'coco/segm_mAP': 0.356})
        write_metrics(tmp_path / 'work_dirs' / ROW, 5000, **{'coco/bbox_mAP': 0.388})
        result = reproduce([TABLES['table4'], TABLES['table5']], only='accuracy', work_dirs=tmp_path / 'work_dirs')
        assert {c.table: (c.ours, c.source) for c in result.cells if c.ours} == {
            'table4': ('38.8', f'measured before (work_dirs/{ROW}/metrics.json, epoch_100.pth)'),
            'table5': ('35.6', f'measured before (measured/{ROW}/metrics.json, epoch_100.pth)'),
        }

    def test_another_dataset_is_no_reproduction(self, tmp_path):
        write_metrics(tmp_path / ROW, 80, **{'coco/bbox_mAP': 0.39})
        write_metrics(tmp_path / 'resnet50', 1000, **{'accuracy/top1': 75.2})
        cells = [c for c in reproduce(TABLES.values(), only='accuracy', work_dirs=tmp_path).cells if c.ours]
        assert len(cells) == 3 and {c.status for c in cells} == {'not comparable'}

    def test_metrics_of_another_config_are_refused(self, tmp_path):
        write_metrics(tmp_path / ROW, 5000, **{'coco/bbox_mAP': 0.387})
        file = tmp_path / ROW / 'metrics.json'
        file.write_text(file.read_text().replace('{', '{"config": "configs/mask_rcnn_se_r50_fpn_1x.py", ', 1))
        found, (problem,) = work_dir_measurements([TABLES['table4']], tmp_path)
        assert not found and 'is of configs/mask_rcnn_se_r50_fpn_1x.py' in problem

    def test_half_a_training_is_no_reproduction(self, tmp_path):
        write_metrics(tmp_path / ROW, 5000, checkpoint='epoch_3.pth', **{'coco/bbox_mAP': 0.390})
        cell = next(c for c in reproduce([TABLES['table4']], only='accuracy', work_dirs=tmp_path).cells if c.ours)
        assert (cell.status, cell.note) == ('not comparable', 'after 3 of 12 epochs')

    @pytest.mark.parametrize(('facts', 'status', 'note'), [
        (dict(checkpoint='best_coco_bbox_mAP_epoch_3.pth'), 'not comparable', 'after 3 of 12 epochs'),
        (dict(checkpoint='best_coco_bbox_mAP_epoch_12.pth'), 'match', ''),
        (dict(checkpoint='mine.pth'), 'not comparable', 'after an unknown number of epochs'),
        (dict(checkpoint='mine.pth', epoch=12), 'match', ''),
        (dict(checkpoint='epoch_12.pth', epoch=11), 'not comparable', 'after 11 of 12 epochs'),
        (dict(checkpoint='mine.pth', source='authors'), 'match', AUTHORS),
        (dict(checkpoint='mine.pth', source='timm'), 'not comparable', 'weights of timm'),
    ])  # fmt: skip
    def test_which_weights_they_are(self, tmp_path, facts, status, note):
        (tmp_path / ROW).mkdir()
        (tmp_path / ROW / 'metrics.json').write_text(
            json.dumps(dict(images=5000, metrics={'coco/bbox_mAP': 0.390}, **facts))
        )
        cell = next(c for c in reproduce([TABLES['table4']], only='accuracy', work_dirs=tmp_path).cells if c.ours)
        assert (cell.status, cell.note) == (status, note)

    @pytest.mark.parametrize(('metrics', 'sentence'), [
        ('{}', 'has none of the metrics of the tables'),
        ('{"acc/top1": 78.4}', 'has none of the metrics of the tables'),
        ('{"accuracy/top1": NaN}', 'accuracy/top1 is nan, which is no accuracy'),
        ('{"accuracy/top1": Infinity}', 'is inf'),
        ('{"accuracy/top1": 7748}', 'is 7748'),
        ('{"accuracy/top1": -7}', 'is -7'),
        ('{}, "images": 1e400', 'is not what tools/test.py writes'),
    ])  # fmt: skip
    def test_no_numbers(self, tmp_path, metrics, sentence):
        (tmp_path / 'resnet50').mkdir()
        (tmp_path / 'resnet50/metrics.json').write_text(
            f'{{"images": 50000, "checkpoint": "epoch_100.pth", "metrics": {metrics}}}'
        )
        result = reproduce([TABLES['table2']], only='accuracy', work_dirs=tmp_path)
        assert not any(c.ours for c in result.cells) and [sentence in p for p in result.problems] == [True]

    def test_nothing_at_all(self, tmp_path):
        (problem,) = reproduce([TABLES['table2']], only='accuracy', work_dirs=tmp_path).problems
        assert problem == f'{tmp_path} has no metrics.json of a row'

    def test_coco_s_minus_one_is_no_number(self, tmp_path):
        write_metrics(tmp_path / ROW, 5000, **{'coco/bbox_mAP': 0.39, 'coco/bbox_mAP_s': -1})
        found, _ = work_dir_measurements([TABLES['table4']], tmp_path)
        assert [column for _, _, column in found] == ['AP']

    def test_newer_checkpoints_are_evaluated(self, tmp_path):
        write_metrics(tmp_path / 'resnet50', 50000, **{'accuracy/top1': 1.0})
        torch.save({}, tmp_path / 'resnet50/epoch_100.pth')
        os.utime(tmp_path / 'resnet50/metrics.json', (0, 0))
        calls = []
        work_dir_measurements([TABLES['table2']], tmp_path, lambda *arguments: calls.append(arguments))
        assert len(calls) == 1

    def test_wrong_files(self, tmp_path):
        for row, text in [
            ('resnet50', '{"images"'),
            ('resnet101', '[]'),
            ('resnet152', '{"images": 1, "metrics": {"accuracy/top1": null}}'),
        ]:
            (tmp_path / row).mkdir()
            (tmp_path / row / 'metrics.json').write_text(text)
        write_metrics(tmp_path / 'se_resnet50', 50000, **{'accuracy/top1': 76.71})
        found, problems = work_dir_measurements([TABLES['table2']], tmp_path)
        assert len(problems) == 3 and all('is not what tools/test.py writes' in p for p in problems)
        assert [row for _, row, _ in found] == ['imagenet/se_resnet50']
        with pytest.raises(FileNotFoundError, match='nowhere'):
            work_dir_measurements([TABLES['table2']], tmp_path / 'nowhere')

    def test_evaluates_what_has_no_metrics(self, tmp_path):
        write_metrics(tmp_path / 'resnet50', 50000, **{'accuracy/top1': 75.0})
        for row in ('resnet50', 'resnet101', 'resnet152', 'se_resnet50'):
            (tmp_path / row).mkdir(exist_ok=True)
        torch.save({}, tmp_path / 'se_resnet50/epoch_100.pth')
        torch.save({}, tmp_path / 'resnet50/epoch_100.pth')
        os.utime(tmp_path / 'resnet50/epoch_100.pth', (0, 0))  # older than the metrics
        torch.save({}, tmp_path / 'resnet101/epoch_100.pth')
        (tmp_path / 'resnet152/epoch_3.pth').write_bytes(b'PK')
        calls = []

        def evaluate(config, checkpoint, work_dir):
            calls.append((config.name, checkpoint.name))
            if config.name == 'se_resnet50.py':
                raise RuntimeError('DataLoader worker\nis killed')
            metrics = {'accuracy/top1': 76.83}
            (work_dir / 'metrics.json').write_text(json.dumps(dict(images=50000, metrics=metrics, epoch=100)))

        found, problems = work_dir_measurements([TABLES['table2']], tmp_path, evaluate)
        assert calls == [('se_resnet50.py', 'epoch_100.pth'), ('resnet101.py', 'epoch_100.pth')]
        assert found['table2', 'imagenet/resnet101', 'Top-1'] == Measurement(
            76.83, '76.83', f'measured now ({tmp_path.name}/resnet101/metrics.json, unknown weights)'
        )
        assert len(problems) == 2 and 'imagenet/resnet152: no checkpoint in' in problems[1]
        assert problems[0] == 'imagenet/se_resnet50: RuntimeError: DataLoader worker is killed'


class TestIndex:
    def test_is_up_to_date(self, cells):
        for file, text in index_files(cells).items():
            assert file.read_text() == text, f'{file}: run tools/reproduce.py all --write-index'

    def test_model_index_accepts_it(self):
        index = modelindex.load(str(REPOSITORY / 'eca_mm/.mim/model-index.yml'))
        assert not index.check(silent=True)
        assert len(index.models) == 24
        assert all((REPOSITORY / model.config).is_file() for model in index.models)

    def test_results_are_measured_ones(self, tmp_path):
        write_metrics(tmp_path / ROW, 5000, **{'coco/bbox_mAP': 0.391, 'coco/segm_mAP': 0.357})
        write_metrics(tmp_path / 'mask_rcnn_r50_fpn_1x', 80, **{'coco/bbox_mAP': 0.391})
        result = reproduce(list(TABLES.values()), work_dirs=tmp_path)
        models = yaml.safe_load(index_files(result.cells)[REPOSITORY / 'configs/metafile.yml'])['Models']
        results = {model['Name']: model['Results'] for model in models if 'Results' in model}
        assert results == {
            ROW: [
                {'Task': 'Object Detection', 'Dataset': 'COCO', 'Metrics': {'box AP': pytest.approx(39.1)}},
                {'Task': 'Instance Segmentation', 'Dataset': 'COCO', 'Metrics': {'mask AP': pytest.approx(35.7)}},
            ]
        }

    def test_the_authors_weights_are_no_results_of_ours(self, cells, tmp_path):
        write_metrics(tmp_path / 'mask_rcnn_eca_r50_fpn', 5000, **{'coco/bbox_mAP': 0.390})
        found, _ = work_dir_measurements(list(TABLES.values()), tmp_path)
        added = [*cells, *(c for c in compare(TABLES.values(), found) if c.ours)]
        assert index_files(added)[REPOSITORY / 'README.md'] == (REPOSITORY / 'README.md').read_text()

    def test_needs_all_tables(self, cells):
        with pytest.raises(ValueError, match='needs all tables'):
            index_files([c for c in cells if c.table == 'table4'])

    def test_needs_its_place_in_the_readme(self, cells, monkeypatch, tmp_path):
        monkeypatch.setattr('eca_mm.paper.index.REPOSITORY', tmp_path)
        with pytest.raises(FileNotFoundError, match='in a checkout'):
            index_files(cells)
        (tmp_path / 'README.md').write_text('no table')
        with pytest.raises(ValueError, match=r'README\.md needs'):
            index_files(cells)


def test_commands_name_the_last_epoch():
    (cell,) = [c for c in compare([TABLES['table2']], {}) if (c.row, c.column) == ('imagenet/mobilenet_v2', 'Top-1')]
    assert cell.source.endswith('work_dirs/mobilenet_v2/epoch_400.pth')


def test_cells_are_json():
    (cell, *_) = compare([TABLES['table4']], {})
    assert list(dataclasses.asdict(cell)) == [
        'table', 'row', 'column', 'paper', 'ours', 'raw', 'status', 'source', 'note'
    ]  # fmt: skip
    assert cell.ours is None and cell.status == 'not measured' and 'tools/reproduce.py' in cell.source
