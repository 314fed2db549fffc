"""
Measures whether a detector becomes better on a camera by what was harvested of its recordings.

The first half of a sequence becomes a bag, of which images are harvested; a person is replaced by
the truth of the sequence, which takes the place of the pre-labels.  The shipped weights are
trained on them for some minutes on one core.  AP50 is that on the second half, by class and as one
class, and on other banks (--also), where it shows what was forgotten.  The last line is JSON.

    .venv/bin/python benchmark/harvest.py highway-day --also street_val.json
"""
import argparse
import json
from pathlib import Path

from acme_tracking.cli import main as acme_tracking
from acme_tracking.cli.evaluate_detector import some
from acme_tracking.detection.detector import Detector
from acme_tracking.detection.options import SCORE_THRESHOLD
from acme_tracking.evaluation.harvest import BANK
from acme_tracking.evaluation.sequences import image_paths, mot_image_folder
from acme_tracking.evaluation.truth_files import mot_truth
from acme_tracking.metrics.average_precision import LOWEST_SCORE, Score
from acme_tracking.share import shipped_weights
from acme_tracking.training.data import Bank, LabelledImage, read
from acme_tracking.training.data.converting import to_coco
from acme_tracking.training.data.images import image_size
from tqdm import tqdm

ALSO = 150  # images of other banks at the most


def main():
    """Harvest, correct, train, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('sequence', type=Path, help='MOTChallenge folder')
    parser.add_argument('--out', type=Path, default=Path('out/benchmark/harvest'))
    parser.add_argument('--count', type=int, default=40)
    parser.add_argument('--apart', default='0.3')
    parser.add_argument('--minutes', default='5')
    parser.add_argument('--keep', default='0.5')
    parser.add_argument('--also', action='append', default=[], metavar='BANK')
    arguments = parser.parse_args()
    paths = image_paths(arguments.sequence / mot_image_folder(arguments.sequence))
    truth = mot_truth(arguments.sequence / 'gt' / 'gt.txt', len(paths))
    out, half = arguments.out, len(paths) // 2
    call('bag', 'make', arguments.sequence, out / 'bag', '--count', half)
    call('harvest', out / 'bag', '--out', out / 'harvest', '--count', arguments.count,
         '--apart', arguments.apart)
    harvested = read(out / 'harvest' / BANK)
    banks = out / 'banks'
    write(banks / 'corrected.json', [corrected(image, truth) for image in harvested.images])
    write(banks / 'second_half.json', map(labelled, paths[half:], truth[half:]))
    call('train', 'detector', '--data', banks / 'corrected.json', '--start', 'shipped',
         '--minutes', arguments.minutes, '--keep', arguments.keep, '--threads', 1, '--out',
         out / 'run')
    judges = [read(banks / 'second_half.json'), *(some(read(bank, 'val'), ALSO)
                                                  for bank in arguments.also)]
    figures = {name: {bank.name: scores(weights, bank) for bank in judges} for name, weights in (
        ('before', shipped_weights()), ('after', out / 'run' / 'detector.safetensors'))}
    for name, by_bank in figures.items():
        print(f'{name:<8}' + ', '.join(
            f'{bank} {one["ap50"]:.3f} (as one class {one["as_one"]:.3f})'
            for bank, one in by_bank.items()))
    print(json.dumps({'images': len(harvested), 'ap50': figures}))


def call(*words):
    """Run a verb; end when it fails."""
    if acme_tracking([str(word) for word in words]):
        raise SystemExit(1)


def labelled(path, objects):
    """Return an image with its truth, Detections of which a score of 0 is to be ignored."""
    return LabelledImage.of(path, image_size(path), list(zip(
        objects.boxes, objects.labels.tolist(), (objects.scores == 0).tolist())))


def corrected(image, truth):
    """Return a harvested image with the truth in place of its pre-labels."""
    number = int(image.path.stem.rpartition('-')[2])
    return labelled(image.path, truth[number - 1])


def write(path, images):
    """Write images as a bank."""
    to_coco(Bank(path, 'coco', list(images)), path)


def scores(weights, bank):
    """Return AP50 of weights on a bank: mean over classes, of each, and of vehicles as one."""
    detector = Detector.from_checkpoint(weights, score_threshold=LOWEST_SCORE, threads=1)
    by_class, as_one = Score(), Score(any_vehicle=True)
    for sample in tqdm(bank, unit='image', desc=f'{weights.parent.name} on {bank.name}'):
        found = detector(sample.image)
        for score in by_class, as_one:
            score.add(found, sample.boxes, sample.labels, sample.ignored, sample.labelled)
    summary = by_class.summary(SCORE_THRESHOLD)
    return {'ap50': summary['ap50'], 'as_one': as_one.summary(SCORE_THRESHOLD)['ap50'],
            'classes': {name: one['ap50'] for name, one in summary['per_class'].items()}}


if __name__ == '__main__':
    main()
