"""What can be asked of a model: lm-eval tasks, drift, spectrum, surprise."""
