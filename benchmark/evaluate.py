"""
Measures how fast a bag is evaluated offline, and in how much memory, with known detections.

The bag has 60 s of 1280 x 720 at 30 Hz of the rendered road, JPEG (made once, which takes
minutes); the detections are the truth, so that the CNN never runs.  Printed is how many times
faster than real time the evaluation was, from the start of the command to the report, the time of
processors and the most memory that it took.  The last line is JSON.

    .venv/bin/python benchmark/evaluate.py
"""
import argparse
import json
from pathlib import Path
import resource
import subprocess
import sys
import time

from acme_tracking.bags.topics import COMPRESSED, DETECTIONS, GROUND_TRUTH, IMAGE_QOS, RELIABLE_QOS
from acme_tracking.bags.writing import BagWriter
from acme_tracking.cli.bag import START
from acme_tracking.detections import Detections
from acme_tracking.evaluation.cache import DetectionCache
from acme_tracking.evaluation.modes import MODES, ON_DEMAND
from acme_tracking.evaluation.sequence_run import detector_settings
from acme_tracking.evaluation.settings import Settings
from acme_tracking.messages import detections_to_msg, image_to_compressed, ns_to_stamp
from acme_tracking.scene import Scene
from std_msgs.msg import Header
from tqdm import tqdm

RATE, SIZE = 30, (1280, 720)
VISIBLE, SCORE = 0.3, 0.8
NAME = 'road'


def main():
    """Make the bag if it is not there, evaluate it, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--seconds', type=float, default=60.0)
    parser.add_argument('--modes', nargs='+', choices=MODES, default=[ON_DEMAND])
    parser.add_argument('--out', type=Path, default=Path('out/benchmark/evaluate'))
    arguments = parser.parse_args()
    count = round(arguments.seconds * RATE)
    folder = arguments.out / str(count)
    truth = Scene(*SIZE, seed=1, rate=RATE, density=0.2)
    if not (folder / NAME / 'metadata.yaml').is_file():
        write_bag(folder / NAME, truth, count)
    with DetectionCache(folder / 'detections' / f'{NAME}.npz', detector_settings(Settings()),
                        None) as cache:
        cache.fill({stamp_of(index): found(truth.truth(index)) for index in range(count)})
    seconds, used, megabytes = evaluate(folder, arguments.modes)
    objects = sum(len(found(truth.truth(index))) for index in range(count)) / count
    speed = count / RATE / seconds
    print(f'{count} images of {SIZE[0]} x {SIZE[1]} with {objects:.1f} objects, '
          f'{" ".join(arguments.modes)}: {seconds:.1f} s, {speed:.2f} times faster than real '
          f'time; {used:.1f} s of processors, at most {megabytes:.0f} MB')
    print(json.dumps({'images': count, 'seconds': round(seconds, 2), 'speed': round(speed, 3),
                      'processor_seconds': round(used, 2), 'megabytes': round(megabytes),
                      'objects': round(objects, 1)}))


def stamp_of(index):
    """Return the stamp of an image in nanoseconds."""
    return START + round(index * 1e9 / RATE)


def found(truth):
    """Return what a perfect detector finds."""
    seen = truth.visibility > VISIBLE
    return Detections(truth.boxes[seen], [SCORE] * int(seen.sum()), truth.labels[seen])


def write_bag(path, scene, count):
    """Render the bag."""
    with BagWriter(path) as writer:
        images = writer.topic('/image_raw/compressed', COMPRESSED, IMAGE_QOS)
        boxes = writer.topic(f'/{GROUND_TRUTH}', DETECTIONS, RELIABLE_QOS)
        for index in tqdm(range(count), unit='image', desc='rendering'):
            stamp, true = stamp_of(index), scene.truth(index)
            header = Header(stamp=ns_to_stamp(stamp), frame_id='camera_optical_frame')
            writer.write(images, stamp, image_to_compressed(scene.render(index), header))
            writer.write(boxes, stamp, detections_to_msg(
                Detections(true.boxes, (true.visibility > VISIBLE).astype(float), true.labels,
                           true.ids), header))


def evaluate(folder, modes):
    """Run the command; return its seconds, those of processors, and its most megabytes."""
    out = folder / f'run-{time.time_ns()}'
    start = time.monotonic()
    subprocess.run([sys.executable, '-m', 'acme_tracking', 'evaluate', folder / NAME, '--out', out,
                    '--detections', folder / 'detections', '--modes', *modes], check=True)
    seconds = time.monotonic() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


if __name__ == '__main__':
    main()
