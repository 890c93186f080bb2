"""All metadata is in pyproject.toml. The build copies configs/ and tools/ to where mmengine and mim look for them.

``eca_mm/.mim/configs`` is a link to ``configs``, for clones; a zip download, or Windows, may have a text file in its place.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        top = Path(__file__).parent
        for file in sorted(f for folder in ('configs', 'tools') for f in (top / folder).rglob('*')):
            if file.suffix in ('.py', '.yml'):
                target = Path(self.build_lib, 'eca_mm/.mim', file.relative_to(top))
                self.mkpath(str(target.parent))
                self.copy_file(str(file), str(target))


setup(cmdclass={'build_py': BuildWithConfigs})
