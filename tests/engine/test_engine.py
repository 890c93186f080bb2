"""Configs and command lines, the batch rule, and the files a config needs."""

import itertools
import os
from types import SimpleNamespace

import mmdet.engine  # noqa: F401  (registers its schedules)
import mmengine.config.utils
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS

from eca_mm.engine import apply_batch, find_images, load_config, split_batch
from eca_mm.engine.files import check_data, check_first_image, check_weights, make_folder
from eca_mm.engine.model import load_model
from tests.support import REPOSITORY

FASTER = REPOSITORY / 'configs/faster_rcnn_eca_r50_fpn_1x.py'


class TestBatch:
    @pytest.mark.parametrize('total', [8, 96, 256])
    def test_product_is_the_batch(self, total):
        for processes, most in itertools.product((1, 2, 4, 8), (1, 2, 3, 32, 1000)):
            batch = split_batch(total, processes, most)
            assert batch.processes * batch.images * batch.accumulation == total
            assert batch.images <= most

    def test_the_paper_s_machine(self):
        assert str(split_batch(8, 4, 2)) == '4 processes x 2 images x 1 accumulated = 8 images per optimiser step'

    @pytest.mark.parametrize('processes', [3, 5, 16])
    def test_refuses_processes(self, processes):
        with pytest.raises(ValueError, match=rf'{processes} processes.*\[1, 2, 4, 8\]'):
            split_batch(8, processes, 2)

    @pytest.mark.parametrize('images', [0, -1, 1.5])
    def test_refuses_batches(self, images):
        with pytest.raises(ValueError, match=f'batch_size must be a positive integer, got {images}'):
            split_batch(8, 1, images)

    @pytest.mark.parametrize(('processes', 'accumulation'), [(1, 4), (2, 2), (4, 1), (8, 1)])
    def test_config(self, processes, accumulation):
        cfg = Config.fromfile(FASTER)
        apply_batch(cfg, processes)
        warmup, steps = cfg.param_scheduler
        assert cfg.optim_wrapper.accumulative_counts == accumulation
        assert cfg.train_dataloader.batch_size == (1 if processes == 8 else 2)
        assert warmup.end == 500 * accumulation
        assert steps.milestones == [8, 11] and cfg.optim_wrapper.optimizer.lr == 0.01
        assert cfg.train_dataloader.sampler == dict(
            cfg.train_dataloader.sampler, type='eca_mm.StepSampler', images_per_step=8, shuffle=True
        )

    @pytest.mark.parametrize(
        'change', [dict(train_dataloader=dict(sampler=dict(type='InfiniteSampler'))), dict(train_cfg=dict(max_iters=9))]
    )
    def test_refuses_other_loops(self, change):
        cfg = Config.fromfile(FASTER)
        cfg.merge_from_dict(change)
        with pytest.raises(ValueError, match='images_per_step'):
            apply_batch(cfg, 1)

    @pytest.mark.parametrize('schedule', [
        dict(type='LinearLR', start_factor=0.1, begin=0, end=10),
        dict(type='ConstantLR', factor=0.5, begin=0, end=10),
        dict(type='PolyLR', eta_min=0.1, begin=5, end=25),
        dict(type='mmdet.QuadraticWarmupLR', begin=0, end=10),
        dict(type='CosineAnnealingLR', T_max=20),
        dict(type='CosineRestartLR', periods=[10, 20], restart_weights=[1, 0.5], eta_min=0.1),
        dict(type='StepLR', step_size=7, gamma=0.5),
        dict(type='MultiStepLR', milestones=[5, 9], gamma=0.5),
        dict(type='OneCycleLR', total_steps=30, eta_max=1.0),
    ])  # fmt: skip
    def test_schedules_in_iterations_are_stretched(self, schedule):
        """A hundred times as many iterations, and after each hundred the learning rate of one."""
        rates = []
        for batch_size in (200, 2):
            cfg = Config.fromfile(FASTER)
            cfg.merge_from_dict(dict(images_per_step=200, train_dataloader=dict(batch_size=batch_size)))
            cfg.param_scheduler = [dict(schedule, by_epoch=False)]
            factor = apply_batch(cfg, 1).accumulation
            optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], 1.0)
            (scheduler,) = (
                PARAM_SCHEDULERS.build(c, default_args=dict(optimizer=optimizer)) for c in cfg.param_scheduler
            )
            curve = []
            for i in range(25 * factor):
                if i % factor == 0:
                    curve.append(optimizer.param_groups[0]['lr'])
                optimizer.step()
                scheduler.step()
            rates.append(torch.tensor(curve))
        # A schedule reaches its end one iteration before it, which is not one of an optimiser step.
        assert (rates[0] - rates[1]).abs().mean() < 0.06
        assert rates[0].unique().numel() > 1

    @pytest.mark.parametrize('name', ['ExponentialLR', 'ReduceOnPlateauLR', 'mine.Schedule'])
    def test_refuses_schedules_in_iterations(self, name):
        cfg = Config.fromfile(FASTER)
        cfg.param_scheduler = dict(type=name, by_epoch=False)
        apply_batch(cfg, 4)  # nothing is accumulated
        with pytest.raises(ValueError, match=rf'{name.split(".")[-1]} with by_epoch=False.* 4 iterations'):
            apply_batch(Config(dict(cfg.to_dict(), train_dataloader=Config.fromfile(FASTER).train_dataloader)), 1)

    def test_a_foreign_config_is_left_alone(self):
        cfg = Config(dict(train_dataloader=dict(batch_size=2)))
        before = cfg.to_dict()
        assert apply_batch(cfg, 1) is None and cfg.to_dict() == before

    def test_accumulated_steps_equal_whole_ones(self):
        """mmengine's accumulation, as configured here, is plain gradient descent on the mean over the batch."""
        torch.manual_seed(0)
        x, models = torch.randn(16, 3, dtype=torch.float64), []
        for accumulation in (1, 4):
            torch.manual_seed(1)
            model = torch.nn.Linear(3, 1).double()
            wrapper = OptimWrapper(
                torch.optim.SGD(model.parameters(), 0.1, momentum=0.9), accumulative_counts=accumulation
            )
            wrapper.initialize_count_status(model, 0, 2 * accumulation)
            for part in x.chunk(2 * accumulation):
                with wrapper.optim_context(model):
                    loss = model(part).pow(2).mean()
                wrapper.update_params(loss)
            models.append(model)
        torch.testing.assert_close(models[0].weight, models[1].weight, rtol=0, atol=1e-14)


