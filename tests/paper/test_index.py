"""The model index and the page of results."""

import modelindex
import pytest
import yaml

from eca_mm.paper import TABLES, Measurement, beside_the_paper
from eca_mm.paper.accuracy import AUTHORS
from eca_mm.paper.index import RESULTS, index_files
from tests.support import REPOSITORY

ROW = 'mask_rcnn_eca_r50_fpn_1x'


def with_ours(cells, notes='', comparable=True, **accuracies):
    """The cells with accuracies of ROW."""
    ours = {(t, ROW, 'AP'): Measurement(ap, f'{ap}', 'x', notes, comparable) for t, ap in accuracies.items()}
    return [*cells, *(c for c in beside_the_paper(TABLES.values(), ours) if c.ours)]


def test_is_up_to_date(cells):
    for file, text in index_files(cells).items():
        assert file.read_text() == text, f'{file}: run tools/reproduce.py all --write-index'


def test_model_index_accepts_it():
    index = modelindex.load(str(REPOSITORY / 'eca_mm/.mim/model-index.yml'))
    assert not index.check(silent=True)
    assert len(index.models) == 30
    assert all((REPOSITORY / model.config).is_file() for model in index.models)


def test_results_are_measured_ones(cells):
    files = index_files(with_ours(cells, table4=39.1, table5=35.7))
    models = yaml.safe_load(files[REPOSITORY / 'configs/metafile.yml'])['Models']
    assert {model['Name']: model['Results'] for model in models if 'Results' in model} == {
        ROW: [
            {'Task': 'Object Detection', 'Dataset': 'COCO', 'Metrics': {'box AP': 39.1}},
            {'Task': 'Instance Segmentation', 'Dataset': 'COCO', 'Metrics': {'mask AP': 35.7}},
        ]
    }
    assert '| 39.0 | 39.1 | 35.6 | 35.7 |' in files[REPOSITORY / RESULTS]


@pytest.mark.parametrize(('notes', 'comparable'), [(AUTHORS, True), ('on 80 images', False)])
def test_other_weights_or_images_are_no_results_of_ours(cells, notes, comparable):
    added = with_ours(cells, notes, comparable, table4=39.0)
    assert index_files(added)[REPOSITORY / RESULTS] == (REPOSITORY / RESULTS).read_text()


def test_needs_all_tables_and_a_checkout(cells, monkeypatch, tmp_path):
    for part in ([c for c in cells if c.table.name == 'table4'], [c for c in cells if c.column != 'GMACs']):
        with pytest.raises(ValueError, match='needs all tables'):
            index_files(part)
    monkeypatch.setattr('eca_mm.paper.index.REPOSITORY', tmp_path)
    with pytest.raises(FileNotFoundError, match='in a checkout'):
        index_files(cells)
