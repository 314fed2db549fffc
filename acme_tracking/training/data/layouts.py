"""The layouts of image banks, and which of them a path is."""
from __future__ import annotations

from pathlib import Path

from acme_tracking.training.data import coco, folders, kitti, voc, yolo
from acme_tracking.training.data.bank import Bank

# In the order in which they are tried: name -> (module with `recognises` and `read`, how it looks)
LAYOUTS = {
    'COCO': (coco, 'a COCO .json file beside its images or beside the folder of its name'),
    'KITTI': (kitti, 'a folder with image_2/ and label_2/'),
    'Pascal VOC': (voc, 'a folder with JPEGImages/ and Annotations/, or images with .xml files'),
    'YOLO': (yolo, 'a folder with images/ and labels/, or images with .txt files, and '
             'data.yaml or classes.txt'),
    'class folders': (folders, 'a folder with one folder of images per class'),
}


def read(path) -> Bank:
    """
    Return the bank at a path, whatever its layout.

    Raises ValueError that names the path when no layout fits, and the file and the line or entry
    when one fits but is malformed.  Images are not decoded yet.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f'{path}: no such file or folder')
    for name, (layout, _) in LAYOUTS.items():
        if layout.recognises(path):
            images = layout.read(path)
            if not images:
                raise ValueError(f'{path}: looks like {name}, but holds no image')
            return Bank(path, name, images)
    expected = '; '.join(f'{name}: {look}' for name, (_, look) in LAYOUTS.items())
    raise ValueError(f'{path}: no image bank that is known here; expected {expected}')
