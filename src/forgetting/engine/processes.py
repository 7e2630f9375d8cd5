"""One training over several processes of this machine: `accelerate` shards the model (FSDP).

Each process holds a part of the weights, of their gradients and of the optimiser's moments, and
reads its part of every step's rows. The recipe is the same, and so is its key: the numbers differ
by rounding. With GPUs a process takes one each; without, the processes share the cores.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

VARIABLE = "FORGETTING_PROCESSES"
MOST = 64


class BadProcesses(ValueError):
    """A number of processes that makes no sense, or a training that cannot be shared."""


def asked() -> int:
    """How many processes a training shall have. Raises `BadProcesses`."""
    count = os.environ.get(VARIABLE) or "1"
    if not count.isdigit() or not 1 <= int(count) <= MOST:
        raise BadProcesses(f"processes={count!r}: expected a number from 1 to {MOST}")
    return int(count)


def world() -> int:
    """The number of processes in this process's group; 1 where it is alone."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """This process's place in its group; the first one writes."""
    return int(os.environ.get("RANK", "0"))


def device() -> str:
    """Where this process's model lies: on a GPU of its own, on the CPU where there is none."""
    import torch

    return f"cuda:{rank()}" if torch.cuda.is_available() else "cpu"


def run(count: int, work: Callable[..., Any], *arguments: Any) -> None:
    """Call `work(*arguments)` in `count` processes that form a group, and wait for all.

    Raises `BadProcesses` with what the first process that failed says.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id="forgetting",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        start_method="spawn",
    )
    try:
        elastic_launch(config, work)(*arguments)
    except ChildFailedError as error:
        _, failed = error.get_first_failure()
        text = failed.message["message"] if isinstance(failed.message, dict) else failed.message
        raise BadProcesses(f"processes={count}: one failed: {text}") from error


def shard(trainer: Any) -> None:
    """Let a `transformers.Trainer` of this group shard its model.

    accelerate shards where it is told so before it looks at the devices, and then on GPUs alone;
    on CPUs it would copy the model. Told so afterwards it does the same on both.
    """
    from accelerate import FullyShardedDataParallelPlugin
    from accelerate.utils import DistributedType

    state = trainer.accelerator.state
    state.distributed_type = DistributedType.FSDP
    state.fsdp_plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=list(trainer.model._no_split_modules or []),
        cpu_offload=False,
        activation_checkpointing=False,
    )
    trainer.is_fsdp_enabled = True


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A parameter with the parts of all processes; every process has to ask."""
    part = tensor.detach()
    return part.full_tensor() if hasattr(part, "full_tensor") else part
