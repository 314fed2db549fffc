"""
Image banks: labelled images for training and validation, wherever they come from.

`read` recognises the layout of a file or folder and returns a Bank of LabelledImage, `read_all`
the banks of all its splits; iterating a bank decodes one Sample after the other.  `crops` cuts
classification images out of any bank, `checking` looks for what is wrong with some, `converting`
writes one in another layout.  The synthetic road is a bank too: RenderedScenes.
"""
from acme_tracking.training.data.bank import (
    Bank,
    crops,
    LabelledImage,
    labels_for,
    Sample,
)
from acme_tracking.training.data.layouts import LAYOUTS, read, read_all
from acme_tracking.training.data.mapping import read_mapping
from acme_tracking.training.data.rendered import RenderedScenes

__all__ = ['Bank', 'crops', 'LabelledImage', 'labels_for', 'LAYOUTS', 'read', 'read_all',
           'read_mapping', 'RenderedScenes', 'Sample']
