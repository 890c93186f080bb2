"""Accuracies from work directories, checkpoints and files of predictions."""

import json
import os
from functools import partial
from pathlib import Path

import pytest
import torch

from eca_mm.analysis.coco import score
from eca_mm.paper import TABLES, Measurement, beside_the_paper
from eca_mm.paper.accuracy import AUTHORS, measure_predictions, measure_work_dirs
from eca_mm.paper.reproduce import reproduce

ROW = 'mask_rcnn_eca_r50_fpn_1x'
TABLE2, TABLE4, TABLE5 = (TABLES[name] for name in ('table2', 'table4', 'table5'))


def write_metrics(folder, images=5000, checkpoint='a/epoch_12.pth', metrics=(), **facts):
    folder.mkdir(parents=True)
    content = dict(images=images, metrics=dict(metrics), checkpoint=checkpoint, **facts)
    (folder / 'metrics.json').write_text(json.dumps(content))


def measured(tables, folder):
    """The cells with a number of ours."""
    found, problems = measure_work_dirs(tables, folder)
    assert not problems
    return [c for c in beside_the_paper(tables, found) if c.ours]


@pytest.fixture
def predictions(tmp_path, monkeypatch):
    """Two images with a box each, which are found, but for the mask of the second one."""
    box, polygon = [10, 10, 40, 40], [[10, 10, 50, 10, 50, 50, 10, 50]]
    truth = [
        dict(id=i, image_id=i, category_id=1, bbox=box, area=1600, iscrowd=0, segmentation=polygon) for i in (1, 2)
    ]
    images = [dict(id=i, width=64, height=64) for i in (1, 2)]
    (tmp_path / 'a.json').write_text(json.dumps(dict(images=images, annotations=truth, categories=[dict(id=1)])))
    found = [dict(image_id=i, category_id=1, score=0.9) for i in (1, 2)]
    (tmp_path / 'p.bbox.json').write_text(json.dumps([dict(p, bbox=box) for p in found]))
    (tmp_path / 'p.segm.json').write_text(json.dumps([dict(found[0], segmentation=polygon)]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestPredictions:
    def test_boxes_and_masks_find_their_tables(self, predictions, monkeypatch):
        files = [f'{ROW}=p.bbox.json', f'{ROW}=p.segm.json']
        read, original = [], Path.read_bytes
        monkeypatch.setattr(Path, 'read_bytes', lambda file: read.append(file.name) or original(file))
        found, problems = measure_predictions(TABLES.values(), files, 'a.json')
        assert read.count('a.json') == len(files)  # it may have hundreds of megabytes
        _, expected, _ = score('p.segm.json', 'a.json')
        assert not problems and {t for t, *_ in found} == {'table4', 'table5'}
        assert {c for *_, c in found} == {'AP', 'AP50', 'AP75', 'APM'}  # there is nothing small or large to detect
        assert 0.4 < expected['AP'] < 0.6 and found['table4', ROW, 'AP'].text == '100.0'
        assert found['table5', ROW, 'AP'].raw == 100 * expected['AP']
        assert found['table5', ROW, 'AP'].text == f'{100 * expected["AP"]:.1f}'
        cell = next(c for c in beside_the_paper([TABLE4], found) if c.row == ROW and c.column == 'AP')
        assert cell.status == 'not comparable' and 'on 2 images, not on the 5000 of COCO val2017' in cell.note

    @pytest.mark.parametrize(('text', 'sentence'), [
        ('p.bbox.json', 'ROW=FILE'),
        ('mask_rcnn_ecar50_fpn_1x=p.bbox.json', "did you mean 'mask_rcnn_eca_r50_fpn_1x'"),
        (f'{ROW}=x.json', 'not found: x.json'),
        (f'{ROW}=p.bbox.json', f'is for Object Detection; no table of that, among those asked for, has the row {ROW}'),
    ])  # fmt: skip
    def test_one_wrong_file_leaves_the_others(self, predictions, text, sentence):
        found, (problem,) = measure_predictions([TABLE5], [text, f'{ROW}=p.segm.json'], 'a.json')
        assert problem.startswith(f'`predictions` {text}: ') and sentence in problem and ('table5', ROW, 'AP') in found


class TestWorkDirs:
    def test_val2017_is_compared(self, tmp_path):
        write_metrics(tmp_path / ROW, metrics={'coco/bbox_mAP': 0.391, 'coco/segm_mAP': 0.350})
        write_metrics(
            tmp_path / 'eca_resnet50', 50000, 'a/epoch_100.pth', {'accuracy/top1': 77.42, 'accuracy/top5': 93.62}
        )
        measurers = [partial(measure_work_dirs, folder=tmp_path)]
        cells, _ = reproduce(list(TABLES.values()), measurers)
        found = {(c.table.name, c.column): c for c in cells if c.ours}
        assert {key for key, c in found.items() if c.status == 'match'} == {
            ('table4', 'AP'), ('table2', 'Top-1'), ('table2', 'Top-5'), ('table3', 'Top-5'), ('figure4', 'Top-1')
        }  # fmt: skip
        cell = found['table5', 'AP']
        assert (cell.paper, cell.ours, cell.difference) == ('35.6', '35.0', '-0.6')
        assert cell.source == f'measured before ({tmp_path.name}/{ROW}/metrics.json, epoch_12.pth)'
        assert [c for c in cells if c.is_failure] == [cell]
        assert not any(c.is_failure for c in reproduce([TABLE5], measurers, tolerance=0.6)[0])
        for tolerance in (float('nan'), -1):
            with pytest.raises(ValueError, match=f'got {tolerance}'):
                reproduce([TABLE5], measurers, tolerance=tolerance)

    def test_the_authors_detectors_count_where_there_are_none_of_ours(self, tmp_path):
        write_metrics(tmp_path / 'mask_rcnn_eca_r50_fpn', metrics={'coco/bbox_mAP': 0.390, 'coco/segm_mAP': 0.356})
        (cell,) = measured([TABLE4], tmp_path)
        assert (cell.ours, cell.status, cell.note) == ('39.0', 'match', AUTHORS)
        write_metrics(tmp_path / ROW, metrics={'coco/bbox_mAP': 0.388})
        (cell,) = measured([TABLE4], tmp_path)
        assert (cell.ours, cell.note) == ('38.8', '')

    def test_the_later_measurer_counts(self, tmp_path):
        write_metrics(tmp_path / 'measured' / ROW, metrics={'coco/bbox_mAP': 0.390, 'coco/segm_mAP': 0.356})
        write_metrics(tmp_path / 'work_dirs' / ROW, metrics={'coco/bbox_mAP': 0.388})
        measurers = [partial(measure_work_dirs, folder=tmp_path / name) for name in ('measured', 'work_dirs')]
        assert {c.table.name: (c.ours, c.source) for c in reproduce([TABLE4, TABLE5], measurers)[0] if c.ours} == {
            'table4': ('38.8', f'measured before (work_dirs/{ROW}/metrics.json, epoch_12.pth)'),
            'table5': ('35.6', f'measured before (measured/{ROW}/metrics.json, epoch_12.pth)'),
        }

    def test_another_dataset_is_no_reproduction(self, tmp_path):
        write_metrics(tmp_path / ROW, 80, metrics={'coco/bbox_mAP': 0.39})
        write_metrics(tmp_path / 'resnet50', 1000, metrics={'accuracy/top1': 75.2})
        assert [c.status for c in measured(TABLES.values(), tmp_path)] == ['not comparable'] * 3

    @pytest.mark.parametrize(('facts', 'status', 'note'), [
        (dict(checkpoint='epoch_3.pth'), 'not comparable', 'after 3 of 12 epochs'),
        (dict(checkpoint='epoch_24.pth'), 'not comparable', 'after 24 of 12 epochs'),
        (dict(checkpoint='best_coco_bbox_mAP_epoch_12.pth'), 'match', ''),
        (dict(checkpoint='mine.pth'), 'not comparable', 'after an unknown number of epochs'),
        (dict(checkpoint='mine.pth', epoch=12), 'match', ''),
        (dict(checkpoint='epoch_12.pth', epoch=11), 'not comparable', 'after 11 of 12 epochs'),
        (dict(checkpoint='mine.pth', source='authors'), 'match', AUTHORS),
        (dict(checkpoint='mine.pth', source='timm'), 'not comparable', 'weights of timm'),
    ])  # fmt: skip
    def test_which_weights_they_are(self, tmp_path, facts, status, note):
        write_metrics(tmp_path / ROW, metrics={'coco/bbox_mAP': 0.390, 'coco/bbox_mAP_s': -1}, **facts)
        (cell,) = measured([TABLE4], tmp_path)  # COCO's -1 is no number
        assert (cell.column, cell.status, cell.note) == ('AP', status, note)

    @pytest.mark.parametrize(('text', 'sentence'), [
        ('{"metrics": {}, "images": 50000}', 'has none of the metrics of the tables'),
        ('{"metrics": {"accuracy/top1": NaN}, "images": 50000}', 'accuracy/top1 is nan, which is no accuracy'),
        ('{"metrics": {"accuracy/top1": 7748}, "images": 50000}', 'is 7748'),
        ('{"metrics": {"accuracy/top1": -7}, "images": 50000}', 'is -7'),
        ('{"metrics": {"accuracy/top1": null}, "images": 1}', 'is not what tools/test.py writes'),
        ('{"metrics": {}, "images": 1e400}', 'is not what tools/test.py writes'),
        ('[]', 'is not what tools/test.py writes'),
        ('{"images"', 'is not what tools/test.py writes'),
        ('{"metrics": {"accuracy/top1": 75.2}, "images": 50000, "config": "a/se_resnet50.py"}', 'is of a/se_resnet50.py'),
    ])  # fmt: skip
    def test_no_numbers(self, tmp_path, text, sentence):
        write_metrics(tmp_path / 'se_resnet50', 50000, metrics={'accuracy/top1': 76.71})
        (tmp_path / 'resnet50').mkdir()
        (tmp_path / 'resnet50/metrics.json').write_text(text)
        found, (problem,) = measure_work_dirs([TABLE2], tmp_path)
        assert problem.startswith('imagenet/resnet50: ') and sentence in problem
        assert [row for _, row, _ in found] == ['imagenet/se_resnet50']

    def test_nothing_at_all(self, tmp_path):
        assert measure_work_dirs([TABLE2], tmp_path)[1] == [f'{tmp_path} has no metrics.json of a row']
        (problem,) = measure_work_dirs([TABLE2], tmp_path, print)[1]
        assert problem.endswith('of a row, nor a checkpoint')
        assert measure_work_dirs([TABLE2], tmp_path, may_be_empty=True) == ({}, [])
        with pytest.raises(FileNotFoundError, match='nowhere'):
            measure_work_dirs([TABLE2], tmp_path / 'nowhere')

    def test_evaluates_what_has_no_metrics_or_older_ones(self, tmp_path):
        for row in ('resnet50', 'mobilenet_v2'):
            write_metrics(tmp_path / row, 50000, metrics={'accuracy/top1': 75.0})
        for row in ('resnet50', 'resnet101', 'mobilenet_v2', 'se_resnet50', 'se_resnet101'):
            (tmp_path / row).mkdir(exist_ok=True)
            torch.save({}, tmp_path / row / 'epoch_100.pth')
        os.utime(tmp_path / 'resnet50/epoch_100.pth', (0, 0))  # older than the metrics
        os.utime(tmp_path / 'mobilenet_v2/metrics.json', (0, 0))
        (tmp_path / 'resnet152').mkdir()
        (tmp_path / 'resnet152/epoch_3.pth').write_bytes(b'PK')
        calls = []

        def evaluate(config, checkpoint, work_dir):
            assert checkpoint.name == 'epoch_100.pth'
            calls.append(config.stem)
            if config.stem == 'se_resnet50':
                raise RuntimeError('DataLoader worker is killed')
            if config.stem == 'se_resnet101':
                raise FileNotFoundError('no data\nat all')
            metrics = {'accuracy/top1': 76.83}
            (work_dir / 'metrics.json').write_text(json.dumps(dict(images=50000, metrics=metrics, epoch=100)))

        found, problems = measure_work_dirs([TABLE2], tmp_path, evaluate)
        assert sorted(calls) == ['mobilenet_v2', 'resnet101', 'se_resnet101', 'se_resnet50']
        source = f'measured now ({tmp_path.name}/resnet101/metrics.json, unknown weights)'
        assert found['table2', 'imagenet/resnet101', 'Top-1'] == Measurement(76.83, '76.83', source)
        assert found['table2', 'imagenet/mobilenet_v2', 'Top-1'].text == '76.83'
        problems = dict(problem.split(': ', 1) for problem in problems)
        assert problems['imagenet/se_resnet101'] == 'no data at all'
        assert problems['imagenet/resnet152'] == f'no checkpoint in {tmp_path}/resnet152 is complete'
        assert problems['imagenet/se_resnet50'].startswith('Traceback')  # no mistake of the user
        assert problems['imagenet/se_resnet50'].endswith('RuntimeError: DataLoader worker is killed\n')
        assert len(problems) == 3


def test_commands_name_the_last_epoch():
    cells = {(c.row, c.column): c for c in beside_the_paper([TABLE2], {})}
    assert cells['imagenet/mobilenet_v2', 'Top-1'].source.endswith('work_dirs/mobilenet_v2/epoch_400.pth')
