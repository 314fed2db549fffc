"""
The optimiser of the detector: Muon for what is a matrix inside of the network, AdamW for the rest.

Muon (K. Jordan et al., 2024) steps along the orthogonal factor of the averaged gradient, so that
all directions of a layer learn at one pace; in the same time it gets further than AdamW alone
(docs/training.md has the figures).
"""
import torch

MOMENTUM = 0.95
ITERATIONS = 5  # of Newton and Schulz, ...
COEFFICIENTS = 3.4445, -4.7750, 2.0315  # ... of x, x ** 3 and x ** 5, as Jordan tuned them
SIZE = 0.2  # root mean square of AdamW's steps at a rate of 1 (Liu et al., Muon is scalable, 2025)
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
            Muon([matrix for _, matrix in self._inner], rate, DECAY),
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


class Muon(torch.optim.Optimizer):
    """
    Muon as torch.optim has it, but all matrices of a shape at once.

    A GPU takes longer to be told of the 1500 small products of a step than to do them.
    """

    def __init__(self, matrices, rate: float, decay: float):
        """Take parameters (R, C)."""
        super().__init__(matrices, {'lr': rate, 'weight_decay': decay})

    @torch.no_grad()
    def step(self):
        """Take a step along the orthogonal factors of the averaged gradients."""
        for group in self.param_groups:
            matrices = group['params']
            gradients = [each.grad for each in matrices]
            averages = [self._average(each) for each in matrices]
            torch._foreach_lerp_(averages, gradients, 1 - MOMENTUM)
            ahead = torch._foreach_lerp(gradients, averages, MOMENTUM)
            torch._foreach_mul_(matrices, 1 - group['lr'] * group['weight_decay'])
            for shape in dict.fromkeys(each.shape for each in matrices):
                chosen = [index for index, each in enumerate(matrices) if each.shape == shape]
                steps = orthogonal(torch.stack([ahead[index] for index in chosen]))
                torch._foreach_add_([matrices[index] for index in chosen], list(steps),
                                    alpha=-group['lr'] * SIZE * max(shape) ** 0.5)

    def _average(self, matrix):
        state = self.state[matrix]
        if not state:
            state['average'] = torch.zeros_like(matrix)
        return state['average']


def orthogonal(matrices):
    """Return matrices (N, R, C) with all singular values moved to about 1 (0.7 to 1.2)."""
    wide = matrices.shape[1] <= matrices.shape[2]
    x = (matrices if wide else matrices.mT).bfloat16()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    first, third, fifth = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=third, alpha=fifth), x,
                          beta=first)
    return (x if wide else x.mT).to(matrices.dtype)


def _as_matrix(weights):
    """Return convolution weights (O, I, H, W) as a view (O, H * W * I), copied if it cannot be."""
    return weights.permute(0, 2, 3, 1).flatten(1)
