"""Checkpoints: the round trip, and files that must be refused with a reason."""
import errno
import json
import os
from pathlib import Path
import pickle
import struct

from acme_tracking.detection import checkpoint
from acme_tracking.detection.checkpoint import Specification
from acme_tracking.weights_files import CheckpointError, KEY
import pytest
from safetensors.torch import load_file, save_file
import torch

SMALL = {'widths': [8, 8, 16, 16, 16], 'depths': [1, 1, 1, 1, 1], 'neck': 16}
SPECIFICATION = Specification(classes=('car', 'person'), input_size=128, arguments=SMALL)


@pytest.fixture
def saved(tmp_path):
    """Give the path of a good checkpoint and its network."""
    torch.manual_seed(0)
    network = SPECIFICATION.build()
    checkpoint.save(tmp_path / 'good.safetensors', network, SPECIFICATION)
    return tmp_path / 'good.safetensors', network


def header_of(path):
    size = struct.unpack('<Q', path.read_bytes()[:8])[0]
    return json.loads(path.read_bytes()[8:8 + size])['__metadata__'][KEY]


def rewritten(path, change_header=None, change_tensors=None, name='bad.safetensors'):
    """Return the path of a copy whose header entries and tensors were changed."""
    entries, tensors = json.loads(header_of(path)), load_file(path)
    if change_header:
        change_header(entries)
    if change_tensors:
        change_tensors(tensors)
    bad = path.with_name(name)
    save_file(tensors, bad, metadata={KEY: json.dumps(entries)})
    return bad


def test_round_trip_rebuilds_network_and_specification(saved):
    path, network = saved
    loaded, specification = checkpoint.load(path)
    assert specification == SPECIFICATION
    assert not loaded.training
    for name, tensor in network.state_dict().items():
        assert loaded.state_dict()[name].dtype == tensor.dtype
        torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)


def test_full_precision_is_exact(tmp_path):
    network = SPECIFICATION.build()
    checkpoint.save(tmp_path / 'full.safetensors', network, SPECIFICATION, half=False)
    loaded, _ = checkpoint.load(tmp_path / 'full.safetensors')
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


@pytest.mark.parametrize(('value', 'half', 'reason'), [
    (7e4, True, 'lateral.0.weight holds 70000, above 65504'),
    (float('nan'), True, 'lateral.0.weight holds values that are not finite'),
    (float('inf'), False, 'lateral.0.weight holds values that are not finite')])
def test_weights_that_a_file_cannot_hold_are_not_written(saved, value, half, reason):
    path, network = saved
    before = path.read_bytes()
    with torch.no_grad():
        network.lateral[0].weight[0, 0] = value
    with pytest.raises(ValueError, match=reason):
        checkpoint.save(path, network, SPECIFICATION, half=half)
    assert path.read_bytes() == before, 'the checkpoint of before is still there'


def test_a_disk_that_fails_leaves_the_checkpoint_of_before(saved, monkeypatch):
    path, network = saved
    before = path.read_bytes()

    def full(self, content):
        with self.open('wb') as file:
            file.write(content[:1000])
        raise OSError(errno.ENOSPC, 'no space left')
    monkeypatch.setattr(Path, 'write_bytes', full)
    with pytest.raises(OSError, match='no space left'):
        checkpoint.save(path, network, SPECIFICATION, half=False)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path], 'and nothing beside it'


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match='nowhere.safetensors: no such file'):
        checkpoint.load(tmp_path / 'nowhere.safetensors')


@pytest.fixture
def nobody():
    """Be a user who may read hardly anything, where these tests run as root."""
    if os.geteuid():
        pytest.skip('only root can become somebody else')
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.mark.parametrize('hide', [lambda path: path.parent.chmod(0o700),
                                  lambda path: path.chmod(0o600)])
def test_a_file_without_permission_is_not_called_missing(saved, hide, request):
    hide(saved[0])
    request.getfixturevalue('nobody')
    with pytest.raises(CheckpointError, match='good.safetensors: Permission denied'):
        checkpoint.inspect(saved[0])


@pytest.mark.parametrize('length', [300, 5000])
def test_a_name_that_no_file_can_have_is_refused_in_a_short_line(tmp_path, length):
    path = str(tmp_path) + '/' + 'a' * length
    with pytest.raises(CheckpointError, match='File name too long') as refused:
        checkpoint.load(path)
    assert len(str(refused.value)) < 500


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / 'fifo')
    for path in (tmp_path, tmp_path / 'fifo', '/dev/zero'):
        with pytest.raises(CheckpointError, match='not a file'):
            checkpoint.load(path)
    with pytest.raises(CheckpointError, match='null byte'):
        checkpoint.load('a\0b')


