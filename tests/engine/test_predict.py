"""Predictions: what is refused, which boxes are drawn, several models in one process, class activation maps."""

import json
import sys

import cv2
import mmdet.apis
import mmpretrain
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

import eca_mm
from eca_mm.datasets import ShapesDataset
from eca_mm.engine import load_config
from eca_mm.errors import UserError
from tests.support import FASTER

pytestmark = pytest.mark.filterwarnings('ignore::UserWarning:mmengine', 'ignore:Failed to add:UserWarning')


@pytest.fixture(scope='module')
def picture(tmp_path_factory):
    file = tmp_path_factory.mktemp('pictures') / 'a.png'
    cv2.imwrite(str(file), np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8))
    return file


@pytest.fixture
def make(classifier):
    """Makes a model by the kind: a detector, or a classifier, with random weights."""
    return lambda kind: eca_mm.load_model(dict(detector=FASTER, classifier=classifier)[kind], None, device='cpu')


def test_refusals(make, classifier, picture, tmp_path):
    torch.save(dict(state_dict=dict(w=torch.ones(1))), tmp_path / 'other.pth')
    for message, arguments in (
        ('other.pth does not fit', dict(checkpoint=tmp_path / 'other.pth')),
        ("device 'gpu' cannot be used", dict(checkpoint=None, device='gpu')),
    ):
        with pytest.raises(UserError, match=message):
            eca_mm.load_model(classifier, **arguments)

    model = make('classifier')

    def refusal(*names, out_dir=tmp_path / 'out', **arguments):
        with pytest.raises(UserError) as error:
            eca_mm.predict(model, [tmp_path / n for n in names], out_dir, **arguments)
        return str(error.value)

    (tmp_path / 'broken.jpg').write_text('not an image')
    for name in ('half.png', 'a.png', 'a.jpg'):
        cv2.imwrite(str(tmp_path / name), cv2.imread(str(picture)))
    (tmp_path / 'half.png').write_bytes((tmp_path / 'half.png').read_bytes()[:2000])
    with pytest.warns(UserWarning, match='passed over'):
        assert 'none of the images can be read' in refusal('broken.jpg', 'half.png')
    assert 'a.png, ' in (said := refusal('a.png', 'a.jpg')) and 'would write the same' in said
    assert '`out_dir`: /dev/null/x cannot be made a folder' in refusal('a.png', out_dir='/dev/null/x')
    assert 'is drawn into a folder' in refusal('a.png', out_dir=None, cam='backbone.layer4')
    assert "no layer 'backbone.layer5': there are backbone.conv1, " in refusal('a.png', cam='backbone.layer5')
    assert "no layer 'layer4': there are data_preprocessor, backbone, " in refusal('a.png', cam='layer4')
    assert 'backbone gives no features (1, C, H, W)' in refusal('a.png', cam='backbone')


