"""The geometry-aware subset: keypoints that look like others of the same object.

"Telling Left from Right" (CVPR 2024), section 3: a group of look-alike keypoints counts for a
pair when at least two of them are visible in the target and at least one in both images; the
mutually visible ones of all such groups are the subset.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..datasets import Pair
from ..datasets.keypoints import similar_groups


def geometry_aware(dataset: str, pair: Pair) -> NDArray[np.bool_] | None:
    """Which of the pair's K mutually visible keypoints are in the subset (K,).

    None where the dataset's keypoints have no table of look-alikes.
    """
    groups = similar_groups(dataset, pair.category)
    if groups is None:
        return None
    chosen = np.zeros(len(pair.ids), np.bool_)
    for group in groups:
        members = np.isin(pair.ids, group)
        if (members & pair.target.visible).sum() >= 2:
            chosen |= members & pair.mutual
    return chosen[pair.mutual]
