"""`acme_tracking data`: look into an image bank, and write it in another layout."""
from __future__ import annotations

import functools
import json
from pathlib import Path

from acme_tracking.cli.arguments import class_name
from acme_tracking.training.data import read, read_all, read_mapping
from acme_tracking.training.data.checking import check, problems
from acme_tracking.training.data.converting import to_coco, to_folders
import cv2
from tqdm import tqdm

SHOWN = 5  # problems of one kind that are printed; the report has all


def add_arguments(parser) -> None:
    """Describe the arguments of the verb."""
    actions = parser.add_subparsers(dest='action', metavar='ACTION', required=True)
    looking = actions.add_parser('check', help='report what is in a bank and what is wrong')
    looking.add_argument('--out', type=Path, default=Path('out/check'), metavar='FOLDER',
                         help='where report.json and contact_sheet.jpg go (default: %(default)s)')
    writing = actions.add_parser('convert', help='write a bank in another layout')
    writing.add_argument('--to', required=True, choices=('coco', 'folders'),
                         help='one COCO file, or one folder of crops per class')
    writing.add_argument('--out', type=Path, required=True, metavar='PATH',
                         help='NAME.json for coco, a folder for folders')
    writing.add_argument('--margin', type=_share, default=0.0, metavar='SHARE',
                         help='for folders: widen the crops by this share of the box on each '
                         'side (default: %(default)s)')
    for action in looking, writing:
        action.add_argument('bank', metavar='BANK', help='COCO file, data.yaml or folder; '
                            'BANK:val is one of its splits')
        action.add_argument('--map', metavar='YAML',
                            help='renames classes by lines such as `van: car`; `tram: null` '
                            'leaves one out')
    writing.add_argument('--classes', nargs='+', type=class_name, metavar='NAME',
                         help='leave out boxes of other classes')


def run(arguments) -> int:
    """Check or convert; the status of a check is 1 when something needs attention."""
    mapping = read_mapping(arguments.map) if arguments.map else {}
    progress = functools.partial(tqdm, unit='image', desc='reading', leave=False)
    if arguments.action == 'check':
        banks, remarks = read_all(arguments.bank)
        banks = [bank.mapped(mapping) for bank in banks]
        return _check(*check(banks, remarks, progress), arguments.out)
    bank = read(arguments.bank).mapped(mapping)
    if arguments.classes:
        bank = bank.only(arguments.classes)
    if arguments.to == 'coco':
        written = to_coco(bank, arguments.out, progress)
    else:
        written = to_folders(bank, arguments.out, arguments.margin, progress)
    print(f'{arguments.out}: {written} images')
    return 0


def _check(report, sheet, out) -> int:
    """Write and print the report."""
    out.mkdir(parents=True, exist_ok=True)
    (out / 'report.json').write_text(json.dumps(report, indent=1))
    (out / 'contact_sheet.jpg').write_bytes(cv2.imencode('.jpg', sheet)[1].tobytes())
    print(f'{report["path"]}: {report["layout"]}, {report["images"]} images, '
          f'{report["images_without_boxes"]} of them without boxes, '
          f'{report["ignored_boxes"]} ignored boxes')
    for name, split in report['splits'].items():
        if name:
            boxes = ', '.join(f'{label} {number}' for label, number in split['boxes'].items())
            print(f'  {name:<8}{split["images"]:>8} images; boxes: {boxes or "none"}')
    for note, number in report['turned_or_left_out'].items():
        print(f'  {note}: {number}')
    for remark in report['remarks']:
        print(f'  {remark}')
    print('sizes: ' + ', '.join(f'{size} ({number})' for size, number in
                                list(report['sizes'].items())[:SHOWN]))
    for label, of_class in report['classes'].items():
        width, height = of_class['median_size']
        print(f'  {label:<20}{of_class["boxes"]:>8} boxes in {of_class["images"]:>6} images, '
              f'median {width:g} x {height:g}')
    for name in ('broken', 'boxes_outside', 'boxes_empty', 'duplicate_boxes', 'duplicate_images'):
        lines = report[name]
        if lines:
            print(f'{name.replace("_", " ")}: {len(lines)}')
            for line in lines[:SHOWN]:
                print(f'  {line if isinstance(line, str) else " = ".join(line)}')
    print(f'See {out / "contact_sheet.jpg"} and {out / "report.json"}.')
    return 1 if problems(report) else 0


def _share(text: str) -> float:
    """Return a number from 0 to 1."""
    if not 0 <= float(text) <= 1:
        raise ValueError(text)
    return float(text)
