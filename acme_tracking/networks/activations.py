"""What happens inside a network: the outputs of its layers, and the part of it up to one layer."""
from __future__ import annotations

import torch
from torch import nn


def layer_of(network, name: str):
    """Return the layer of a name such as `features.30`; ValueError when there is none."""
    layers = dict(network.named_modules())
    if not name or name not in layers:
        known = [key for key, layer in layers.items() if key and not list(layer.children())]
        raise ValueError(f'the network has no layer {name!r}, expected one such as '
                         f'{", ".join(known[:3])} ... {known[-1]}')
    return layers[name]


@torch.no_grad()
def activations(network, images, layers) -> dict:
    """
    Return {name: output} of some layers for images (B, 3, H, W), in the order of their work.

    A layer that works more than once, as the ReLU of a residual block does, is there with its last
    output.  Layers that do not take part (of auxiliary heads) are left out.
    """
    outputs = {}

    def keep(name):
        def hook(module, inputs, output):
            outputs.pop(name, None)
            outputs[name] = output.clone()  # the next layer may write over it
        return hook
    hooks = [layer_of(network, name).register_forward_hook(keep(name)) for name in layers]
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs


class _Reached(Exception):
    """Carries the output of the last layer of a Cut out of the network."""


class Cut(nn.Module):
    """
    A network up to the output of one layer, which :meth:`forward` returns as features (B, D).

    The layers behind it are gone; that may be most of the weights.

    Parameters
    ----------
    network : nn.Module
        Changed by this.
    layer : str
        Name of the last layer, such as `features.30` (the last pooling of VGG16).
    side : int
        Height and width of the images that the features are for.

    `size` is D, the number of features.  Raises ValueError for a layer that is unknown or takes no
    part.

    """

    def __init__(self, network, layer: str, side: int):
        super().__init__()
        self.network = network.eval()
        layer_of(network, layer).register_forward_hook(self._stop)
        self.size = self._prune(layer, side)

    @staticmethod
    def _stop(module, inputs, output):
        raise _Reached(output)

    @torch.no_grad()
    def _prune(self, layer, side) -> int:
        """Replace the layers that do not work for one image; return the number of features."""
        used = set()
        leaves = {name: module for name, module in self.network.named_modules()
                  if not list(module.children())}
        hooks = [module.register_forward_pre_hook(lambda _, __, name=name: used.add(name))
                 for name, module in leaves.items()]
        device = next(self.network.parameters()).device
        try:
            size = self(torch.zeros(1, 3, side, side, device=device)).shape[1]
        except (RuntimeError, ValueError) as error:
            raise ValueError(f'layer {layer!r} gives no features for images of {side} x {side} '
                             f'pixels ({error})') from error
        finally:
            for hook in hooks:
                hook.remove()
        for name in set(leaves) - used:
            parent, _, child = name.rpartition('.')
            setattr(self.network.get_submodule(parent), child, nn.Identity())
        return size

    def forward(self, images):
        """Return the features (B, D) of images (B, 3, side, side)."""
        try:
            self.network(images)
        except _Reached as reached:
            return reached.args[0].flatten(1)
        raise ValueError('the layer at the cut takes no part')
