"""Small image banks of every layout, for the tests of readers, check, conversion and training."""
import json
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 40, 30


def picture(path, width=WIDTH, height=HEIGHT, seed=0):
    """Write a noisy image and return its path."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    cv2.imwrite(str(path), rng.integers(0, 255, (height, width, 3), dtype=np.uint8))
    return Path(path)


def coco(folder, annotations, categories=None, images=None, name='bank'):
    """Write `NAME.json` and `NAME/one.png`, 40 x 30 with id 7, and return the file's path."""
    picture(folder / name / 'one.png')
    images = images or [{'id': 7, 'file_name': 'one.png', 'width': WIDTH, 'height': HEIGHT}]
    categories = categories or [{'id': 1, 'name': 'car'}, {'id': 6, 'name': 'vehicle'}]
    path = folder / f'{name}.json'
    path.write_text(json.dumps({'images': images, 'annotations': annotations,
                                'categories': categories}))
    return path


def annotation(box, category=1, **more):
    """Return an entry of `annotations` for the image of `coco`."""
    return {'id': 1, 'image_id': 7, 'bbox': box, 'category_id': category, **more}


def kitti(folder, rows):
    """Write one image with label rows and return the folder."""
    picture(folder / 'image_2' / '000000.png')
    (folder / 'label_2').mkdir(exist_ok=True)
    (folder / 'label_2' / '000000.txt').write_text(rows)
    return folder


def voc(folder, annotation):
    """Write one image with its annotation and return the folder."""
    picture(folder / 'JPEGImages' / 'one.jpg')
    (folder / 'Annotations').mkdir(exist_ok=True)
    (folder / 'Annotations' / 'one.xml').write_text(annotation)
    return folder


def yolo(folder, rows, names='names: [car, bus]\n'):
    """Write two images, the first with label rows, and return the folder."""
    picture(folder / 'images' / 'one.png')
    picture(folder / 'images' / 'two.png', seed=1)
    (folder / 'labels').mkdir(exist_ok=True)
    (folder / 'labels' / 'one.txt').write_text(rows)
    if names is not None:
        (folder / 'data.yaml').write_text(names)
    return folder


def class_folders(folder, names=('cat', 'dog'), count=2):
    """Write images of every class and return the folder."""
    for number in range(len(names) * count):
        picture(folder / names[number // count] / f'{number}.png', seed=number)
    return folder
