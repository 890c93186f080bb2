"""What every export to ONNX does anew, and what takes a third of its time, is done once."""

from functools import cache

import pytest


@pytest.fixture(autouse=True)
def exporter_reads_its_functions_once(monkeypatch):
    """torch's exporter parses the sources of all its ONNX functions, for each file."""
    apis = pytest.importorskip('onnxscript._framework_apis.torch_2_5')
    monkeypatch.setattr(apis, 'get_torchlib_ops', _once(apis.get_torchlib_ops))


@cache
def _once(function):
    return cache(function)
