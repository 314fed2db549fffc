"""Adds to pyproject.toml what ROS looks for in the share/ of a prefix, with colcon and pip."""
from pathlib import Path

from setuptools import setup

NAME = 'acme_tracking'
SHARE = Path('share', NAME)


def files(pattern):
    """Return the files that match, relative to this folder, which is where colcon runs this."""
    return [str(path) for path in sorted(Path().glob(pattern))]


package = setup(data_files=[
    ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
    (str(SHARE), ['package.xml']),
    (str(SHARE / 'launch'), files('launch/*.launch.py')),
    (str(SHARE / 'config'), files(f'{NAME}/config/*')),
])
# colcon reads what stands in the package as literals of Python, which an object is not.
package.python_requires = package.metadata.python_requires = str(package.python_requires)
