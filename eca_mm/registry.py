"""The `eca_mm` scope.

Everything is registered in mmengine's *root* registries, where every OpenMMLab library finds it by its bare name once
its module is imported. These empty children add the scoped name: for `type='eca_mm.ECAResNet'` mmengine imports this
module by itself, asks the child, and the lookup falls through to the root. No `custom_imports` needed.
"""

from mmengine.registry import DATA_SAMPLERS, DATASETS, MODELS, TASK_UTILS, Registry

for _root, _location in (
    (MODELS, 'eca_mm.models'),
    (DATASETS, 'eca_mm.datasets'),
    (DATA_SAMPLERS, 'eca_mm.datasets'),
    (TASK_UTILS, 'eca_mm.models.legacy'),  # needs mmdet; imported when a name of this scope is looked up there
):
    Registry(_root.name, parent=_root, scope='eca_mm', locations=[_location])
