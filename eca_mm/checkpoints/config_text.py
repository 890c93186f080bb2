"""Parse the backbone in a config's text. The text comes with a checkpoint, so it is never run."""

import ast
import re
from typing import Any

from eca_mm.errors import UserError


def parse_backbone(text: str) -> dict[str, Any]:
    """Return the backbone's arguments that are literals; empty without a backbone.

    MMDetection 1.x joins the files that a config inherits from, each below a line with its path; the later overrides the
    earlier. If a backbone wraps another, as ``AttentionBehind`` does, its arguments override the inner ones.

    Args:
        text: Python that assigns ``model``, or ``backbone`` as in the line that a conversion prints.

    Raises:
        UserError: If it is not Python.

    >>> parse_backbone('model = dict(backbone=dict(depth=50, style="caffe", norm_cfg=norm_cfg))')
    {'depth': 50, 'style': 'caffe'}
    >>> parse_backbone('backbone = dict(strides=(1, 2, 1, 1), backbone=dict(depth=50, strides=(1, 2, 2, 2)))')['strides']
    (1, 2, 1, 1)
    """
    try:
        tree = ast.parse(re.sub(r'^[^\'"()=#\n]+\.py$', '', text, flags=re.MULTILINE))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError('the config among its metadata is not Python') from error
    result: dict[str, Any] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            name, value = ast.unparse(statement.targets[0]), statement.value
            found = [value] if name == 'backbone' else []
            if name in ('model', 'backbone'):  # which may be nested
                found += [entries['backbone'] for node in ast.walk(value) if 'backbone' in (entries := _entries(node))]
            for backbone in reversed(found):  # the innermost first
                result |= _literal(backbone) if _entries(backbone) else {}
    return result


def _entries(node: ast.AST) -> dict[str, ast.expr]:
    """Return the entries of ``dict(...)`` or ``{...}``; none of anything else."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        return {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {str(key.value): value for key, value in pairs if isinstance(key, ast.Constant)}
    return {}


def _literal(node: ast.expr) -> Any:
    """Evaluate a literal; also ``dict(...)``, without entries that are no literals. A list becomes a tuple."""
    if entries := _entries(node):
        values = {key: _literal(value) for key, value in entries.items()}
        return {key: value for key, value in values.items() if value is not ...}
    if isinstance(node, (ast.List, ast.Tuple)):
        return tuple(_literal(item) for item in node.elts)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        return ...
