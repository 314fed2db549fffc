"""The page of the viewer in a real browser, what listens, and what `acme_tracking view` says."""
import contextlib
import http.client
import io
import json
from pathlib import Path
import shutil
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import quote, urlsplit

import pytest

pytest.importorskip('rerun', reason='needs acme_tracking[view]')
pytest.importorskip('vision_msgs', reason='needs the message packages')

from acme_tracking.bags.topics import DETECTIONS, IMAGE, IMAGE_QOS, RELIABLE_QOS  # noqa: E402
from acme_tracking.bags.writing import BagWriter  # noqa: E402
from acme_tracking.cli import main  # noqa: E402
from acme_tracking.detections import Detections  # noqa: E402
from acme_tracking.drawing import color_of  # noqa: E402
from acme_tracking.messages import detections_to_msg, image_to_msg, ns_to_stamp  # noqa: E402
from acme_tracking.viewer.serving import Viewer  # noqa: E402
import numpy as np  # noqa: E402
import PIL.Image  # noqa: E402
import psutil  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

LOOPBACK = '127.0.0.1'
READ, WRITE = (f'/rerun.sdk_comms.v1alpha1.MessageProxyService/{name}Messages'
               for name in ('Read', 'Write'))
ROAD = (60, 90, 60)  # BGR
IDS = (1, 2, 3)
# Seconds for a browser that draws without a graphics card, on a busy machine.
PATIENCE = 500.0
BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))),
               None)
WITHOUT_GRAPHICS_CARD = ('--no-sandbox', '--use-gl=angle', '--use-angle=swiftshader',
                         '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist')


def write_drive(path):
    """Write a bag of a plain road with three tracks that stand side by side."""
    boxes = [[100 * one, 80, 100 * one + 60, 160] for one in range(3)]
    tracks = Detections(boxes, [0.9, 0.8, 0.7], ['car', 'person', 'bus'], IDS)
    with BagWriter(path) as writer:
        images = writer.topic('/image_raw', IMAGE, IMAGE_QOS)
        topic = writer.topic('/tracks', DETECTIONS, RELIABLE_QOS)
        for index in range(10):
            stamp = 10**9 + index * 10**8
            header = Header(stamp=ns_to_stamp(stamp))
            writer.write(images, stamp,
                         image_to_msg(np.full((240, 320, 3), ROAD, np.uint8), header))
            writer.write(topic, stamp + 10**6, detections_to_msg(tracks, header))
    return path


@contextlib.contextmanager
def viewing(*words):
    """Run `acme_tracking view` and give (process, address of the page)."""
    process = subprocess.Popen([sys.executable, '-m', 'acme_tracking', 'view', '--port', '0',
                                *map(str, words)], stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert line.startswith('See http://'), line
        yield process, line.split()[1]
    finally:
        process.kill()
        process.wait()


def places(picture, color):
    """Return where a screenshot, (H, W, 3) RGB, has a BGR colour: x and y of the pixels."""
    near = np.abs(picture.astype(int) - color[::-1]).max(axis=2) <= 12
    y, x = np.nonzero(near)
    return x, y


def shows_the_drive(picture):
    """Tell whether picture and boxes are there, the boxes side by side within the picture."""
    road, _ = places(picture, ROAD)
    boxes = [places(picture, color_of(one))[0] for one in IDS]
    if len(road) < 20_000 or any(len(x) < 100 for x in boxes):
        return False
    first, second, third = map(np.median, boxes)
    return road.min() <= first < second < third <= road.max()


@pytest.mark.timeout(PATIENCE + 100)
@pytest.mark.skipif(BROWSER is None, reason='needs Chromium')
def test_a_browser_shows_picture_and_boxes_and_asks_nobody_else(tmp_path):
    api = pytest.importorskip('playwright.sync_api', reason='needs Playwright')
    asked, answered = set(), set()
    with viewing(write_drive(tmp_path / 'drive')) as (_, page_url), api.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=BROWSER, args=WITHOUT_GRAPHICS_CARD)
        page = browser.new_page(viewport={'width': 1280, 'height': 800})
        page.set_default_timeout(PATIENCE * 1e3)
        page.on('request', lambda request: asked.add(urlsplit(request.url).netloc))
        page.on('requestfinished', lambda request: answered.add(urlsplit(request.url).netloc))
        page.goto(page_url)
        deadline = time.monotonic() + PATIENCE
        while True:
            picture = np.asarray(PIL.Image.open(io.BytesIO(page.screenshot())).convert('RGB'))
            if shows_the_drive(picture):
                break
            if time.monotonic() > deadline:
                PIL.Image.fromarray(picture).save(tmp_path / 'seen.png')
                pytest.fail(f'picture and boxes are not there: see {tmp_path}/seen.png')
            page.wait_for_timeout(500)
        browser.close()
    assert answered == {urlsplit(page_url).netloc}
    assert len(asked) > 1, 'it would, and it is the policy that keeps it from doing so'