def test_cam_without_its_package(make, picture, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pytorch_grad_cam', None)
    with pytest.raises(UserError, match=r'need grad-cam \(.*\): pip install "eca-net-mm\[cam\]"'):
        eca_mm.predict(make('classifier'), picture, tmp_path, cam='backbone.layer4')


def test_threshold(tmp_path, shapes_root):
    """Of 0: all boxes are drawn; of 1: none, and the picture is the image. What is written is what is returned."""
    cfg = load_config(FASTER)
    state = eca_mm.load_model(cfg, None).state_dict()
    torch.save(dict(state_dict=state, meta=dict(dataset_meta=ShapesDataset.METAINFO)), tmp_path / 'x.pth')
    image = shapes_root / 'val/000001.png'
    model, pictures = eca_mm.load_model(cfg, tmp_path / 'x.pth'), []
    for threshold in (0, 1):
        folder = tmp_path / str(threshold)
        found = eca_mm.predict(model, image, folder, threshold=threshold)
        pictures.append(cv2.imread(str(folder / 'vis/000001.png')))
        assert found == {str(image): json.loads((folder / 'preds/000001.json').read_text())}
        assert found[str(image)]['scores']
    assert (pictures[1] == cv2.imread(str(image))).all() and (pictures[0] != pictures[1]).any()


@pytest.mark.parametrize('kind', ['classifier', 'detector'])
def test_names_of_pictures(make, kind, picture, tmp_path):
    """With several dots; with a suffix that OpenCV reads and does not write, or none."""
    names = ['cat.1.png', 'cat.2.png', 'upload', 'photo.jfif']
    for name in names:
        (tmp_path / name).write_bytes(picture.read_bytes())
    eca_mm.predict(make(kind), [tmp_path / name for name in names], tmp_path / 'out')
    written = {file.name for file in (tmp_path / 'out/vis').iterdir()}
    last = {'upload.png', 'photo.png' if kind == 'classifier' else 'photo.jfif.png'}
    assert written == {'cat.1.png', 'cat.2.png', *last}


@pytest.mark.parametrize('left', [None, 'mmdet', 'mmpretrain'])
def test_models_in_any_order(make, picture, tmp_path, left):
    """Whatever default scope other code left; each model finds the same as alone, and nothing is written."""
    if left:
        DefaultScope.get_instance('left', scope_name=left)
    models = {kind: make(kind) for kind in ('detector', 'classifier')}
    first = {kind: eca_mm.predict(model, picture) for kind, model in models.items()}
    for kind in ('detector', 'classifier', 'classifier', 'detector'):
        assert eca_mm.predict(models[kind], str(picture)) == first[kind]
    assert set(first['classifier'][str(picture)]) == {'pred_label', 'pred_score', 'pred_class'}
    assert set(first['detector'][str(picture)]) == {'labels', 'scores', 'bboxes'}
    assert not any(tmp_path.iterdir())


def test_the_libraries_own_functions_take_the_model(make, picture):
    detector, classifier = make('detector'), make('classifier')
    found = eca_mm.predict(detector, picture)[str(picture)]
    with DefaultScope.overwrite_default_scope('mmdet'):  # as their init_detector sets it
        theirs = mmdet.apis.inference_detector(detector, str(picture)).pred_instances
    assert theirs.scores.tolist() == found['scores'] and theirs.bboxes.tolist() == found['bboxes']
    (theirs,) = mmpretrain.ImageClassificationInferencer(classifier)(str(picture))
    assert theirs['pred_score'] == eca_mm.predict(classifier, picture)[str(picture)]['pred_score']


@pytest.mark.parametrize(('meta', 'classes'), [
    (None, ('n0', 'n1')), (dict(dataset_meta=dict(CLASSES=('x', 'y'))), ('x', 'y')), (dict(CLASSES=('x', 'y')), ('x', 'y')),
])  # fmt: skip
def test_classes(make, classifier, meta, classes, tmp_path):
    """Of the checkpoint, which says them in one of three ways, or else of the config's dataset."""
    torch.save(
        dict(state_dict=make('classifier').state_dict(), **(dict(meta=meta) if meta else {})), tmp_path / 'x.pth'
    )
    cfg = load_config(classifier, cfg_options={'test_dataloader.dataset.metainfo': dict(classes=('n0', 'n1'))})
    assert eca_mm.load_model(cfg, tmp_path / 'x.pth').dataset_meta['classes'] == classes


@pytest.mark.parametrize('kind', ['classifier', 'detector'])
def test_cam_is_the_formula(make, kind, picture, tmp_path):
    """ReLU(sum_c w_c A_c), w_c the mean gradient of the score; a layer with frozen weights too, and the model stays as it was."""
    show = pytest.importorskip('pytorch_grad_cam.utils.image').show_cam_on_image
    model, layer = make(kind), 'backbone.layer1' if kind == 'classifier' else 'backbone.layer3.1.eca'
    model.requires_grad_(kind == 'detector')
    eca_mm.predict(model, picture, tmp_path, threshold=0.5, cam=layer)
    assert all(p.grad is None for p in model.parameters()) and not model.get_submodule(layer)._forward_hooks

    features = []
    handle = model.get_submodule(layer).register_forward_hook(lambda *call: features.append(call[-1]))
    size = 32 if kind == 'classifier' else 128
    image = cv2.resize(cv2.imread(str(picture)), (size, size))
    batch = dict(inputs=[torch.from_numpy(image).permute(2, 0, 1)], data_samples=[sample(size)])
    data = model.data_preprocessor(batch, False)
    inputs = data['inputs'].requires_grad_()
    if kind == 'classifier':
        score = model(inputs, mode='tensor').max()
    else:  # none reaches 0.5
        score = model(inputs, data['data_samples'], mode='predict')[0].pred_instances.scores.max()
        assert score < 0.5
    handle.remove()
    (gradient,) = torch.autograd.grad(score, features[0])
    heat = (gradient.mean((2, 3), keepdim=True) * features[0]).sum(1)[0].relu().detach().numpy()
    heat = heat - heat.min()
    heat = cv2.resize(heat / (heat.max() + 1e-7), (size, size))
    heat = (heat - heat.min()) / (heat - heat.min()).max()
    expected = show(np.float32(image) / 255, heat)
    drawn = cv2.imread(str(tmp_path / f'cam/{picture.stem}.png'))
    assert heat.std() > 0.1 and np.abs(drawn.astype(int) - expected).max() <= 2


def sample(size):
    from mmdet.structures import DetDataSample

    return DetDataSample(metainfo=dict(img_shape=(size, size), ori_shape=(size, size), scale_factor=(1, 1)))
