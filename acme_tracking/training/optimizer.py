"""
The optimiser of the detector: Muon for what is a matrix inside of the network, AdamW for the rest.

Muon (K. Jordan et al., 2024) steps along the orthogonal factor of the averaged gradient, so that
all directions of a layer learn at one pace; in the same time it gets further than AdamW alone
(docs/training.md has the figures).
"""
import torch

SMALLEST = 16  # inputs and outputs of a convolution that is worth it, unlike stem and heads
DECAY = 0.05   # of the weights that Muon learns


class MuonAdamW(torch.optim.Optimizer):
    """
    Muon for inner convolutions, AdamW for all others; biases and normalisations do not decay.

    The convolutions of `network` must be stored channels last: each is one matrix (outputs,
    inputs x kernel) to Muon.  `rate` fits both, as Muon's steps are brought to the size of
    AdamW's; `decay` is AdamW's.
    """

    def __init__(self, network, rate: float, decay: float):
        """Take all parameters of a network."""
        inner, outer, others = [], [], []
        for each in network.parameters():
            is_inner = each.ndim == 4 and min(each.shape[:2]) >= SMALLEST
            (inner if is_inner else outer if each.ndim > 1 else others).append(each)
        super().__init__([{'params': inner}, {'params': outer}, {'params': others}], {'lr': rate})
        self._inner = [(each, torch.nn.Parameter(_as_matrix(each.detach()))) for each in inner]
        self._parts = (
            torch.optim.Muon([matrix for _, matrix in self._inner], rate, DECAY,
                             adjust_lr_fn='match_rms_adamw'),
            torch.optim.AdamW([{'params': outer, 'weight_decay': decay},
                               {'params': others, 'weight_decay': 0.0}], rate, fused=True))

    @torch.no_grad()
    def step(self):
        """Take a step along the gradients of the network."""
        for parameter, matrix in self._inner:
            matrix.grad = _as_matrix(parameter.grad)
        for part in self._parts:
            for group in part.param_groups:
                group['lr'] = self.param_groups[0]['lr']
            part.step()

    def state_dict(self) -> dict:
        """Return what `load_state_dict` needs to go on."""
        return {name: part.state_dict() for name, part in zip(('muon', 'adamw'), self._parts)}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a saved state; KeyError or ValueError for one of another network."""
        for name, part in zip(('muon', 'adamw'), self._parts):
            part.load_state_dict(state[name])


def _as_matrix(weights):
    """Return convolution weights (O, I, H, W) as a view (O, H * W * I), copied if it cannot be."""
    return weights.permute(0, 2, 3, 1).flatten(1)