@pytest.mark.parametrize('share', [0.0, 0.00001, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused(saved, share):
    content = saved[0].read_bytes()
    saved[0].write_bytes(content[:int(share * len(content))])
    with pytest.raises(CheckpointError, match='not a safetensors file, or cut short'):
        checkpoint.load(saved[0])


class Bomb:
    """A pickle that would run code when it is loaded."""

    def __reduce__(self):
        """Tell pickle to call something."""
        return (pytest.fail, ('the pickle was executed',))


def test_a_pickle_is_refused_and_not_executed(tmp_path):
    path = tmp_path / 'bomb.safetensors'
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match='not a safetensors file'):
        checkpoint.load(path)
    torch.save({'weights': torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match='not a safetensors file'):
        checkpoint.load(path)


def test_a_header_that_lies_about_its_length_is_refused(tmp_path):
    path = tmp_path / 'long.safetensors'
    path.write_bytes(struct.pack('<Q', 2 ** 62) + b'{}')
    with pytest.raises(CheckpointError):
        checkpoint.load(path)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / 'huge.safetensors'
    with path.open('wb') as file:
        file.truncate(checkpoint.MAXIMUM_BYTES + 1)
    with pytest.raises(CheckpointError, match='expected at most'):
        checkpoint.load(path)


def test_weights_of_another_program_are_refused(tmp_path):
    save_file({'a': torch.zeros(2)}, tmp_path / 'other.safetensors')
    with pytest.raises(CheckpointError, match='of another program'):
        checkpoint.load(tmp_path / 'other.safetensors')


def test_a_header_that_is_not_json_is_refused(saved):
    save_file(load_file(saved[0]), saved[0], metadata={KEY: '{"classes": '})
    with pytest.raises(CheckpointError, match='not JSON'):
        checkpoint.load(saved[0])


def test_a_header_that_is_nested_too_deep_is_refused(saved):
    save_file(load_file(saved[0]), saved[0], metadata={KEY: '[' * 100_000})
    with pytest.raises(CheckpointError, match='not JSON'):
        checkpoint.load(saved[0])


@pytest.mark.parametrize(('entry', 'value', 'reason'), [
    ('format', 2, 'format 1'),
    ('classes', [], 'classes'),
    ('classes', ['car', 'car'], 'classes'),
    ('classes', 'car', 'classes'),
    ('classes', ['car', 3], 'classes'),
    ('classes', ['car', ''], 'none of them empty'),
    ('input_size', 0, 'input_size'),
    ('input_size', 10 ** 9, 'input_size'),
    ('input_size', '384', 'input_size'),
    ('mean', [0, 0], 'mean'),
    ('mean', [0, 0, float('nan')], 'mean'),
    ('std', [1, 1, 0], 'std'),
    ('architecture', 'os.system', 'architecture'),
    ('architecture', ['x'], 'architecture'),
    ('arguments', {'classes': 3}, 'arguments'),
    ('arguments', [], 'arguments'),
    ('arguments', {'neck': 10 ** 7}, 'arguments'),
    ('arguments', {'widths': [8, 8], 'depths': [1, 1, 1, 1, 1], 'neck': 16}, 'no network'),
    ('arguments', {'widths': 8}, 'no network'),
    ('arguments', {'depths': [4096] * 5}, 'arguments'),
    ('extra', 1, 'extra'),
])
def test_a_header_with_a_wrong_entry_is_refused(saved, entry, value, reason):
    bad = rewritten(saved[0], lambda entries: entries.update({entry: value}))
    for read in checkpoint.load, checkpoint.inspect:
        with pytest.raises(CheckpointError, match=reason):
            read(bad)


def test_a_header_without_an_entry_is_refused(saved):
    with pytest.raises(CheckpointError, match='mean'):
        checkpoint.load(rewritten(saved[0], lambda entries: entries.pop('mean')))


def test_a_header_of_a_larger_network_costs_no_memory_and_is_refused(saved):
    huge = {'widths': [4096] * 5, 'depths': [8] * 5, 'neck': 4096}  # 24 GB of weights
    bad = rewritten(saved[0], lambda entries: entries.update(arguments=huge))
    with pytest.raises(CheckpointError, match='missing'):
        checkpoint.load(bad)


def test_wrong_tensors_are_refused(saved):
    name = 'lateral.0.weight'
    for change, reason in [
            (lambda t: t.pop(name), 'missing'),
            (lambda t: t.update(more=torch.zeros(1)), 'unknown'),
            (lambda t: t.update({name: torch.zeros(3, 3)}), name),
            (lambda t: t.update({name: t[name] * float('nan')}), 'not finite')]:
        with pytest.raises(CheckpointError, match=reason):
            checkpoint.load(rewritten(saved[0], change_tensors=change))


@pytest.mark.parametrize('dtype', [
    torch.int32, torch.bool, torch.complex64, torch.float8_e4m3fn, torch.float8_e5m2])
def test_a_tensor_of_another_type_is_refused(saved, dtype):
    for name in 'lateral.0.weight', 'merge.0.1.num_batches_tracked':
        bad = rewritten(saved[0], change_tensors=lambda t, name=name: t.update(
            {name: t[name].to(dtype)}))
        for read in checkpoint.load, checkpoint.inspect:
            with pytest.raises(CheckpointError, match=f'{name} has the type'):
                read(bad)


def test_a_number_beyond_single_precision_is_refused(saved):
    bad = rewritten(saved[0], change_tensors=lambda t: t.update(
        {'lateral.0.weight': torch.full_like(t['lateral.0.weight'], 1e300, dtype=torch.float64)}))
    with pytest.raises(CheckpointError, match='not finite'):
        checkpoint.load(bad)


def test_an_inspection_finds_all_but_wrong_values(saved):
    assert checkpoint.inspect(saved[0]) == SPECIFICATION
    name = 'lateral.0.weight'
    for change in (lambda t: t.pop(name), lambda t: t.update(more=torch.zeros(1)),
                   lambda t: t.update({name: torch.zeros(3, 3)})):
        with pytest.raises(CheckpointError):
            checkpoint.inspect(rewritten(saved[0], change_tensors=change))
    checkpoint.inspect(rewritten(saved[0], change_tensors=lambda t: t.update(
        {name: t[name] * float('nan')})))
