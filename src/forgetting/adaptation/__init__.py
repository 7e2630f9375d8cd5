"""May it change while it is asked? Ways of adapting on a stream, one file each.

A way of adapting is a frozen value with `recipe()`; `begin` gives a listener that answers one
question after another, and may remember, or move its weights. `system` makes a System of a
checkpoint and a way.
"""

from forgetting.adaptation.base import Adaptation, Listener, system
from forgetting.adaptation.stream_icl import StreamICL

__all__ = ["Adaptation", "Listener", "StreamICL", "system"]
