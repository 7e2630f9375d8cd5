"""Scores of read text: (document, results) to a dictionary."""


def log_likelihood(doc, results):
    """Sum over the text, in nats; the library divides by tokens, which lm-eval does not know."""
    return {"log_likelihood": results[0] if isinstance(results[0], float) else results[0][0]}
