"""
Features on disk: what a cut network says about every crop, written once and then learned from.

Rows are appended to a file of float32 as they are computed, so an extraction that was killed goes
on where it stopped, and the file may be larger than the memory.
"""
from __future__ import annotations

from dataclasses import asdict
import hashlib
import json
from pathlib import Path

from acme_tracking.files import write_whole
from acme_tracking.networks.classifier import Normalise, stretched
from acme_tracking.training.crops import expected, stream
import numpy as np
import torch
from tqdm import tqdm


class Features:
    """
    Features of the crops of some banks.

    values: float32 (N, D), memory-mapped.
    labels: str (N,); groups: int (N,), the image that a crop is from.
    """

    def __init__(self, path, size: int, labels, groups):
        """Open a finished file of rows of `size` values."""
        self.labels, self.groups = np.array(labels, dtype=str), np.array(groups, dtype=np.int64)
        self.values = np.memmap(path, np.float32, 'r', shape=(len(labels), size))


def extract(cut, specification, banks, path, batch=32, device='cpu', progress=True) -> Features:
    """
    Return the features of all crops of some banks, computed or, if they are there, read.

    cut: a networks.activations.Cut; specification: of the classifier to be, for input and margin.
    Writes `path` (.f32) and `path` with the suffix .json, which says of what they are.  Raises
    ValueError when there is no crop.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    index = path.with_suffix('.json')
    key = _key(cut, specification, banks)
    known = json.loads(index.read_text()) if index.is_file() else {}
    if known.get('key') != key:
        path.unlink(missing_ok=True)  # of another network, layer or bank
        known = {'key': key}
        write_whole(index, lambda new: new.write_text(json.dumps(known)))
    if 'labels' not in known:
        known |= _append(cut, specification, banks, path, batch, device, progress)
        write_whole(index, lambda new: new.write_text(json.dumps(known)))
    return Features(path, cut.size, known['labels'], known['groups'])


def _append(cut, specification, banks, path, batch, device, progress) -> dict:
    """Write the rows that are missing; return the labels and groups of all rows."""
    labels, groups, waiting = [], [], []
    width = 4 * cut.size
    done = path.stat().st_size // width if path.exists() else 0
    normalise, cut = Normalise(specification).to(device), cut.eval().to(device)
    with path.open('r+b' if done else 'wb') as file, tqdm(
            total=expected(banks), unit='crop', desc='features', dynamic_ncols=True,
            disable=not progress) as bar:
        file.truncate(done * width)  # a row may have been cut off
        file.seek(0, 2)

        def flush():
            images = torch.from_numpy(np.stack(waiting)).to(device)
            with torch.inference_mode():
                rows = cut(normalise(images)).float().cpu().numpy()
            file.write(rows.tobytes())
            file.flush()
            waiting.clear()
        for image, label, group in stream(banks, specification.margin):
            labels.append(label)
            groups.append(group)
            bar.update()
            if len(labels) > done:
                waiting.append(stretched(image, specification.input_size))
                if len(waiting) == batch:
                    flush()
        if waiting:
            flush()
    return {'labels': labels, 'groups': groups}


def _key(cut, specification, banks) -> str:
    """Return a hash of all that the features depend on."""
    digest = hashlib.sha256()
    entries = {name: value for name, value in asdict(specification).items() if name != 'classes'}
    digest.update(json.dumps(entries, sort_keys=True).encode())
    for name, tensor in sorted(cut.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    for bank in banks:
        for image in bank.images:
            digest.update(str(image.path.resolve()).encode() + image.boxes.tobytes()
                          + image.labels.tobytes() + image.ignored.tobytes())
    return digest.hexdigest()
