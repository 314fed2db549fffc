"""
Small data sets that look as tools write them, {path: content}, for the tests of readers.

A path without content is a noisy image of 40 x 30 pixels.  Every image has one object, a car from
10, 6 to 30, 18, unless its tree is there to show something else.
"""
import json

from banks import picture

BOX = [10, 6, 30, 18]
CLASSES = ['bus', 'car']
YOLO_BOX = '1 0.5 0.4 0.5 0.4\n'
YOLO_CORNERS = '1 0.25 0.2 0.75 0.2 0.75 0.6 0.25 0.6\n'
YOLO_POLYGON = '1 0.25 0.4 0.5 0.2 0.75 0.3 0.6 0.6 0.3 0.6\n'
YOLO_POSE = '1 0.5 0.4 0.5 0.4 0.3 0.3 2 0 0 0\n'
KITTI_ROW = 'Car 0.00 0 1.85 10.00 6.00 30.00 18.00 1.50 1.60 3.70 -16.53 2.39 58.49 1.57\n'


def write(folder, files):
    """Write the files of a tree and return its folder."""
    for number, (name, content) in enumerate(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            picture(path, seed=number)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def coco(*names, first=1, **more):
    """Return a COCO file in which each of the images has a car."""
    return json.dumps({
        'info': {'year': '2024', 'version': '1', 'description': ''},
        'licenses': [{'id': 1, 'url': '', 'name': 'CC BY 4.0'}],
        # the first category of Roboflow is the project, of which there are no objects
        'categories': [{'id': first - 1, 'name': 'vehicles', 'supercategory': 'none'},
                       {'id': first, 'name': 'bus', 'supercategory': 'vehicles'},
                       {'id': first + 1, 'name': 'car', 'supercategory': 'vehicles'}],
        'images': [{'id': number, 'license': 1, 'file_name': name, 'height': 30, 'width': 40}
                   for number, name in enumerate(names)],
        'annotations': [{'id': number, 'image_id': number, 'category_id': first + 1,
                         'bbox': [10, 6, 20, 12], 'area': 240, 'segmentation': [], 'iscrowd': 0,
                         **more} for number in range(len(names))]}, indent=1)


def voc(name, size='<size><width>40</width><height>30</height><depth>3</depth></size>'):
    """Return the annotation of an image with a car."""
    return f"""\
<annotation>
\t<folder></folder>
\t<filename>{name}</filename>
\t<path>{name}</path>
\t<source><database>roboflow.com</database></source>
\t{size}
\t<segmented>0</segmented>
\t<object>
\t\t<name>car</name>
\t\t<pose>Unspecified</pose>
\t\t<truncated>0</truncated>
\t\t<difficult>0</difficult>
\t\t<occluded>0</occluded>
\t\t<bndbox><xmin>11</xmin><xmax>30</xmax><ymin>7</ymin><ymax>18</ymax></bndbox>
\t</object>
</annotation>
"""


README = {'README.dataset.txt': '# street > 2024-01-01\n', 'README.roboflow.txt': '\nstreet\n'}
NAME = 'street-1_jpg.rf.0a1b2c3d4e5f60718293a4b5c6d7e8f9'
ROBOFLOW_YAML = """\
train: ../train/images
val: ../valid/images
test: ../test/images

nc: 2
names: ['bus', 'car']

roboflow:
  workspace: someone
  project: street
  version: 1
  license: CC BY 4.0
  url: https://universe.roboflow.com/someone/street/dataset/1
"""


def roboflow_yolo(row, extra=''):
    """Return an export for YOLOv5 to YOLO12 with a row for each image."""
    return {**README, 'data.yaml': ROBOFLOW_YAML + extra, **{
        f'{split}/{path}': content for split in ('train', 'valid', 'test')
        for path, content in {f'images/{NAME}{split}.jpg': None,
                              f'labels/{NAME}{split}.txt': row}.items()}}


ULTRALYTICS = {f'{kind}/{split}/00000000000{number}.{suffix}': content
               for split, number in (('train', 9), ('val', 36))
               for kind, suffix, content in (('images', 'jpg', None),
                                             ('labels', 'txt', YOLO_BOX))}
ULTRALYTICS_YAML = """\
# COCO8 dataset (first 8 images from COCO train2017) by Ultralytics
path: coco8 # dataset root dir
train: images/train # train images (relative to 'path') 4 images
val: images/val # val images (relative to 'path') 4 images
test: # test images (optional)

names:
  0: bus
  1: car

download: https://github.com/ultralytics/assets/releases/download/v0.0.0/coco8.zip
"""
LABEL_STUDIO_NOTES = json.dumps({
    'categories': [{'id': 0, 'name': 'bus'}, {'id': 1, 'name': 'car'}],
    'info': {'year': 2024, 'version': '1.0', 'contributor': 'Label Studio'}})
CVAT_IMAGES = {'images/default/a.jpg': None, 'images/default/b.jpg': None}

# name -> (layout, {split: images}, tree)
EXPORTS = {
    'Roboflow COCO': ('COCO', {'train': 1, 'val': 1, 'test': 1}, {**README, **{
        f'{split}/{path}': content for split in ('train', 'valid', 'test')
        for path, content in {
            f'{NAME}{split}.jpg': None,
            '_annotations.coco.json': coco(f'{NAME}{split}.jpg')}.items()}}),
    'Roboflow YOLO': ('YOLO', {'train': 1, 'val': 1, 'test': 1}, roboflow_yolo(YOLO_BOX)),
    'Roboflow YOLO OBB': ('YOLO', {'train': 1, 'val': 1, 'test': 1}, roboflow_yolo(YOLO_CORNERS)),
    'Roboflow YOLO polygons': ('YOLO', {'train': 1, 'val': 1, 'test': 1},
                               roboflow_yolo(YOLO_POLYGON)),
    'Roboflow YOLO keypoints': ('YOLO', {'train': 1, 'val': 1, 'test': 1}, roboflow_yolo(
        YOLO_POSE, '\nkpt_shape: [2, 3]\nflip_idx: [0, 1]\n')),
    'Roboflow Darknet': ('YOLO', {'train': 1, 'val': 1}, {**README, **{
        f'{split}/{path}': content for split in ('train', 'valid')
        for path, content in {f'{NAME}.jpg': None, f'{NAME}.txt': YOLO_BOX,
                              '_darknet.labels': 'bus\ncar'}.items()}}),
    'Roboflow VOC': ('Pascal VOC', {'train': 1, 'val': 1}, {**README, **{
        f'{split}/{path}': content for split in ('train', 'valid')
        for path, content in {f'{NAME}.jpg': None, f'{NAME}.xml': voc(f'{NAME}.jpg')}.items()}}),
    'Ultralytics': ('YOLO', {'train': 1, 'val': 1}, {'coco8.yaml': ULTRALYTICS_YAML,
                                                     **ULTRALYTICS}),
    'Ultralytics, data set beside': ('YOLO', {'train': 1, 'val': 1}, {
        'coco8.yaml': ULTRALYTICS_YAML,
        **{f'coco8/{name}': content for name, content in ULTRALYTICS.items()}}),
    'Ultralytics, lists': ('YOLO', {'train': 2, 'val': 1}, {
        'data.yaml': 'train: [autosplit_train.txt, images/more]\nval: autosplit_val.txt\n'
        'names: [bus, car]\n',
        'autosplit_train.txt': './images/a.jpg\n', 'autosplit_val.txt': './images/b.jpg\n',
        'images/a.jpg': None, 'images/b.jpg': None, 'images/more/c.jpg': None,
        'labels/a.txt': YOLO_BOX, 'labels/b.txt': YOLO_BOX, 'labels/more/c.txt': YOLO_BOX}),
    'CVAT COCO 1.0': ('COCO', {'': 2}, {
        **CVAT_IMAGES, 'annotations/instances_default.json': coco(
            'a.jpg', 'b.jpg', attributes={'occluded': False, 'rotation': 0.0})}),
    'CVAT COCO 1.0 with subsets': ('COCO', {'train': 1, 'val': 1}, {
        'images/Train/a.jpg': None, 'images/Validation/b.jpg': None,
        'annotations/instances_Train.json': coco('a.jpg'),
        'annotations/instances_Validation.json': coco('b.jpg')}),
    'CVAT YOLO 1.1': ('YOLO', {'train': 1, 'val': 1}, {
        'obj.data': 'classes = 2\ntrain = data/train.txt\nvalid = data/valid.txt\n'
        'names = data/obj.names\nbackup = backup/\n',
        'obj.names': 'bus\ncar\n', 'train.txt': 'data/obj_train_data/a.jpg\n',
        'valid.txt': 'data/obj_valid_data/b.jpg\n',
        'obj_train_data/a.jpg': None, 'obj_train_data/a.txt': YOLO_BOX,
        'obj_valid_data/b.jpg': None, 'obj_valid_data/b.txt': YOLO_BOX}),
    'CVAT Ultralytics YOLO 1.0': ('YOLO', {'train': 1}, {
        'data.yaml': 'names:\n  0: bus\n  1: car\npath: .\ntrain: train.txt\n',
        'train.txt': 'data/images/train/a.jpg\n',
        'images/train/a.jpg': None, 'labels/train/a.txt': YOLO_BOX}),
    'CVAT VOC 1.1': ('Pascal VOC', {'train': 1, 'val': 1}, {
        'labelmap.txt': '# label:color_rgb:parts:actions\nbus:0,0,0::\ncar:9,9,9::\n',
        'ImageSets/Main/train.txt': 'shot/a\n', 'ImageSets/Main/val.txt': 'shot/b\n',
        'JPEGImages/shot/a.jpg': None, 'JPEGImages/shot/b.jpg': None,
        'Annotations/shot/a.xml': voc('shot/a.jpg'),
        'Annotations/shot/b.xml': voc('shot/b.jpg')}),
    'Label Studio YOLO': ('YOLO', {'': 1}, {
        'classes.txt': 'bus\ncar', 'notes.json': LABEL_STUDIO_NOTES,
        'images/1a2b3c4d-a.jpg': None, 'labels/1a2b3c4d-a.txt': YOLO_BOX}),
    'Label Studio COCO': ('COCO', {'': 1}, {
        'result.json': coco('images\\1a2b3c4d-a.jpg'), 'images/1a2b3c4d-a.jpg': None}),
    'Label Studio VOC': ('Pascal VOC', {'': 1}, {
        'images/1a2b3c4d-a.jpg': None, 'Annotations/1a2b3c4d-a.xml': voc('1a2b3c4d-a')}),
    'COCO 2017': ('COCO', {'train': 1, 'val': 1}, {
        'annotations/captions_train2017.json': '{"images": [], "annotations": []}',
        'annotations/instances_train2017.json': coco('000000000009.jpg'),
        'annotations/instances_val2017.json': coco('000000000139.jpg'),
        'annotations/person_keypoints_train2017.json': coco('000000000009.jpg'),
        'train2017/000000000009.jpg': None, 'val2017/000000000139.jpg': None}),
    'VOC2012': ('Pascal VOC', {'train': 1, 'val': 1, 'trainval': 2}, {
        **{f'VOCdevkit/VOC2012/{path}': content for path, content in {
            'ImageSets/Main/train.txt': 'a\n', 'ImageSets/Main/val.txt': 'b\n',
            'ImageSets/Main/trainval.txt': 'a\nb\n', 'ImageSets/Main/car_train.txt': 'a  1\n',
            'JPEGImages/a.jpg': None, 'JPEGImages/b.jpg': None, 'SegmentationClass/a.png': None,
            'Annotations/a.xml': voc('a.jpg'), 'Annotations/b.xml': voc('b.jpg')}.items()}}),
    'KITTI': ('KITTI', {'train': 1}, {
        'training/image_2/000000.png': None, 'training/label_2/000000.txt': KITTI_ROW,
        'training/calib/000000.txt': 'P0: 7.0e+02\n', 'testing/image_2/000000.png': None,
        'testing/calib/000000.txt': 'P0: 7.0e+02\n'}),
    'class folders with splits': ('class folders', {'train': 2, 'val': 1}, {
        'train/bus/a.jpg': None, 'train/car/b.jpg': None, 'val/car/c.jpg': None}),
}
