"""Configs and command lines, the batch rule, and the files a config needs."""

import itertools

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper

from eca_mm.engine import apply_batch, find_images, load_config, split_batch
from eca_mm.engine.files import check_data, check_weights
from tests.conftest import REPOSITORY

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
        with pytest.raises(ValueError, match='--data-root'):
            load_config(tmp_path / 'a.py', data_root='/here')

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
    ])  # fmt: skip
    def test_refuses_options(self, options, message):
        with pytest.raises(ValueError, match=message):
            load_config(FASTER, cfg_options=options)

    def test_refuses_files(self, tmp_path):
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
        check_data(cfg, 'train_dataloader')
        with pytest.raises(FileNotFoundError, match='instances_val2017'):
            check_data(cfg, 'train_dataloader', 'val_dataloader')

    def test_imagenet(self, tmp_path):
        cfg = load_config(REPOSITORY / 'configs/imagenet/eca_resnet50.py', data_root=str(tmp_path))
        with pytest.raises(FileNotFoundError, match='train does not exist.*IMAGENET_ROOT'):
            check_data(cfg, 'train_dataloader')
        (tmp_path / 'train').mkdir()
        check_data(cfg, 'train_dataloader')

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
        cfg.model.backbone.init_cfg = None
        check_weights(cfg)

    def test_images(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='no image in'):
            find_images(tmp_path)
        with pytest.raises(FileNotFoundError, match='image not found'):
            find_images(tmp_path / 'x.jpg')
        for name in ('b.JPG', 'a.png', 'c.txt'):
            (tmp_path / name).touch()
        assert [f.name for f in find_images(tmp_path)] == ['a.png', 'b.JPG']
