"""The comparison with the paper as text, as files, and as a page that is looked at in Chromium."""

import csv
import html
import io
import json
import re
import shutil
from collections import Counter

import pytest

from eca_mm.paper import TABLES, Cell, Measurement, beside_the_paper
from eca_mm.paper.report import render_csv, render_html, render_json, render_markdown, render_text, write_report
from eca_mm.paper.report.sheets import sheets

ENVIRONMENT = {'torch': '2.13.0', 'processor': 'two <cores> & more'}
HOSTILE = '<script>alert(1)</script> | a note'
FASTER = 'faster_rcnn_eca_r50_fpn_1x'
DETECTORS = (('faster_rcnn_r50_fpn_1x', 36.2), ('faster_rcnn_se_r50_fpn_1x', 9.5), (FASTER, 38.1))


def measurements():
    """What a user may have: complexity of all rows of Table 4, some trainings, speeds of another machine."""
    found = {
        ('table4', row.config, column): Measurement(1e7, row.printed[column], 'measured now')
        for row in TABLES['table4'].rows
        for column in ('Param.', 'GFLOPs')
    }
    for row, ap in DETECTORS:
        found['table4', row, 'AP'] = Measurement(ap, f'{ap}', f'measured before (work_dirs/{row}/metrics.json)')
    for name, parameters, flops, top1 in (('se', 26.77, 3.87, 76.2), ('eca', 24.37, 3.86, 77.31)):
        row = f'imagenet/{name}_resnet50'
        found['table2', row, 'Param.'] = Measurement(parameters * 1e6, f'{parameters}M', 'measured now')
        found['table2', row, 'FLOPs'] = Measurement(flops * 1e9, f'{flops}G', 'measured now')
        for table in ('table2', 'figure4'):
            found[table, row, 'Top-1'] = Measurement(top1, f'{top1:.2f}', 'top1.json', HOSTILE)
        found['table2', row, 'Training'] = Measurement(0.9, '0.90', 'measured before (speed.json)', 'On a CPU.', False)
    for k, top1 in ((3, 77.4), (5, 77.25), (7, 77.3), (9, 77.6)):
        found['figure4', f'imagenet/eca_k{k}_resnet50', 'Top-1'] = Measurement(top1, f'{top1:.2f}', 'top1.json')
    found['table1', 'imagenet/eca_k3_resnet50', 'Param.'] = Measurement(3, 'k', 'measured now')
    found['table3', 'imagenet/resnet152', 'Top-1'] = Measurement(78.1, '78.10', 'top1.json')  # not in the paper's table
    return found


CELLS = {
    'measured': list(beside_the_paper(TABLES.values(), measurements())),
    'nothing': list(beside_the_paper(TABLES.values(), {})),
}


@pytest.fixture(params=CELLS)
def cells(request):
    return CELLS[request.param]


def number_counts(cells):
    """The printed numbers, with how often each must be found."""
    return Counter(text for cell in cells for text in (cell.paper, cell.ours) if text)


def test_terminal_shows_every_number_within_its_width(cells):
    text = render_text(cells)
    assert not number_counts(cells) - Counter(text.split()) and max(map(len, text.splitlines())) <= 120


def test_terminal_says_where_each_number_comes_from():
    text = ' '.join(render_text(CELLS['measured']).split())
    for said in (
        'ours 26.77M 3.87G 0.90 76.20 diff 0.00= 0.00= +0.16~ -0.51!',
        'not measured: tools/train.py configs/CONFIG.py; tools/test.py configs/CONFIG.py work_dirs/CONFIG/epoch_12.pth: AP50,',
        'measured before (work_dirs/CONFIG/metrics.json): AP of faster_rcnn_r50_fpn_1x, faster_rcnn_se_r50_fpn_1x, ',
        'measured before (speed.json) - On a CPU.: Training of imagenet/se_resnet50, imagenet/eca_resnet50',
        f'differ: Table 2, imagenet/se_resnet50, Top-1: paper 76.71, ours 76.20, -0.51: {HOSTILE}',
        'differ: Table 4, faster_rcnn_se_r50_fpn_1x, AP: paper 37.7, ours 9.5, -28.2',
    ):
        assert said in text
    found = re.search(r'(\d+) match, (\d+) differ, (\d+) measured, (\d+) not comparable, (\d+) not measured', text)
    assert sum(map(int, found.groups())) == len(CELLS['measured'])


def test_every_number_has_one_origin(cells):
    for sheet in sheets(cells):
        named = [
            (row, column)
            for part in '; '.join(sheet.origins().values()).split('; ')
            for columns, _, rows in [part.partition(' of ')]
            for row in rows.split(', ')
            for column in columns.split(', ')
        ]
        assert Counter(named) == Counter(list(sheet.cells))