class TestLoadConfig:
    def test_data_root_reaches_every_path(self, monkeypatch):
        monkeypatch.delenv('COCO_ROOT', raising=False)
        assert load_config(FASTER).val_evaluator.ann_file == 'data/coco/annotations/instances_val2017.json'
        monkeypatch.setenv('COCO_ROOT', '/elsewhere')
        assert load_config(FASTER).train_dataloader.dataset.data_root == '/elsewhere/'
        cfg = load_config(FASTER, data_root='/here')
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            assert loader.dataset.data_root == '/here/'
        for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
            assert evaluator.ann_file == '/here/annotations/instances_val2017.json'

    def test_data_root_needs_a_reader(self, tmp_path):
        (tmp_path / 'a.py').write_text("_base_ = 'mmdet::_base_/datasets/coco_detection.py'")
        for root in ('/here', 'data'):  # the latter is part of a path in it
            with pytest.raises(ValueError, match='--data-root.*reads none of COCO_ROOT'):
                load_config(tmp_path / 'a.py', data_root=root)

    @pytest.mark.parametrize('root', ["/o'brien", '/a "quoted" place', '/back\\1slash\\', '/with space/é'])
    def test_data_root_may_have_any_name(self, root):
        cfg = load_config(FASTER, data_root=root)
        assert cfg.train_dataloader.dataset.data_root == root + '/'
        assert cfg.val_evaluator.ann_file == root + '/annotations/instances_val2017.json'

    def test_environment(self, monkeypatch):
        """Empty variables are none, `~` is the home, and all is as before afterwards."""
        monkeypatch.setenv('HOME', '/home/eca')
        monkeypatch.setenv('COCO_ROOT', '')
        before = dict(os.environ)
        assert load_config(FASTER).train_dataloader.dataset.data_root == 'data/coco/'
        assert load_config(FASTER, data_root='~/coco').train_dataloader.dataset.data_root == '/home/eca/coco/'
        monkeypatch.setenv('COCO_ROOT', '~')
        assert load_config(FASTER).train_dataloader.dataset.data_root == '/home/eca/'
        assert os.environ == {**before, 'COCO_ROOT': '~'}

    def test_mmengine_is_left_alone(self):
        load_config(FASTER)
        assert mmengine.config.utils.load is mmengine.fileio.load

    def test_backbone_weights(self):
        assert (
            load_config(FASTER, cfg_options=dict(backbone_weights='x.pth')).model.backbone.init_cfg.checkpoint
            == 'x.pth'
        )
        assert load_config(FASTER, cfg_options=dict(backbone_weights=None)).model.backbone.init_cfg is None

    def test_work_dir(self):
        assert load_config(FASTER).work_dir == 'work_dirs/faster_rcnn_eca_r50_fpn_1x'
        assert load_config(FASTER, work_dir='/x').work_dir == '/x'

    def test_options(self):
        cfg = load_config(FASTER, cfg_options={'optim_wrapper.optimizer.lr': 0.02, 'model.backbone.init_cfg': None})
        assert cfg.optim_wrapper.optimizer.lr == 0.02 and cfg.model.backbone.init_cfg is None

    @pytest.mark.parametrize(('options', 'message'), [
        ({'optm_wrapper.optimizer.lr': 1}, "did you mean 'optim_wrapper'"),
        ({'zzz': 1}, 'it has'),
        ({'model.backbone.depth.x': 1}, 'do not fit'),
        ({'data_root': '/here'}, 'would not see it; set --data-root'),
        ({'train_pipeline.2.scale': (320, 200)}, 'set train_dataloader.dataset.pipeline instead'),
        ({'model': None}, 'has no model, but None'),
    ])  # fmt: skip
    def test_refuses_options(self, options, message):
        with pytest.raises(ValueError, match=message):
            load_config(FASTER, cfg_options=options)

    @pytest.mark.parametrize('options', [
        {'randomness.seed': 3},
        {'work_dir': '/x'},
        {'custom_hooks': []},
        {'find_unused_parameters': True},
        {'sync_bn': 'torch'},
        {'compile.backend': 'eager'},
        {'model_wrapper_cfg.type': 'MMDistributedDataParallel'},
        {'pictures': 3},
        {'load_from': 'x.pth'},
        {'experiment_name': 'x'},
        {'auto_scale_lr.enable': True},
    ])  # fmt: skip
    def test_accepts_what_the_runner_reads(self, options):
        cfg = load_config(FASTER, cfg_options=options)
        ((key, value),) = options.items()
        for part in key.split('.'):
            cfg = cfg[part]
        assert cfg == value

    def test_backbone_weights_need_a_backbone(self, tmp_path):
        (tmp_path / 'a.py').write_text("model = dict(type='mmdet.FasterRCNN')")
        with pytest.raises(ValueError, match=r'a\.py has no backbone'):
            load_config(tmp_path / 'a.py', cfg_options=dict(backbone_weights='x.pth'))

    def test_refuses_files(self, tmp_path):
        (tmp_path / 'empty.py').write_text('')
        with pytest.raises(ValueError, match=r'empty\.py has no model'):
            load_config(tmp_path / 'empty.py')
        with pytest.raises(FileNotFoundError, match='there is .*faster_rcnn_eca_r50_fpn_1x.py'):
            load_config(FASTER.with_name('faster_rcnn_eca_r50_fpn.py'))
        (tmp_path / 'broken.py').write_text('model = dict(')
        with pytest.raises(ValueError, match='cannot be read as a config'):
            load_config(tmp_path / 'broken.py')


