"""A fine-tuned backbone as a checkpoint that `geoexport build --weights` takes at any frame."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from ...export.backbones.dinov3 import PERIODS
from ...export.backbones.sam import SamEncoder
from ...export.backbones.sam_keys import of_encoder
from ...export.backbones.vit import VisionTransformer
from ...export.backbones.vit_keys import renamed
from .sam_offsets import TABLES, unfolded
from .unfreezing import Network

_PARAMETRISED = re.compile(rf"\.parametrizations\.({'|'.join(TABLES)})\.original$")
_TABLE = re.compile(rf"\.({'|'.join(TABLES)})$")


def whole_state(network: Network, source: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """A backbone's tensors as the exporter names them.

    Positions that do not learn are those of the source, not what became of them at this frame:
    interpolated twice they would be others. Blocks after the recipe's last tap are not in it, nor
    a final norm that the recipe does not tap.

    source: the checkpoint the weights were taken from; None for random ones.
    """
    own = {_PARAMETRISED.sub(r".\1", key): x for key, x in network.state_dict().items()}
    if isinstance(network, SamEncoder):
        return own | _sam_positions(own, source)
    return own | _dino_positions(network, source)


def _dino_positions(
    network: VisionTransformer, source: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    found = renamed(source, len(network.blocks)) if source is not None else {}
    return {key: found[key] for key in ("position", PERIODS) if key in found}


def _sam_positions(
    own: Mapping[str, Tensor], source: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    found = of_encoder(source) if source is not None else {}
    frozen = {key: x for key, x in own.items() if _TABLE.search(key) and x.ndim == 3}
    tables = {key: found[key] if key in found else unfolded(x) for key, x in frozen.items()}
    return tables | {key: found[key] for key in ("pos_embed",) if key in found}