@pytest.mark.parametrize(('paper', 'ours', 'printed'), [
    ('36.4', '36.5', '+0.1'), ('3.86G', '3.86G', '0.00'), ('319.4M', '319.2M', '-0.2'), ('k', 'k', ''), ('36.4', None, ''),
])  # fmt: skip
def test_differences_have_the_papers_digits(paper, ours, printed):
    assert Cell(TABLES['table4'], 'row', 'AP', paper, ours, None, 'match', '').difference == printed


def test_csv_and_json_hold_the_cells(cells):
    assert json.loads(render_json(cells)) == [cell.record() for cell in cells]
    lines = list(csv.DictReader(io.StringIO(render_csv(cells))))
    for line, cell in zip(lines, cells, strict=True):
        assert line.pop('difference') == cell.difference
        line['raw'] = float(line['raw']) if line['raw'] else None
        assert {**line, 'paper': line['paper'] or None, 'ours': line['ours'] or None} == cell.record()


def test_markdown_has_every_number_and_escapes(cells):
    text = render_markdown(cells)
    assert not number_counts(cells) - Counter(re.sub(r'\\(.)', r'\1', html.unescape(text)).split())
    assert '<' not in text and '~' not in text.partition('## ')[2] and ' | a note' not in text


def test_files(tmp_path, cells):
    files = write_report(cells, tmp_path / 'new/report', ENVIRONMENT)
    assert [file.name for file in files] == ['report.md', 'report.csv', 'report.json', 'index.html']
    assert files == write_report(cells, tmp_path / 'new/report', ENVIRONMENT)
    assert json.loads(files[2].read_text())
    with pytest.raises(ValueError, match=r'report\.md cannot be written'):
        write_report(cells, files[0], ENVIRONMENT)


def test_page_has_its_parts_only_escapes_and_loads_nothing(cells):
    page = render_html(cells, ENVIRONMENT)
    assert 'two &lt;cores&gt; &amp; more' in page and '<script>alert' not in page
    assert not re.search(r"""(?:src|href)=["'](?!#)|url\(|@import|https?://""", page)
    page = render_html(list(beside_the_paper([TABLES['table5']], {})), {})
    assert 'id="table5"' in page and 'id="table4"' not in page and '<svg' not in page


# From here on in a browser


@pytest.fixture(scope='module')
def browser():
    playwright = pytest.importorskip('playwright.sync_api', reason='the browser tests need playwright')
    chromium = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
    if chromium is None:
        pytest.skip('the browser tests need chromium: apt-get install chromium')
    with playwright.sync_playwright() as p:
        started = p.chromium.launch(executable_path=chromium, args=['--headless', '--no-sandbox'])
        yield started
        started.close()


@pytest.fixture
def open_page(browser, tmp_path, cells):
    """Opens the report offline in a window of some width; fails on any other request, error or message."""
    contexts = []

    def open_at(width):
        file = write_report(cells, tmp_path, ENVIRONMENT)[-1]
        context = browser.new_context(viewport={'width': width, 'height': 800}, offline=True)
        page = context.new_page()
        requests, complaints = [], []
        page.on('request', lambda request: requests.append(request.url))
        page.on('console', lambda message: complaints.append(message.text))
        page.on('pageerror', lambda error: complaints.append(str(error)))
        page.goto(file.as_uri())
        contexts.append((context, file.as_uri(), requests, complaints))
        return page

    yield open_at
    for context, address, requests, complaints in contexts:
        context.close()
        assert requests == [address] and complaints == []


@pytest.mark.parametrize('width', [360, 1280])
def test_page_fits_the_window(open_page, width):
    page = open_page(width)
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    assert page.evaluate('document.documentElement.scrollWidth <= innerWidth')
    assert page.locator('table').count() == len(TABLES)
    ids = page.locator('[id]').evaluate_all('all => all.map((part) => part.id)')
    assert len(ids) == len(set(ids))
    for table in page.locator('.scroll').all():
        assert table.bounding_box()['width'] <= width


def column(page, table, group, index):
    """The shown texts of a column in the rows of a table's group."""
    rows = page.locator(f'#{table} tbody').nth(group).locator('tr:not(.group)')
    return rows.evaluate_all(f'rows => rows.map((row) => row.cells[{index}].textContent.trim())')