class TestFiles:
    def test_coco(self, tmp_path):
        cfg = load_config(FASTER, data_root=str(tmp_path))
        with pytest.raises(FileNotFoundError, match=r'instances_train2017\.json does not exist.*COCO_ROOT'):
            check_data(cfg, 'train_dataloader', 'val_dataloader')
        for name in ('train2017', 'val2017', 'annotations'):
            (tmp_path / name).mkdir()
        (tmp_path / 'annotations/instances_train2017.json').touch()
        with pytest.raises(FileNotFoundError, match=r'train2017 is empty\. Get COCO'):
            check_data(cfg, 'train_dataloader')
        (tmp_path / 'train2017/1.jpg').touch()
        check_data(cfg, 'train_dataloader')
        with pytest.raises(FileNotFoundError, match='instances_val2017'):
            check_data(cfg, 'train_dataloader', 'val_dataloader')

    def test_imagenet(self, tmp_path):
        cfg = load_config(REPOSITORY / 'configs/imagenet/eca_resnet50.py', data_root=str(tmp_path))
        with pytest.raises(FileNotFoundError, match='train does not exist.*IMAGENET_ROOT'):
            check_data(cfg, 'train_dataloader')
        (tmp_path / 'train/n01440764').mkdir(parents=True)
        check_data(cfg, 'train_dataloader')

    def test_first_image(self, tmp_path):
        cfg = load_config(FASTER, data_root=str(tmp_path))
        dataset = SimpleNamespace(get_data_info=lambda i: dict(img_path=str(tmp_path / f'train2017/{i}.jpg')))
        with pytest.raises(FileNotFoundError, match=r'train2017/0\.jpg, the first image, does not exist\. Get COCO'):
            check_first_image(cfg.train_dataloader, dataset)
        (tmp_path / 'train2017').mkdir()
        (tmp_path / 'train2017/0.jpg').touch()
        check_first_image(cfg.train_dataloader, dataset)
        check_first_image(cfg.train_dataloader, [])  # a dataset of another kind
        with pytest.raises(ValueError, match=r'instances_train2017\.json: no image'):
            check_first_image(cfg.train_dataloader, SimpleNamespace(get_data_info=[].__getitem__))

    def test_folders(self, tmp_path):
        make_folder(tmp_path / 'a/b', '--out')
        make_folder(tmp_path / 'a/b', '--out')
        (tmp_path / 'file').touch()
        for path in (tmp_path / 'file', tmp_path / 'file/b', '/dev/null/x'):
            with pytest.raises(ValueError, match=f'--out: {path} cannot be made a folder'):
                make_folder(path, '--out')

    def test_weights(self, tmp_path):
        cfg = load_config(FASTER)
        with pytest.raises(FileNotFoundError, match=r'checkpoints/eca_resnet50\.pth.*backbone_weights=None'):
            check_weights(cfg)
        cfg.model.backbone.init_cfg.checkpoint = str(tmp_path)
        with pytest.raises(FileNotFoundError):
            check_weights(cfg)
        (tmp_path / 'w.pth').touch()
        cfg.model.backbone.init_cfg.checkpoint = str(tmp_path / 'w.pth')
        check_weights(cfg)
        cfg.model.backbone.init_cfg.checkpoint = 123
        with pytest.raises(ValueError, match='backbone weights must be a file.* got 123'):
            check_weights(cfg)

    @pytest.mark.parametrize('weights', [None, ''])
    def test_no_random_weights_are_frozen(self, weights):
        """Frozen stages and batch statistics come from somewhere, or are not frozen."""
        options = dict(backbone_weights=weights)
        thawed = {'model.backbone.norm_eval': False, 'model.backbone.frozen_stages': -1}
        for part in ({}, *({key: value} for key, value in thawed.items())):
            with pytest.raises(ValueError, match='backbone_weights=None .*norm_eval=False .*frozen_stages=-1'):
                check_weights(load_config(FASTER, cfg_options=options | part))
        check_weights(load_config(FASTER, cfg_options=options | thawed))
        check_weights(load_config(FASTER, cfg_options={'model.backbone.init_cfg.type': 'Kaiming'}))  # meant, then

    def test_load_from(self, tmp_path):
        cfg = load_config(FASTER, cfg_options=dict(load_from=str(tmp_path / 'x.pth')))
        with pytest.raises(FileNotFoundError, match=r'x\.pth'):
            check_weights(cfg)
        (tmp_path / 'x.pth').touch()
        check_weights(cfg)  # though the backbone's weights are not there

    def test_integers_of_the_model_s_own_are_loaded(self, tmp_path):
        cfg = load_config(REPOSITORY / 'configs/imagenet/eca_resnet50.py')
        cfg.model = dict(
            type='ImageClassifier',
            backbone=dict(type='SwinTransformer', arch='tiny', img_size=224),
        )
        state = load_model(cfg, None, 'none').state_dict()
        assert any(not value.is_floating_point() for value in state.values())
        assert load_model(cfg, dict(state_dict=state), 'x.pth').state_dict().keys() == state.keys()

    def test_images(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='no image in'):
            find_images(tmp_path)
        with pytest.raises(FileNotFoundError, match='image not found'):
            find_images(tmp_path / 'x.jpg')
        for name in ('b.JPG', 'a.png', 'c.txt'):
            (tmp_path / name).touch()
        assert [f.name for f in find_images(tmp_path)] == ['a.png', 'b.JPG']
