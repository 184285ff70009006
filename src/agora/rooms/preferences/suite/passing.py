"""pass@k: the chance that at least one of k samples passes, estimated without bias from n samples of which c pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agora.core.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


def pass_at_k(n: ArrayLike, c: ArrayLike, k: int) -> NDArray[np.float64]:
    """``1 - C(n - c, k) / C(n, k)`` for whole arrays, exact to rounding for any size.

    The ratio is the product of ``1 - k / i`` over i = n - c + 1 .. n; its logarithm is a difference of two entries of
    one running sum, so that nothing overflows and small chances keep their digits.

    Args:
        n: samples drawn, at least k each.
        c: samples that passed, 0 to n.
        k: at least 1.

    Raises:
        ConfigError: a count is out of its range.
    """
    import numpy as np

    n_I, c_I = np.broadcast_arrays(np.asarray(n, dtype=np.int64), np.asarray(c, dtype=np.int64))
    if k < 1 or (n_I < k).any():
        raise ConfigError(
            f"pass@{k} needs at least {max(k, 1)} samples a problem", hint="draw more samples, or lower k"
        )
    if ((c_I < 0) | (c_I > n_I)).any():
        raise ConfigError("the number that passed must be from 0 to the number drawn")
    steps = np.zeros(int(n_I.max(initial=0)) + 1)
    above = np.arange(k + 1, len(steps))
    steps[k + 1 :] = np.log1p(-k / above)
    sums = np.cumsum(steps)
    failed = n_I - c_I
    chance: NDArray[np.float64] = np.abs(np.expm1(sums[n_I] - sums[failed]))  # never above 0 before, nor -0.0 now
    return np.where(failed < k, 1.0, chance)
