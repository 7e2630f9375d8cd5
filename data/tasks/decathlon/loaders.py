"""Documents that the decathlon's generators write."""

from forgetting import decathlon
from forgetting.tasks.documents import splits


def generated(generator, seed, train, test, **_):
    written = decathlon.documents(generator, seed, train, test)
    return splits(written["test"], written["train"])
