"""What a run of fine-tuning can be told."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from ...runtime.recipe import Strict
from ..mirroring import Weight
from ..settings import Batch, Data, Fitting, Positive, Validation


class FinetuneFitting(Fitting):
    """How the blocks are fitted: by default as the study does, for one epoch."""

    epochs: int | None = Field(
        None, ge=1, description="times that all pairs are gone through; 1 where `steps` is not said"
    )
    learning_rate: Positive = Field(1e-4, description="the highest of the schedule")
    weight_decay: Weight = Field(0.01, description="of AdamW")
    schedule: Literal["one-cycle", "cosine", "constant"] = Field(
        "constant", description="how the learning rate changes"
    )
    precision: Literal["fp32", "bf16", "fp16"] | None = Field(
        None,
        description="what is computed in where that is safe, fp16 on GPUs only; "
        "else fp16 for SAM on a GPU, fp32 otherwise",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_epoch(cls, content: Any) -> Any:
        if isinstance(content, dict) and content.get("steps") is content.get("epochs") is None:
            return content | {"epochs": 1}
        return content


class FinetuneSettings(Strict):
    """A run of `geotrain finetune`."""

    recipe: str = Field(description="whose backbone is fine-tuned: a name or a YAML file")
    frame: int | None = Field(None, ge=32, le=4096, description="frame side, where another")
    weights: dict[str, str] = Field(
        {}, description="to begin from: a source by the backbone's name; else the published ones"
    )
    data: Data
    blocks: int | None = Field(
        None,
        ge=0,
        description="how many of the last blocks learn; else 2 of DINOv2, 3 of DINOv3, 4 of SAM",
    )
    temperature: Positive | None = Field(
        None, description="that cosines are divided by; else 1/10 for DINOv2, 1/15 for the others"
    )
    batch: Batch = Batch()
    fitting: FinetuneFitting = FinetuneFitting()
    validation: Validation = Validation()
