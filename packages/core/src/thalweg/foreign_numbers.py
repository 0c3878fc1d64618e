"""What the tensors of a foreign checkpoint have to be: finite floating-point numbers."""

from collections.abc import Mapping

from torch import Tensor

from thalweg.errors import DataError


def check_numbers(state_dict: Mapping[str, Tensor]) -> None:
    """Make sure that all tensors can be the weights of a network.

    Raises:
        DataError: naming the first that cannot.
    """
    for name, tensor in state_dict.items():
        if tensor.is_quantized or not tensor.is_floating_point():
            raise DataError(
                f"the checkpoint's '{name}' is of {tensor.dtype}, and weights are floating-point numbers; "
                f"export them as such, without counters"
            )
        # As the network will hold it: what is too large for float32 is lost there.
        if not tensor.float().isfinite().all():
            raise DataError(
                f"the checkpoint's '{name}' holds numbers that are not finite, such as NaN; take a "
                f"checkpoint from before training diverged"
            )
