"""The demo as a newcomer runs it: nodes as processes, a video and a summary at the end."""
import json
import os
from pathlib import Path
import resource
import signal
import subprocess
import sys

from acme_tracking.annotated_video import AnnotatedVideo
from acme_tracking.cli import main
from acme_tracking.detections import Detections
from acme_tracking.drawing import draw_tracks
from acme_tracking.processes import PARENT_VARIABLE, Processes
from acme_tracking.scene import Scene
import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')

DEADLINE = 100  # seconds; generous: other processes may have the machine


def demo(out, *arguments):
    return subprocess.Popen(
        [sys.executable, '-m', 'acme_tracking', 'demo', '--out', str(out), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def frames_of(path):
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    return count


def test_a_folder_of_images_is_tracked_to_its_end_and_can_be_repeated(tmp_path, capsys):
    images, out = tmp_path / 'images', tmp_path / 'out'
    images.mkdir()
    scene = Scene(seed=4, rate=10, density=0.2)
    for index in range(25):
        cv2.imwrite(str(images / f'{index}.jpg'), scene.render(index))
    process = demo(out, '--video', str(images), '--record')
    printed, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, errors
    assert f'/demo{process.pid}' in printed, 'a namespace of its own'
    summary = json.loads((out / 'summary.json').read_text())
    assert summary['images'] == 25 and summary['dropped_frames'] == 0
    assert 1 <= summary['tracked_images'] <= 25
    assert 1 <= frames_of(out / 'tracked.mp4') <= summary['tracked_images']
    assert sum(summary['requests'].values()) >= 1
    assert 'image delivery' in printed and 'tracked.mp4' in printed
    assert printed.count('\n  acme_tracking ') == 3, 'what to try next'
    assert f'acme_tracking repeat {out.resolve() / "events.jsonl"} {out / "bag"}' in printed
    assert main(['repeat', str(out / 'events.jsonl'), str(out / 'bag')]) == 0
    assert 'times tracks were published, 0 came out differently' in capsys.readouterr().out


def test_two_cameras_share_a_detector_and_a_video(tmp_path):
    process = demo(tmp_path, '--cameras', '2', '--seconds', '2')
    printed, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, errors
    summary = json.loads((tmp_path / 'summary.json').read_text())
    assert list(summary['cameras']) == ['camera1', 'camera2']
    for name, of_camera in summary['cameras'].items():
        assert of_camera['tracked_images'] >= 1 and name in printed
        assert sum(of_camera['requests'].values()) >= 1
    capture = cv2.VideoCapture(str(tmp_path / 'tracked.mp4'))
    assert capture.read()[1].shape == (360, 1280, 3)


@pytest.mark.parametrize('arguments, words', [
    (['--cameras', '0'], '--cameras must be from 1 to 16, got 0'),
    (['--cameras', '2', '--record'], '--record is of one camera, got --cameras 2')])
def test_cameras_that_cannot_be_are_refused(arguments, words, capsys):
    assert main(['demo', *arguments]) == 1
    assert words in capsys.readouterr().err


def test_ctrl_c_ends_it_and_leaves_what_was_recorded(tmp_path):
    process = demo(tmp_path, '--seconds', '0')
    try:
        assert any('detector runs' in line for line in process.stderr), 'the progress line'
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert 'Traceback' not in errors
    summary = json.loads((tmp_path / 'summary.json').read_text())
    assert summary['tracked_images'] >= 1
    assert frames_of(tmp_path / 'tracked.mp4') >= 1


def test_a_missing_video_ends_it_with_a_reason(tmp_path):
    process = demo(tmp_path, '--video', str(tmp_path / 'nothing.mp4'))
    printed, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    assert 'nothing.mp4' in errors and 'The camera ended early' in errors
    assert 'Traceback' not in errors
    assert not (tmp_path / 'summary.json').exists() or 'delivery' not in printed


def test_a_model_of_the_hub_is_left_to_the_detector(tmp_path, monkeypatch):
    started = {}
    monkeypatch.setattr(Processes, 'start',
                        lambda _, node, below='', **given: started.update({node: given}))
    monkeypatch.setattr(Processes, 'wait_for', lambda *_: None)
    assert main(['demo', '--weights', 'hf:PekingU/rtdetr_r18vd', '--out', str(tmp_path)]) == 1
    assert started['detector'] == {'weights': 'hf:PekingU/rtdetr_r18vd'}


def test_missing_weights_are_named(tmp_path):
    process = demo(tmp_path, '--weights', str(tmp_path / 'none.safetensors'))
    _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode != 0
    assert errors.count('\n') == 1 and '--weights must be a file' in errors


PARENT = """
import sys, time
from pathlib import Path
from acme_tracking.processes import Processes
processes = Processes(Path(sys.argv[1]), 'default', '/orphan')
processes.start('camera', source='synthetic')
print(processes.running['camera'].pid, flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize('signal_number', [signal.SIGKILL, signal.SIGTERM])
def test_nodes_end_with_who_started_them(tmp_path, signal_number, wait_until):
    (tmp_path / 'parameters.yaml').write_text('{}')
    parent = subprocess.Popen([sys.executable, '-c', PARENT, str(tmp_path / 'parameters.yaml')],
                              stdout=subprocess.PIPE, text=True)
    node = int(parent.stdout.readline())
    assert alive(node)
    parent.send_signal(signal_number)
    assert parent.wait(DEADLINE) == -signal_number
    try:
        wait_until(lambda: not alive(node), timeout=DEADLINE)
    finally:
        if alive(node):
            os.kill(node, signal.SIGKILL)


LAUNCHER = """
import os, subprocess, sys, time
from acme_tracking.processes import PARENT_VARIABLE
node = subprocess.Popen(
    [sys.executable, '-m', 'acme_tracking.nodes.camera'], stderr=subprocess.PIPE, text=True,
    start_new_session=True, env={**os.environ, PARENT_VARIABLE: str(os.getpid())})
for line in node.stderr:
    if 'waiting for 99 subscription' in line:
        break
print(node.pid, flush=True)
time.sleep(1000)
"""


def test_a_node_ends_with_the_launcher_that_it_was_told_of(wait_until):
    launcher = subprocess.Popen([sys.executable, '-c', LAUNCHER.replace(
        "nodes.camera'", "nodes.camera', '--ros-args', '-p', 'wait_for_subscribers:=99'")],
        stdout=subprocess.PIPE, text=True)
    node = int(launcher.stdout.readline())
    assert alive(node)
    launcher.terminate()
    assert launcher.wait(DEADLINE) == -signal.SIGTERM
    try:
        wait_until(lambda: not alive(node), timeout=DEADLINE)
    finally:
        if alive(node):
            os.kill(node, signal.SIGKILL)


def test_a_node_whose_launcher_has_gone_meanwhile_does_not_begin():
    gone = subprocess.Popen([sys.executable, '-c', ''])
    gone.wait()
    node = subprocess.run([sys.executable, '-m', 'acme_tracking.nodes.camera'], timeout=DEADLINE,
                          env={**os.environ, PARENT_VARIABLE: str(gone.pid)})
    assert node.returncode == 1


def alive(process):
    """Tell whether a process runs, and is not only remembered (a zombie)."""
    try:
        return Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def write_frames(path, pictures):
    """Write a video of images, each a tenth of a second after the other; return the errors."""
    errors = []
    video = AnnotatedVideo(path, lambda error, _: errors.append(error))
    for index, picture in enumerate(pictures):
        video.write(index * 10**8, picture, Detections.empty(), '')
    video.close()
    return errors


def test_a_video_has_the_rate_of_its_stamps_and_leaves_broken_images_out(tmp_path):
    def broken():
        raise ValueError('no image')
    pictures = [lambda level=level: np.full((48, 64, 3), level, np.uint8) for level in range(30)]
    errors = write_frames(tmp_path / 'out.mp4', [*pictures, broken, pictures[0]])
    assert errors == [''] * 32
    assert cv2.VideoCapture(str(tmp_path / 'out.mp4')).get(cv2.CAP_PROP_FPS) == 10
    assert frames_of(tmp_path / 'out.mp4') == 31


def test_several_cameras_are_shown_side_by_side(tmp_path):
    video = AnnotatedVideo(tmp_path / 'out.mp4', lambda *_: None, cameras=3)
    for index in range(5):
        for camera, level in enumerate((60, 120, 180)):
            video.write(index * 10**8, lambda level=level: np.full((48, 64, 3), level, np.uint8),
                        Detections.empty(), '', camera)
    video.close()
    assert frames_of(tmp_path / 'out.mp4') == 5, 'the first sets the pace'
    capture = cv2.VideoCapture(str(tmp_path / 'out.mp4'))
    frames = [capture.read()[1] for _ in range(5)]
    assert frames[4].shape == (96, 128, 3)
    corners = [frames[4][y, x].mean() for y in (24, 72) for x in (32, 96)]
    assert corners == [pytest.approx(level, abs=6) for level in (60, 120, 180, 0)]


def test_a_video_that_cannot_be_written_is_named(tmp_path):
    picture = np.zeros((48, 64, 3), np.uint8)
    os.mkdir(tmp_path / 'out.mp4')
    with pytest.raises(OSError, match='out.mp4 cannot be written'):
        write_frames(tmp_path / 'out.mp4', [lambda: picture] * 30)


def test_a_video_that_does_not_fit_on_the_disk_is_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))  # as a full disk: a short write
    try:
        with pytest.raises(OSError, match='out.mp4 has .* of 30 frames'):
            write_frames(tmp_path / 'out.mp4', [lambda: noise] * 30)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_drawn_tracks_leave_the_image_as_it_was():
    image = Scene(seed=0).render(0)
    before = image.copy()
    tracks = Detections([[50, 50, 150, 120], [-20, 300, 700, 400]], [0.9, 0.1],
                        ['car', 'bus'], [3, 4])
    drawn = draw_tracks(image, tracks, 'CNN')
    assert (image == before).all() and drawn.shape == image.shape
    assert (drawn[50, 50:150] != image[50, 50:150]).any(axis=1).mean() > 0.9, 'a whole edge'
    grey = draw_tracks(image[:, :, 0], tracks.select([]))
    assert grey.shape == image.shape
