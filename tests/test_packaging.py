"""The package as a guest in somebody's environment, and the doctor."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES

import pytest
from mmengine.config import Config

import eca_mm
from eca_mm import installation
from eca_mm.cli.doctor import check_installation
from tests.support import REPOSITORY, succeeded

OPENMMLAB = ('mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'onedl')


def run(*command, **kwargs):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=300, **kwargs)


def test_no_openmmlab_distribution_is_required():
    required = importlib.metadata.requires('eca-net-mm') or []
    plain = [r for r in required if 'extra ==' not in r]
    assert plain and not [r for r in plain if r.startswith(OPENMMLAB)]
    assert not [r for r in plain if '==' in r]  # wide ranges
    for extra, number in (('onedl', 4), ('openmmlab', 3)):  # the originals' mmcv is installed by itself
        assert sum(r.startswith(OPENMMLAB) for r in required if f'"{extra}"' in r.replace("'", '"')) == number


def test_needs_no_mmdet_for_the_backbones():
    program = """
import sys
sys.modules['mmdet'] = sys.modules['pycocotools'] = None  # imports of them fail
from mmpretrain.registry import MODELS
MODELS.build(dict(type='eca_mm.ECAResNet', depth=18))
"""
    succeeded(run(sys.executable, '-c', program))


def test_configs_are_inherited_by_path_and_resnets_need_no_mmpretrain(tmp_path):
    """The configs without importing us; layers and ResNets with mmdet alone, and a sentence for what needs mmpretrain."""
    expected = []
    for folder in (REPOSITORY / 'configs', REPOSITORY / 'eca_mm/.mim/configs'):
        for name, batch in (('faster_rcnn_eca_r50_fpn_1x', 8), ('imagenet/eca_resnet50', 256)):
            base = f"_base_ = '{folder / name}.py'"
            (tmp_path / f'mine{len(expected)}.py').write_text(f'{base}\nmodel = dict(backbone=dict(depth=101))')
            expected.append(f'eca_mm.ECAResNet 101 {batch}')
    program = """
import sys
from mmengine.config import Config
for path in sys.argv[1:]:
    cfg = Config.fromfile(path, import_custom_modules=False)
    print(cfg.model.backbone.type, cfg.model.backbone.depth, cfg.images_per_step)
assert 'eca_mm' not in sys.modules

assert 'mmpretrain' not in sys.modules

class Missing:
    def find_spec(self, name, *_):
        if name.partition('.')[0] == 'mmpretrain':
            raise ModuleNotFoundError(f'No module named {name!r}', name='mmpretrain')

sys.meta_path.insert(0, Missing())
import eca_mm
from mmdet.registry import MODELS
plugin = dict(cfg=dict(type='eca_mm.ECALayer'), stages=(True,) * 4, position='after_conv3')
backbone = MODELS.build(dict(type='mmdet.ResNet', depth=50, plugins=[plugin]))
assert sum('.eca.' in name for name in backbone.state_dict()) == 16
assert type(MODELS.build(dict(type='eca_mm.ECAResNet', depth=18))).__name__ == 'ECAResNet'
for name in ('ECAMobileNetV2', 'eca_mm.ECAMobileNetV2'):
    try:
        MODELS.build(dict(type=name))
    except Exception as error:
        print('mmpretrain' in str(error) and 'pip install' in str(error))
"""
    expected += ['True'] * 2
    process = run(sys.executable, '-c', program, *sorted(tmp_path.iterdir()))
    assert succeeded(process).splitlines() == expected


def test_the_import_is_light():
    """mmpretrain and mmdet are imported when the first backbone is asked for, by attribute, bare or scoped name."""
    program = """
