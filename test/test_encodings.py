"""Pixel encodings against numpy: a known picture is laid out by formulas, and must come back."""
import io

from acme_tracking.sources.encodings import decode, decode_file, ENCODINGS, VIEWS
from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

HEIGHT, WIDTH = 12, 16
BAYERS = [name for name in ENCODINGS if name.startswith('bayer')]
DEEP = ['mono16', 'bgr16', 'rgb16', 'bgra16', 'rgba16']
PAIRED = {'uyvy': 'uyvy', 'yuv422': 'uyvy', 'yuyv': 'yuyv', 'yuv422_yuy2': 'yuyv'}
# Every time the same examples, and no folder of those that failed.
EXAMPLES = settings(deadline=None, derandomize=True, database=None)


def patches():
    """Return RGB (H, W, 3) whose colour changes at every second row and column."""
    colors = np.random.default_rng(3).integers(0, 256, (HEIGHT // 2, WIDTH // 2, 3))
    return colors.repeat(2, axis=0).repeat(2, axis=1).astype(np.uint8)


def slopes():
    """Return RGB (H, W, 3) with a slope of its own in each channel, which interpolation keeps."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    planes = 40 + 4 * columns + 2 * rows, 200 - 6 * columns, 30 + 9 * rows
    return np.stack(planes, axis=-1).astype(np.uint8)


def as_yuv(rgb):
    """Return Y, U and V (H, W) of RGB: BT.601, black at 16 and white at 235."""
    red, green, blue = np.moveaxis(rgb.astype(float) / 255, -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    planes = (16 + 219 * luma, 128 + 224 * (blue - luma) / 1.772,
              128 + 224 * (red - luma) / 1.402)
    return [np.round(plane).astype(np.uint8) for plane in planes]


def laid_out(rows, padding=0):
    """Return the bytes of rows (H, ...), each with rubbish behind it, and their step."""
    rows = np.ascontiguousarray(rows)
    rows = rows.view(np.uint8).reshape(len(rows), -1)
    rubbish = np.full((len(rows), padding), 171, np.uint8)
    return np.hstack([rows, rubbish]).tobytes(), rows.shape[1] + padding


def channels_of(encoding, rgb):
    """Return the channels of a picture in the order that the name of an encoding gives them."""
    planes = dict(zip('rgb', np.moveaxis(rgb, -1, 0)))
    planes['a'] = np.full(rgb.shape[:2], 77, np.uint8)
    planes['m'] = planes['g']
    order = {'8UC1': 'm', '8UC3': 'bgr', '8UC4': 'bgra'}.get(encoding) or (
        'm' if encoding.startswith('mono') else encoding.rstrip('0123456789'))
    return np.stack([planes[channel] for channel in order], axis=-1)


def seen(encoding, rows, **options):
    """Decode rows without padding."""
    data, step = laid_out(rows)
    return decode(encoding, data, WIDTH, HEIGHT, step, **options)


def in_two_bytes(levels, big_endian=False):
    """Return levels of 0 to 255 as about 0 to 65535; the two bytes of each differ."""
    off = np.random.default_rng(1).integers(-100, 101, levels.shape)
    deep = np.clip(levels.astype(int) * 257 + off, 0, 65535)
    return deep.astype('>u2' if big_endian else '<u2')


def expected(encoding, rgb):
    """Return a picture as the package has images: BGR, or gray."""
    return rgb[..., 1] if channels_of(encoding, rgb).shape[2] == 1 else rgb[..., ::-1]


@pytest.mark.parametrize('padding', [0, 3])
@pytest.mark.parametrize('encoding', VIEWS)
def test_bytes_are_seen_without_a_copy(encoding, padding):
    data, step = laid_out(channels_of(encoding, patches()), padding)
    image = decode(encoding, data, WIDTH, HEIGHT, step)
    np.testing.assert_array_equal(image, expected(encoding, patches()))
    assert np.shares_memory(image, np.frombuffer(data, np.uint8)) and not image.flags.writeable


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize('encoding', PAIRED)
def test_pairs_of_pixels_share_their_colour(encoding, padding):
    planes = dict(zip('yuv', as_yuv(patches())))
    rows = np.empty((HEIGHT, WIDTH, 2), np.uint8)
    for place, plane in enumerate(PAIRED[encoding]):
        taken = planes[plane][:, place // 2::2] if plane == 'y' else planes[plane][:, ::2]
        rows[:, place // 2::2, place % 2] = taken
    data, step = laid_out(rows, padding)
    image = decode(encoding, data, WIDTH, HEIGHT, step)
    np.testing.assert_allclose(image, patches()[..., ::-1], atol=3)


@pytest.mark.parametrize('padding', [0, 4])
@pytest.mark.parametrize('encoding, order, every', [
    ('nv12', 'uv', 2), ('nv21', 'vu', 2), ('nv24', 'uv', 1)])
def test_chroma_lies_in_a_plane_below(encoding, order, every, padding):
    luma, *chroma = as_yuv(patches())
    chroma = dict(zip('uv', chroma))
    below = np.stack([chroma[name][::every, ::every] for name in order], axis=-1)
    data, step = laid_out(luma, padding)
    data += laid_out(below, padding if every == 2 else 2 * padding)[0]
    image = decode(encoding, data, WIDTH, HEIGHT, step)
    np.testing.assert_allclose(image, patches()[..., ::-1], atol=3)
    with pytest.raises(ValueError, match=f'{encoding} with step {step} needs {len(data)} bytes'):
        decode(encoding, data[:-1], WIDTH, HEIGHT, step)


def mosaic(encoding, rgb):
    """Return the picture (H, W) behind the filters that the name gives, row by row."""
    tiled = np.empty(rgb.shape[:2], np.uint8)
    for place, channel in enumerate(encoding.removeprefix('bayer_')[:4]):
        at = np.s_[place // 2::2, place % 2::2]
        tiled[at] = rgb[..., 'rgb'.index(channel)][at]
    return tiled


@pytest.mark.parametrize('padding', [0, 3])
@pytest.mark.parametrize('big_endian', [False, True])
@pytest.mark.parametrize('encoding', BAYERS)
def test_mosaics(encoding, big_endian, padding):
    tiled = mosaic(encoding, slopes())
    if encoding.endswith('16'):
        tiled = in_two_bytes(tiled, big_endian)
    data, step = laid_out(tiled, padding)
    image = decode(encoding, data, WIDTH, HEIGHT, step, big_endian)
    inner = np.s_[2:-2, 2:-2]  # at the edge there is nothing to interpolate with
    np.testing.assert_allclose(image[inner], slopes()[..., ::-1][inner], atol=1)


@pytest.mark.parametrize('padding', [0, 3])
@pytest.mark.parametrize('big_endian', [False, True])
@pytest.mark.parametrize('encoding', DEEP)
def test_two_bytes_a_channel(encoding, big_endian, padding):
    levels = in_two_bytes(channels_of(encoding, patches()), big_endian)
    data, step = laid_out(levels, padding)
    image = decode(encoding, data, WIDTH, HEIGHT, step, big_endian)
    np.testing.assert_array_equal(image, expected(encoding, patches()))


def test_what_has_no_scale_is_spread():
    counts = np.random.default_rng(0).integers(7000, 9001, (HEIGHT, WIDTH)).astype('<u2')
    counts[0, :2] = 7000, 9000
    np.testing.assert_allclose(seen('16UC1', counts), (counts - 7000.0) / 2000 * 255, atol=1)
    assert not seen('16UC1', np.full((HEIGHT, WIDTH), 7000, '<u2')).any()
    assert seen('mono16', counts).max() == 35, 'where white is known, it stays what it is'


def test_what_cannot_be_read_names_what_can():
    with pytest.raises(ValueError, match="'32FC1' cannot be read; .*nv24, bayer_rggb8"):
        decode('32FC1', bytes(64), 4, 4, 16)


@pytest.mark.parametrize('encoding, size', [('uyvy', (3, 2)), ('nv12', (3, 2)), ('nv21', (2, 3))])
def test_shared_colours_need_even_sides(encoding, size):
    with pytest.raises(ValueError, match=f'in pairs, got a {size[0]} x {size[1]} image'):
        decode(encoding, bytes(64), *size, 8)


def file_of(picture, form, **options):
    """Return the bytes of a picture in a file, which is not written by what reads it here."""
    image = pytest.importorskip('PIL.Image')
    stream = io.BytesIO()
    image.fromarray(picture).save(stream, form, **options)
    return stream.getvalue()


@pytest.mark.parametrize('form, tolerance', [('png', 0), ('jpeg', 4), ('webp', 4), ('bmp', 0)])
def test_files_have_their_own_colours(form, tolerance):
    image = decode_file(file_of(slopes(), form, quality=100))
    assert np.abs(image.astype(int) - slopes()[..., ::-1]).mean() <= tolerance


def test_transparency_is_left_out():
    with_alpha = np.dstack([slopes(), np.full((HEIGHT, WIDTH), 9, np.uint8)])
    np.testing.assert_array_equal(decode_file(file_of(with_alpha, 'png')), slopes()[..., ::-1])


def test_deep_files_are_scaled_as_images_are():
    counts = np.random.default_rng(0).integers(7000, 9001, (HEIGHT, WIDTH)).astype(np.uint16)
    for encoding in 'mono16', '16UC1':
        image = decode_file(file_of(counts, 'png'), encoding)
        np.testing.assert_array_equal(image[..., 0], seen(encoding, counts))
        assert image.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize('encoding', BAYERS)
def test_the_file_of_a_mosaic_becomes_coloured(encoding):
    tiled = mosaic(encoding, slopes())
    if encoding.endswith('16'):
        tiled = in_two_bytes(tiled)
    image = decode_file(file_of(tiled, 'png'), encoding)
    np.testing.assert_array_equal(image, seen(encoding, tiled))


@st.composite
def layouts(draw):
    """Return what may stand in a message, much of it nearly right."""
    layout = {'encoding': draw(st.sampled_from(ENCODINGS)), 'width': draw(st.integers(1, 10)),
              'height': draw(st.integers(1, 7))}
    layout['step'] = 8 * layout['width'] + draw(st.integers(0, 3))
    size = int(draw(st.sampled_from([1, 1.5, 3])) * layout['step'] * layout['height'])
    spoiled = draw(st.sampled_from([None, *layout]))
    if spoiled:
        layout[spoiled] = draw(st.sampled_from(['', '64FC1'] if spoiled == 'encoding' else
                                               [0, 1, 7, 2**31, 2**32 - 1]))
    data = np.random.default_rng(size).bytes(size + draw(st.integers(-1, 1)))
    encoding, *rest = layout.values()
    return encoding, data, *rest, draw(st.booleans())


@settings(EXAMPLES, max_examples=400)
@given(layouts())
def test_nothing_is_read_beyond_the_data(layout):
    encoding, data, width, height, *rest = layout
    images = []
    for rubbish in b'\x00', b'\xff':
        around = rubbish * 4096
        inside = memoryview(around + data + around)[4096:4096 + len(data)]
        try:
            images.append(decode(encoding, inside, width, height, *rest))
        except ValueError as error:
            assert len(str(error)) < 600
            return
    np.testing.assert_array_equal(*images)
    assert images[0].dtype == np.uint8 and images[0].shape[:2] == (height, width)


FILES = [file_of(slopes(), form) for form in ('png', 'jpeg', 'webp')]


@settings(EXAMPLES, max_examples=200)
@given(st.sampled_from(FILES), st.sampled_from(ENCODINGS), st.integers(0, 10**4),
       st.binary(max_size=9))
def test_no_file_does_harm(file, encoding, place, rubbish):
    place %= len(file)
    image = decode_file(file[:place] + rubbish + file[place + len(rubbish):], encoding)
    assert image is None or image.dtype == np.uint8 and image.ndim == 3
    assert decode_file(rubbish, encoding) is None