def listening(process):
    """Return the addresses on which a process and its children listen."""
    everybody = [process, *process.children(recursive=True)]
    return {connection.laddr.ip for one in everybody for connection in one.net_connections('inet')
            if connection.status == psutil.CONN_LISTEN}


def test_only_loopback_listens_and_nothing_reports_its_use(tmp_path, wait_until):
    with viewing(write_drive(tmp_path / 'drive')) as (process, _):
        family = psutil.Process(process.pid)
        assert listening(family) == {LOOPBACK}
        rerun, = family.children()
        settings = Path(rerun.environ()['XDG_CONFIG_HOME'])
        assert json.loads((settings / 'rerun/analytics.json').read_text())[
            'analytics_enabled'] is False
        assert '10 images' in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
        wait_until(lambda: not rerun.is_running())
        assert not settings.exists()


def test_the_viewer_ends_with_a_command_that_is_killed(tmp_path, wait_until):
    with viewing(write_drive(tmp_path / 'drive')) as (process, _):
        rerun, = psutil.Process(process.pid).children()
        process.kill()
        process.wait()
        wait_until(lambda: not rerun.is_running() or rerun.status() == psutil.STATUS_ZOMBIE)


def test_the_page_can_be_read_but_not_written_to():
    def ask(method, path, body=None, **headers):
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers
    with Viewer(port=0) as viewer:
        port = urlsplit(viewer.page).port
        status, headers = ask('GET', '/')
        data = quote(f'rerun+http://{LOOPBACK}:{port}/proxy', safe='')
        assert (status, headers['Location']) == (302, f'/?url={data}')
        status, headers = ask('GET', headers['Location'])
        assert status == 200
        assert headers['Content-Security-Policy'].startswith("default-src 'self' data: blob:;")
        assert ask('POST', WRITE, b'\0' * 5)[0] == 403
        assert ask('POST', READ, b'\0' * 2**17)[0] == 403
        assert ask('GET', '/', Host=f'elsewhere.example:{port}')[0] == 421
        assert ask('POST', READ, b'\0' * 5, Host=f'elsewhere.example:{port}')[0] == 403
        assert ask('GET', '/', Host=f'localhost:{port}')[0] == 302


def test_what_cannot_be_shown_is_one_line(tmp_path, capsys):
    (tmp_path / 'bad.rrd').write_bytes(b'nothing')
    with socket.create_server((LOOPBACK, 0)) as taken:
        for words, part in (
                ([str(tmp_path / 'none')], 'there is no bag or file'),
                ([str(tmp_path / 'bad.rrd')], 'is no recording, or is cut short'),
                ([str(tmp_path), '--port', '0'], 'is no bag'),
                (['--bind', '203.0.113.1'], 'cannot listen on 203.0.113.1, port 9090'),
                (['--port', str(taken.getsockname()[1])], 'choose others with --bind and --port')):
            assert main(['view', *words]) == 1, words
            said = capsys.readouterr().err
            assert part in said and said.count('\n') == 1 and said.startswith('acme_tracking view')
    for words in ['--memory', 'lots'], ['--port', '70000']:
        with pytest.raises(SystemExit, match='2'):
            main(['view', *words])
