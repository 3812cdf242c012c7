"""Fine-tuning: the last blocks of a backbone, so that descriptors of what means the same agree."""
