import importlib.util

_base_ = 'mmdet::_base_/default_runtime.py'

custom_imports = dict(imports=['eca_mm'])
# A kill while a checkpoint is written leaves the one before it.
default_hooks = dict(checkpoint=dict(backend_args=dict(backend='eca_mm.atomic'), max_keep_ckpts=3))
custom_hooks = [dict(type='NumClassCheckHook')]  # tools/train.py looks before it starts; this is for mmdet's own tools
vis_backends = [dict(type='LocalVisBackend')]
if importlib.util.find_spec('tensorboard'):
    vis_backends.append(dict(type='TensorboardVisBackend'))
visualizer = dict(vis_backends=vis_backends)
