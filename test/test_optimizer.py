"""The optimiser of the detector: what Muon's steps are, what stays AdamW's, and going on."""
import copy

from acme_tracking.detection.network import DetectionNetwork
from acme_tracking.training.optimizer import Muon, MuonAdamW
import pytest
import torch

RATE = 1e-3


@pytest.fixture
def network():
    torch.manual_seed(0)
    return DetectionNetwork(3).to(memory_format=torch.channels_last).train()


def step(network, optimizer, seed):
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
    optimizer.zero_grad()
    sum(each.square().mean() for each in network(images)).backward()
    optimizer.step()


def test_the_steps_of_inner_convolutions_are_orthogonal_and_of_the_size_of_adamw(network):
    inner = network.merge[0][0].weight  # 64 x 576
    before = inner.detach().clone()
    step(network, MuonAdamW(network, RATE, decay=0.0), 0)
    gradient = torch.linalg.svdvals(inner.grad.permute(0, 2, 3, 1).flatten(1))
    assert gradient.max() / gradient.min() > 25
    moved = (inner.detach() - before * (1 - RATE * 0.05)).permute(0, 2, 3, 1).flatten(1)
    values = torch.linalg.svdvals(moved)
    assert values.max() / values.min() < 2.5
    assert moved.square().mean().sqrt().item() == pytest.approx(0.2 * RATE, rel=0.3)


def test_all_matrices_of_a_shape_at_once_step_as_one_by_one():
    torch.manual_seed(0)
    shapes = (64, 576), (64, 576), (32, 64), (300, 64)
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = copy.deepcopy(ours)
    optimizers = (Muon(ours, 0.01, 0.05),
                  torch.optim.Muon(theirs, 0.01, 0.05, adjust_lr_fn='match_rms_adamw'))
    for _ in range(3):
        for each, other in zip(ours, theirs, strict=True):
            each.grad = torch.randn(each.shape)
            other.grad = each.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def test_every_parameter_moves_and_normalisations_do_not_decay(network):
    before = {name: each.detach().clone() for name, each in network.named_parameters()}
    optimizer = MuonAdamW(network, RATE, decay=0.5)
    step(network, optimizer, 0)
    for name, each in network.named_parameters():
        assert not torch.equal(each, before[name]), name
    decays = [group['weight_decay'] for part in optimizer.state_dict().values()
              for group in part['param_groups']]
    assert decays == [0.05, 0.5, 0.0]


def test_a_rate_of_zero_moves_nothing(network):
    before = copy.deepcopy(network.state_dict())
    optimizer = MuonAdamW(network, RATE, decay=0.5)
    for group in optimizer.param_groups:
        group['lr'] = 0.0
    step(network, optimizer, 0)
    assert all(torch.equal(each, before[name]) for name, each in network.named_parameters())


def test_a_restored_state_goes_on_as_if_nothing_had_happened(network):
    optimizer = MuonAdamW(network, RATE, decay=0.02)
    step(network, optimizer, 0)
    other = copy.deepcopy(network)
    again = MuonAdamW(other, RATE, decay=0.02)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    step(network, optimizer, 1)
    step(other, again, 1)
    for ours, theirs in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)
