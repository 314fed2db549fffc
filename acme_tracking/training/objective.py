"""
The objective: which points answer for which object, and what their predictions cost.

Assignment follows TOOD (Feng et al., 2021): every object takes the points inside it whose own
prediction fits best, and their objectness shall be that fit, so a high score means a good box.
"""
from __future__ import annotations

from acme_tracking.training.data import CLASSES
import torch
from torch.nn import functional

CANDIDATES = 10  # points per object
SCORE_POWER, IOU_POWER = 0.5, 6.0  # fit = score ** 0.5 * iou ** 6, as in YOLOv8's use of TOOD
REACH = 8.0  # pixels: an object smaller than two such still gets the points beside its centre
BOX_WEIGHT, OBJECT_WEIGHT, CLASS_WEIGHT = 5.0, 1.0, 1.0
NEGATIVE_FOCUS = 1.5  # background is weighted by score ** 1.5, as most of it is easy
TOLERANCE = 0.3  # q of the generalised cross entropy: far vehicles are unlabelled in the bank


def pairwise_iou(a, b):
    """Return the IoU of boxes `a` (..., N, 4) with `b` (..., M, 4) as (..., N, M)."""
    a, b = a.unsqueeze(-2), b.unsqueeze(-3)
    sides = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    intersection = sides.clamp(min=0).prod(dim=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(dim=-1) for boxes in (a, b)]
    return intersection / (areas[0] + areas[1] - intersection).clamp(min=1e-6)


def distance_iou(a, b):
    """Return the distance IoU (Zheng et al., 2020) of paired boxes (N, 4) as (N,)."""
    sides = torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])
    hull = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
    intersection = sides.clamp(min=0).prod(dim=1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(dim=1) for boxes in (a, b)]
    overlap = intersection / (areas[0] + areas[1] - intersection).clamp(min=1e-6)
    gap = (a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]).square().sum(dim=1) / 4
    return overlap - gap / hull.square().sum(dim=1).clamp(min=1e-6)


@torch.no_grad()
def assign(boxes, scores, centers, truth, exists):
    """
    Match points to objects.

    boxes (B, P, 4) and scores (B, P, M) are predictions, the scores for the class of each of the
    M objects; centers (P, 2) the points; truth (B, M, 4) the objects, of which `exists` (B, M)
    tells the real ones from padding.  Returns for each point the index of its object (B, P), or
    -1, and its quality (B, P) in [0, 1].
    """
    middle, half = (truth[..., :2] + truth[..., 2:]) / 2, (truth[..., 2:] - truth[..., :2]) / 2
    offset = (centers[:, None] - middle[:, None]).abs()
    inside = (offset < half.clamp(min=REACH)[:, None]).all(dim=-1) & exists[:, None]
    overlap = pairwise_iou(boxes, truth)
    fit = scores.clamp(min=1e-6) ** SCORE_POWER * overlap ** IOU_POWER * inside
    count = min(CANDIDATES, fit.shape[1])
    least = fit.topk(count, dim=1).values[:, -1:]
    chosen = inside & (fit >= least) & (fit > 1e-9)
    overlap = torch.where(chosen, overlap, torch.zeros_like(overlap))
    best, index = overlap.max(dim=2)
    fit = torch.where(chosen, fit, torch.zeros_like(fit))
    scale = overlap.amax(dim=1) / fit.amax(dim=1).clamp(min=1e-9)
    quality = (fit * scale[:, None]).gather(2, index[..., None])[..., 0]
    taken = best > 0
    return torch.where(taken, index, -1), torch.where(taken, quality, torch.zeros_like(quality))


def loss(predictions, centers, truth, labels):
    """
    Return the mean loss of a batch and its parts as floats.

    predictions: what the network returns; truth (B, M, 4) and labels (B, M) are padded: a label
    is an index of CLASSES, len(CLASSES) for a vehicle of unknown kind, -1 for padding.
    """
    boxes, objectness, classes = predictions
    exists = labels >= 0
    known = exists & (labels < len(CLASSES))
    probabilities = objectness.detach().sigmoid()
    per_class = torch.cat([classes.detach().softmax(dim=2),
                           torch.ones_like(objectness)[..., None]], dim=2)
    index = labels.clamp(min=0)[:, None].expand(-1, boxes.shape[1], -1)
    scores = probabilities[..., None] * per_class.gather(2, index)
    owner, quality = assign(boxes.detach(), scores, centers, truth, exists)
    positive = owner >= 0
    total = quality.sum().clamp(min=1.0)
    objects = _objectness_loss(objectness, quality, positive) / total
    image = torch.arange(len(truth), device=truth.device)[:, None].expand_as(owner)[positive]
    mine, weight = owner[positive], quality[positive]
    box = ((1 - distance_iou(boxes[positive], truth[image, mine])) * weight).sum() / total
    kind = labels[image, mine]
    told = known[image, mine]
    cross = functional.cross_entropy(classes[positive][told], kind[told], reduction='none')
    kinds = (cross * weight[told]).sum() / total
    parts = {'box': box, 'object': objects, 'class': kinds}
    value = BOX_WEIGHT * box + OBJECT_WEIGHT * objects + CLASS_WEIGHT * kinds
    return value, {name: part.item() for name, part in parts.items()}


def _objectness_loss(logits, quality, positive):
    """
    Return the summed loss of objectness.

    Points of objects learn their quality by cross entropy.  The others learn 0 by the generalised
    cross entropy (Zhang and Sabuncu, 2018), which gives up on points that stay sure of an object:
    many of these are real vehicles without a label.
    """
    found = functional.binary_cross_entropy_with_logits(
        logits[positive], quality[positive], reduction='sum')
    probability = logits[~positive].sigmoid()
    background = (1 - (1 - probability).clamp(min=1e-6) ** TOLERANCE) / TOLERANCE
    return found + (background * probability.detach() ** NEGATIVE_FOCUS).sum()
