"""Training of Inter2Former on annotated images; see `train` and `finetune`."""