def test_headings_sort_as_numbers(open_page, cells):
    page = open_page(1280)
    heading = page.locator('#table4 th[aria-sort]').nth(8)  # AP, ours, behind three times two and the method
    button = heading.get_by_role('button', name='AP, ours', exact=True)
    shown = {cell.row: cell.ours or '–' for cell in cells if (cell.table.name, cell.column) == ('table4', 'AP')}  # noqa: RUF001
    before = [shown[row] for row, _ in DETECTORS]
    rising = sorted(before, key=lambda text: float(text) if text[0].isdigit() else 0)
    for order, expected in (('ascending', rising), ('descending', rising[::-1]), ('none', before)):
        button.press('Enter')
        assert heading.get_attribute('aria-sort') == order
        assert column(page, 'table4', 0, 8) == expected
        assert page.locator('[aria-sort=ascending], [aria-sort=descending]').count() == (order != 'none')
    page.locator('#table4').get_by_role('button', name='AP, paper', exact=True).click()
    assert column(page, 'table4', 3, 7) == ['39.4', '40.7', '41.3']
    for expected in (['0.46', '0.58', '0.74', '0.77', '1.00'], ['1.00', '0.77', '0.74', '0.58', '0.46']):
        page.locator('#table2').get_by_role('button', name='Training, paper', exact=True).click()
        assert column(page, 'table2', 0, 7) == [*expected, '–', '–']  # noqa: RUF001  # missing numbers stay last


INSIDE = """svg => [...svg.querySelectorAll('text, use, g > path')].filter((part) => {
  const box = part.getBoundingClientRect(), all = svg.getBoundingClientRect();
  return box.left < all.left || box.top < all.top || box.right > all.right || box.bottom > all.bottom;
}).map((part) => part.outerHTML)"""
OVERLAPPING = """svg => {
  const texts = [...svg.querySelectorAll('text')].map((text) => [text.textContent, text.getBoundingClientRect()]);
  return texts.flatMap(([a, p], i) => texts.slice(i + 1).filter(([, q]) => p.left < q.right && q.left < p.right
    && p.top < q.bottom && q.top < p.bottom).map(([b]) => [a, b]));
}"""
STROKES = "svg => [...svg.querySelectorAll('.point use')].map((mark) => getComputedStyle(mark).stroke)"


@pytest.mark.parametrize('width', [360, 1280])
def test_figures(open_page, cells, width):
    page = open_page(width)
    measured = cells is CELLS['measured']
    labels = {'table2': {'ResNet', 'SENet', 'CBAM', 'A2-Nets', 'GSoP-Net1', 'AA-Net', 'ECA-Net', 'Top-1 (%)', 'FLOPs (G)'},
              'figure4': {'SENet', 'ECA adaptive', '77.48', 'ResNet-50, Top-1 (%)', 'kernel size k'}}  # fmt: skip
    for name, papers, ours in (('table2', 15, 2), ('figure4', 1, 4)):
        svg = page.locator(f'#{name}-plot')
        box = svg.bounding_box()
        assert 300 < box['width'] <= width and box['height'] > 250
        assert svg.locator('title').first.text_content()
        assert labels[name] <= set(svg.locator('text').all_text_contents())
        assert svg.locator('.point.paper').count() == papers
        assert svg.locator('.point.ours').count() == (ours if measured else 0)
        assert svg.evaluate(INSIDE) == [] and svg.evaluate(OVERLAPPING) == []
    assert page.locator('#figure4-plot .line.ours').count() == (2 if measured else 0)
    assert page.locator('#figure4-plot .line.paper').count() == 4


def test_circles_have_areas_by_parameters(open_page):
    widths = "all => all.map((c) => [c.querySelector('title').textContent, c.querySelector('use').getBBox().width])"
    circles = open_page(1280).locator('#table2-plot .point.paper').evaluate_all(widths)
    ratios = [width**2 / float(re.search(r'([\d.]+)M parameters', text)[1]) for text, width in circles]
    assert ratios == pytest.approx([ratios[0]] * 15, rel=0.01)


def test_figures_are_the_same_each_time_and_follow_the_colour_scheme(open_page):
    assert render_html(CELLS['measured'], {}) == render_html(CELLS['measured'], {})
    page, found = open_page(1280), []
    for scheme in ('light', 'dark'):
        page.emulate_media(color_scheme=scheme)
        found.append(page.locator('#table2-plot').evaluate(STROKES))
    assert len(found[0]) == len(found[1]) > 14 and not set(found[0]) & set(found[1])
    assert len(set(found[0])) == 7  # a colour for each method, which is a variable of the page
    assert not re.findall('#[0-9a-f]{6}', page.locator('#table2-plot').inner_html())
