"""
The objective: which points answer for which object, and what their predictions cost.

Assignment follows TOOD (Feng et al., 2021): every object takes the points inside it whose own
prediction fits best, and their objectness shall be that fit, so a high score means a good box.
"""
from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

CANDIDATES = 10  # points per object
SCORE_POWER, IOU_POWER = 0.5, 6.0  # fit = score ** 0.5 * iou ** 6, as in YOLOv8's use of TOOD
REACH = 8.0  # pixels: an object smaller than two such still gets the points beside its centre
BOX_WEIGHT, OBJECT_WEIGHT, CLASS_WEIGHT = 5.0, 1.0, 1.5
NEGATIVE_FOCUS = 1.5  # background is weighted by score ** 1.5, as most of it is easy
IGNORED = -1  # label of a box that is neither object nor background
CROWD = 0.5  # an image counts by its number of objects to the power of one minus this
BALANCE = 0.5  # a class counts by its frequency to the power of minus this


def overlap_of(boxes, truth):
    """Return the IoU (N, P) of `boxes` (N, P, 4) with one box of `truth` (N, 4) for each row."""
    truth = truth[:, None]
    sides = torch.minimum(boxes[..., 2:], truth[..., 2:]) - torch.maximum(boxes[..., :2],
                                                                         truth[..., :2])
    intersection = sides.clamp(min=0).prod(dim=-1)
    areas = [(each[..., 2:] - each[..., :2]).prod(dim=-1) for each in (boxes, truth)]
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
def assign(boxes, scores, centers, truth, image):
    """
    Match points to objects.

    boxes (B, P, 4) are predictions and centers (P, 2) their points; truth (N, 4) are the objects
    of all images, image (N,) says of which, and scores (N, P) are the predictions for the class
    of each.  Returns for each point the index of its object (B, P), or -1, and its quality (B, P)
    in [0, 1].
    """
    inside = _inside(centers, truth)
    overlap = overlap_of(boxes[image], truth) * inside
    fit = scores.clamp(min=1e-6) ** SCORE_POWER * overlap ** IOU_POWER
    least = fit.topk(min(CANDIDATES, len(centers)), dim=1).values[:, -1:]
    chosen = (fit >= least) & (fit > 1e-9)
    overlap, fit = overlap * chosen, fit * chosen
    scale = overlap.amax(dim=1) / fit.amax(dim=1).clamp(min=1e-9)
    # A point of several objects belongs to the one that its box overlaps most.
    best = torch.zeros_like(boxes[..., 0]).scatter_reduce_(
        0, image[:, None].expand_as(overlap), overlap, 'amax')
    index, point = torch.nonzero(chosen & (overlap == best[image]), as_tuple=True)
    owner = torch.full_like(best, -1, dtype=torch.long)
    quality = torch.zeros_like(best)
    owner[image[index], point] = index
    quality[image[index], point] = (fit * scale[:, None])[index, point]
    return owner, quality


def _inside(centers, boxes):
    """Tell which of the points (P, 2) are inside each of the boxes (N, 4), bool (N, P)."""
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    offset = (centers - middle[:, None]).abs()
    return (offset < half.clamp(min=REACH)[:, None]).all(dim=-1)


def _points_in(boxes, image, centers, count):
    """Tell which points of `count` images are in any of the boxes (N, 4), bool (count, P)."""
    found = torch.zeros(count, len(centers), device=centers.device)
    return found.index_add_(0, image, _inside(centers, boxes).to(found.dtype)) > 0


def class_weights(labels, classes):
    """
    Return float32 (C,), how much an object of each class counts, from all labels (N,).

    The rare classes of a road count more, but not as much as their rarity says: few examples,
    often repeated, are learnt by heart.  The mean over the objects is 1.
    """
    counts = np.array([np.count_nonzero(labels == name) for name in classes])
    weights = np.maximum(counts, 1.0) ** -BALANCE
    return (weights * max(counts.sum(), 1) / max((weights * counts).sum(), 1e-9)).astype('float32')


def loss(predictions, centers, truth, labels, image, weights):
    """
    Return the mean loss of a batch and its parts.

    predictions: what the network returns for B images; truth (N, 4) are the objects of all of
    them, labels (N,) their classes as the network counts its C, C for a vehicle of unknown kind,
    or IGNORED, and image (N,) says to which image each belongs.  weights (C,) are
    :func:`class_weights`.  Points in an ignored box that belong to no object cost nothing.
    """
    boxes, objectness, classes = predictions
    doubtful = labels == IGNORED
    ignored = _points_in(truth[doubtful], image[doubtful], centers, len(boxes))
    truth, labels, image = (each[~doubtful] for each in (truth, labels, image))
    per_class = torch.cat([classes.detach().softmax(dim=2),
                           torch.ones_like(objectness)[..., None]], dim=2)
    scores = objectness.detach().sigmoid()[image] * per_class[image, :, labels]
    owner, quality = assign(boxes.detach(), scores, centers, truth, image)
    positive = owner >= 0
    mine, weight = owner[positive], quality[positive]
    found = quality.sum(dim=1)
    share = found.clamp(min=1.0) ** -CROWD
    total = (found * share).sum().clamp(min=1.0)
    box = 1 - distance_iou(boxes[positive], truth[mine])
    box = (box * weight * share[image[mine]]).sum() / total
    objects = (_objectness_loss(objectness, quality, positive, ignored) * share).sum() / total
    kinds = _class_loss(classes[positive], labels[mine], weight, image[mine], weights,
                        len(boxes))
    parts = {'box': box, 'object': objects, 'class': kinds}
    value = BOX_WEIGHT * box + OBJECT_WEIGHT * objects + CLASS_WEIGHT * kinds
    return value, {name: part.detach() for name, part in parts.items()}


def _class_loss(logits, labels, weight, image, class_weight, count):
    """
    Return the cross entropy of the points (N, C) of known class, averaged over `count` images.

    Every image counts the same: a street with one bus teaches as much as a motorway full of cars.
    """
    known = labels < logits.shape[1]
    logits, labels, weight, image = logits[known], labels[known], weight[known], image[known]
    totals = torch.zeros(count, device=image.device).index_add_(0, image, weight)
    share = weight / totals[image].clamp(min=1e-6) / (totals > 0).sum().clamp(min=1)
    share = share * class_weight[labels]
    return (functional.cross_entropy(logits, labels, reduction='none') * share).sum()


def _objectness_loss(logits, quality, positive, ignored):
    """
    Return the summed loss of objectness of every image (B,).

    Points of objects learn their quality by cross entropy, the others learn 0, weighted by how
    wrong they are (quality focal loss, Li et al., 2020), unless they are `ignored`.
    """
    found = functional.binary_cross_entropy_with_logits(logits, quality, reduction='none')
    others = functional.softplus(logits) * logits.detach().sigmoid() ** NEGATIVE_FOCUS
    others = others.masked_fill(ignored, 0.0)
    return torch.where(positive, found, others).sum(dim=1)
