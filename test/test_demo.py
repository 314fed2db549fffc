"""The demo as a newcomer runs it: nodes as processes, a video and a summary at the end."""
import json
import signal
import subprocess
import sys

import cv2
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')

from acme_tracking.scene import Scene  # noqa: E402


def demo(out, *arguments):
    return subprocess.Popen(
        [sys.executable, '-m', 'acme_tracking', 'demo', '--out', str(out), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def frames_of(path):
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    return count, capture.get(cv2.CAP_PROP_FPS)


def test_a_folder_of_images_is_tracked_to_its_end(tmp_path):
    images, out = tmp_path / 'images', tmp_path / 'out'
    images.mkdir()
    scene = Scene(seed=4, rate=10, density=0.2)
    for index in range(40):
        cv2.imwrite(str(images / f'{index}.jpg'), scene.render(index))
    process = demo(out, '--video', str(images))
    printed, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    summary = json.loads((out / 'summary.json').read_text())
    assert set(summary) == {'images', 'tracked_images', 'image_delivery', 'tracks',
                            'detector_runs', 'requests', 'latency_ms'}
    assert summary['images'] == summary['tracked_images'] == 40
    assert summary['image_delivery'] == 1.0
    assert 1 <= summary['detector_runs'] <= sum(summary['requests'].values()) <= 20
    assert 0 < summary['latency_ms']['p50'] <= summary['latency_ms']['p95']
    count, rate = frames_of(out / 'tracked.mp4')
    assert count == 40 and rate == pytest.approx(10, rel=0.1)
    assert 'image delivery    100.0 %' in printed and 'tracked.mp4' in printed


def test_ctrl_c_ends_it_and_leaves_what_was_recorded(tmp_path):
    process = demo(tmp_path, '--seconds', '0')
    try:
        first = process.stderr.readline()
        assert 'detector runs' in first, 'the progress line'
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert 'Traceback' not in errors
    summary = json.loads((tmp_path / 'summary.json').read_text())
    assert summary['tracked_images'] >= 1
    assert frames_of(tmp_path / 'tracked.mp4')[0] >= 1


def test_a_missing_video_ends_it_with_a_reason(tmp_path):
    process = demo(tmp_path, '--video', str(tmp_path / 'nothing.mp4'))
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert 'nothing.mp4' in errors and 'The camera ended early' in errors
    assert 'Traceback' not in errors
    assert not (tmp_path / 'summary.json').exists() or 'delivery' not in printed


def test_missing_weights_are_named(tmp_path):
    process = demo(tmp_path, '--weights', str(tmp_path / 'none.safetensors'))
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert errors.count('\n') == 1 and '--weights must be a file' in errors


def test_drawn_tracks_leave_the_image_as_it_was():
    from acme_tracking.detections import Detections
    from acme_tracking.drawing import draw_tracks

    image = Scene(seed=0).render(0)
    before = image.copy()
    tracks = Detections([[50, 50, 150, 120], [-20, 300, 700, 400]], [0.9, 0.1],
                        ['car', 'bus'], [3, 4])
    drawn = draw_tracks(image, tracks, 'CNN')
    assert (image == before).all() and drawn.shape == image.shape
    assert (drawn[50, 50:150] != image[50, 50:150]).any(axis=1).mean() > 0.9, 'a whole edge'
    grey = draw_tracks(image[:, :, 0], tracks.select([]))
    assert grey.shape == image.shape
