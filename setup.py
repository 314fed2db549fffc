"""Builds the package for colcon (ament_python); dependencies are in package.xml alone."""
from pathlib import Path

from setuptools import find_packages, setup

NAME = 'acme_tracking'
SHARE = Path('share', NAME)


def files(pattern):
    """Return the files that match, relative to this folder, which is where colcon runs this."""
    return [str(path) for path in sorted(Path().glob(pattern))]


setup(
    name=NAME,
    version='0.1.0',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={NAME: ['**/*.safetensors', '**/*.onnx', '**/*.md']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (str(SHARE), ['package.xml']),
        (str(SHARE / 'launch'), files('launch/*.launch.py')),
        (str(SHARE / 'config'), files('config/*')),
    ],
    zip_safe=False,
    maintainer='acme_tracking maintainers',
    maintainer_email='maintainers@acme-tracking.invalid',
    description='Detection on request and correlation tracking of road users for ROS 2.',
    license='Apache-2.0',
    entry_points={'console_scripts': [
        'acme_tracking = acme_tracking.cli:main',
        'camera_node = acme_tracking.nodes.camera:main',
        'detector_node = acme_tracking.nodes.detector:main',
        'tracker_node = acme_tracking.nodes.tracker:main',
    ]},
)