import sys, eca_mm
from mmengine.registry import MODELS
assert MODELS.get('ECAResNet') and not {'mmpretrain', 'mmdet', 'matplotlib'} & set(sys.modules)
built = MODELS.build(dict(type='ECAResNet', depth=18))
assert type(built) is eca_mm.ECAResNet is eca_mm.models.ECAResNet is MODELS.get('eca_mm.ECAResNet')
"""
    succeeded(run(sys.executable, '-c', program))


def test_wheel(tmp_path):
    """`pip install .` from a copy: all modules, the type marker, the configs, the page and the measured speeds."""
    if shutil.which('uv') is None:
        pytest.skip('no uv to build with')
    source = shutil.copytree(
        REPOSITORY, tmp_path / 'source', symlinks=True,
        ignore=shutil.ignore_patterns('.venv*', 'work_dirs', 'data', '.git', '*.egg-info', 'build', '.*_cache'),
    )  # fmt: skip
    succeeded(run('uv', 'pip', 'install', '--no-deps', '--target', tmp_path / 'site', source))
    modules = {f.relative_to(REPOSITORY) for f in (REPOSITORY / 'eca_mm').rglob('*.py')}
    installed = {f.relative_to(tmp_path / 'site') for f in (tmp_path / 'site/eca_mm').rglob('*.py')}
    assert modules <= installed
    assert (tmp_path / 'site/eca_mm/py.typed').exists()
    configs = {f.relative_to(REPOSITORY) for f in (REPOSITORY / 'configs').rglob('*.py')}
    assert all((tmp_path / 'site/eca_mm/.mim' / f).is_file() for f in configs)
    data = [f for f in (REPOSITORY / 'eca_mm/paper').rglob('*') if f.suffix in ('.html', '.css', '.js', '.csv')]
    assert len(data) >= 4 and all((tmp_path / 'site' / f.relative_to(REPOSITORY)).is_file() for f in data)
    assert not (tmp_path / 'site/tests').exists()
    assert (tmp_path / f'site/eca_net_mm-{eca_mm.__version__}.dist-info').is_dir()
    environment = {**os.environ, 'PYTHONPATH': str(tmp_path / 'site')}
    help_text = succeeded(run(tmp_path / 'site/bin/eca-mm', 'train', '--help', env=environment))
    assert 'faster_rcnn_eca_r50_fpn_1x.py --data-root' in help_text
    process = run(tmp_path / 'site/bin/eca-mm', 'tran', env=environment)
    assert process.returncode == 1 and "no tool 'tran'" in process.stderr and 'predict, reproduce, ' in process.stdout


def test_configs_are_inherited_by_name_after_importing_us(tmp_path):
    (tmp_path / 'mine.py').write_text(
        "_base_ = 'eca_mm::imagenet/eca_resnet101.py'\nmodel = dict(backbone=dict(depth=152))"
    )
    cfg = Config.fromfile(tmp_path / 'mine.py')
    assert (cfg.model.backbone.type, cfg.model.backbone.depth) == ('eca_mm.ECAResNet', 152)
    assert cfg.images_per_step == 256


class TestDoctor:
    @pytest.fixture
    def doctor(self):
        return installation

    @pytest.fixture
    def install(self, monkeypatch, tmp_path):
        """Makes it look as if a distribution were installed."""
        monkeypatch.syspath_prepend(tmp_path)

        def distribution(name, version):
            (tmp_path / f'{name}.dist-info').mkdir(exist_ok=True)
            (tmp_path / f'{name}.dist-info/METADATA').write_text(f'Name: {name}\nVersion: {version}\n')

        return distribution

    def test_a_healthy_environment(self, tmp_path):
        screen = succeeded(run(sys.executable, REPOSITORY / 'tools/doctor.py', cwd=tmp_path))
        assert 'Training can run.' in screen and 'FAIL' not in screen
        assert importlib.metadata.version('torch') in screen

    def test_what_does_not_import(self, monkeypatch, capsys):
        """Masks, whose package imports even where its compiled part is missing; and curves, which training does without."""
        for module in ('mmdet', 'pycocotools._mask', 'tensorboard', 'torch.utils.tensorboard'):
            monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.delitem(sys.modules, 'pycocotools.mask', raising=False)  # imported by others before
        with pytest.raises(SystemExit) as end:
            check_installation()
        screen = capsys.readouterr().out
        assert end.value.code == 1 and 'problems: training cannot run' in screen
        assert re.search(r'FAIL +mmdet .*\n +-> does not import: ModuleNotFoundError: import of mmdet halted', screen)
        assert re.search(r'FAIL +pycocotools +(ModuleNot|Import)', screen)
        assert re.search(r'warn +TensorBoard +(ModuleNot|Import).*\n +-> .*training runs without', screen)

    def test_operators(self, doctor, monkeypatch, tmp_path):
        """A compiled module of another torch, and no module at all."""
        import mmcv

        assert doctor.check_operators().state == 'ok'
        monkeypatch.delitem(sys.modules, 'mmcv._ext')
        monkeypatch.setattr(mmcv, '__path__', [str(tmp_path)])
        finding = doctor.check_operators()
        assert finding.state == 'FAIL' and 'pip install ./mmcv_torch_ops' in finding.advice
        (tmp_path / f'_ext{EXTENSION_SUFFIXES[0]}').write_bytes(b'')
        sys.path_importer_cache.pop(str(tmp_path), None)
        finding = doctor.check_operators()
        assert finding.state == 'FAIL' and 'another torch than' in finding.advice and '_ext' in finding.found

    def test_two_distributions_of_one_package(self, doctor, install):
        install('mmcv_lite', '2.1.0')
        finding = doctor.check_package('mmcv', doctor.PACKAGES['mmcv'])
        assert finding.state == 'FAIL' and 'overwrite each other: pip uninstall' in finding.advice

    def test_two_distributions_of_opencv(self, doctor, install, monkeypatch):
        """They have the same files: of one version they do no harm, and imaug asks for both."""
        names = ('opencv-python-headless', 'opencv-contrib-python')
        monkeypatch.setattr(doctor, 'OPENCV', names)
        for version, state in (('4.12.0.88', 'ok'), ('4.13.0.90', 'warn')):
            install('opencv_python_headless', '4.12.0.88'), install('opencv_contrib_python', version)
            finding = doctor.check_opencv()
            assert finding.state == state and all(name in finding.found for name in names)
            assert ('overwrite each other: pip uninstall' in finding.advice) == (state == 'warn')

    def test_versions(self, doctor, install):
        install('torchvision', '0.28.1'), install('torch', '1.13.1')
        finding = doctor.check_package('torchvision', doctor.PACKAGES['torchvision'])
        assert finding.state == 'warn' and 'torchvision 0.28.0' in finding.advice
        finding = doctor.check_package('torch', doctor.PACKAGES['torch'])
        assert finding.state == 'FAIL' and '2.0' in finding.advice

    def test_the_tried_versions_are_those_of_the_documentation(self, doctor):
        page = (REPOSITORY / 'docs/installation.md').read_text()
        rows = re.findall(
            r'^\| (?:onedl|originals) ([\d., ]+) \| ([\d., ]+) \| ([\d.]+) \| the tests', page, re.MULTILINE
        )
        modules = ('mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'torch', 'torchvision')
        expected = {pair for row in rows for pair in zip(modules, ', '.join(row[:2]).split(', '), strict=True)}
        tried = {(m, v) for m, known in doctor.PACKAGES.items() for versions in known.values() for v in versions}
        assert len(rows) >= 2 and tried == expected
        assert {row[2] for row in rows} == set(doctor.PYTHON)
