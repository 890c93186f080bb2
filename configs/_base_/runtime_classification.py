_base_ = 'mmpretrain::_base_/default_runtime.py'

custom_imports = dict(imports=['eca_mm'])
# A kill while a checkpoint is written leaves the one before it.
default_hooks = dict(checkpoint=dict(backend_args=dict(backend='eca_mm.atomic'), max_keep_ckpts=3))
vis_backends = [dict(type='LocalVisBackend')]
# Not an import statement: with one, mmengine 0.10.7 refuses this `_base_` where Python is outside /usr (pyenv, uv, conda).
if __import__('importlib.util').util.find_spec('tensorboard'):
    vis_backends.append(dict(type='TensorboardVisBackend'))
visualizer = dict(vis_backends=vis_backends)
