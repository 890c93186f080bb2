"""The model index and the page of results."""

import modelindex
import pytest
import yaml

from eca_mm.paper import TABLES, Measurement, beside_the_paper
from eca_mm.paper.accuracy import AUTHORS
from eca_mm.paper.index import RESULTS, index_files
from tests.support import REPOSITORY

ROW = 'mask_rcnn_eca_r50_fpn_1x'


def test_the_page_explains_the_differences(cells):
    page = index_files(cells)[REPOSITORY / RESULTS]
    assert page.count('\n# ') == 1 and str(REPOSITORY) not in page
    for table, row, column, note in ((c.table, c.row, c.column, c.note) for c in cells if c.status == 'differ'):
        assert note and f'- differ: {table.label}, {row}, {column}: ' in page and note in page


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


@pytest.mark.parametrize(('notes', 'comparable'), [(AUTHORS, True), ('on 80 images', False)])
def test_other_weights_or_images_are_no_results_of_ours(cells, notes, comparable):
    added = with_ours(cells, notes, comparable, table4=39.0)
    page, index = (REPOSITORY / name for name in (RESULTS, 'configs/metafile.yml'))
    files = index_files(added)
    assert files[index] == index.read_text() and notes in files[page]
