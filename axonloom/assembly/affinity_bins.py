"""Histograms of affinities, and their quantiles as exact fractions.

A quantile of all contacts between two objects is no sum, but their histogram is: integers that add up in any order. Within a
bin the affinities count as spread evenly, so that the quantile is a fraction and not one of a few values: the inverse of a
distribution function that is linear over each bin. A mixture of two distributions has its quantile between theirs, as a mean
has, so that merging never raises the best score to a third object (the method is that of waterz' HistogramQuantileAffinity,
Funke et al. 2019, there with 256 bins and their centres).
"""

from __future__ import annotations

import numpy as np

from axonloom.kernel import kernel

BINS = 32
"""Bins of eight stored affinities each."""
BIN_BITS = 3

MOST_CONTACTS = 2**32
"""A bin counts in 32 bits."""


def require_few_contacts(contacts: int) -> None:
    """Refuse what two objects have in contact where a bin could not count it.

    Raises
    ------
    ValueError
    """
    if contacts >= MOST_CONTACTS:
        raise ValueError(f"two objects have {contacts} contacts: too many for a histogram; score by the mean")


@kernel
def quantile(histogram, percent):
    """The affinity that ``percent`` of the contacts do not exceed, as a fraction of int64 on the stored scale of 0..255.

    With n contacts the affinity t is looked for at which percent / 100 * n of them lie below; the k-th of 32 bins spans
    k/32 to (k + 1)/32 of the scale.

    Parameters
    ----------
    histogram : uint32 (BINS,)
        At least one contact.
    percent : int
        1..99.
    """
    contacts = np.int64(0)
    for k in range(len(histogram)):
        contacts += np.int64(histogram[k])
    wanted = percent * contacts
    below = np.int64(0)
    k = 0
    while 100 * (below + np.int64(histogram[k])) < wanted:
        below += np.int64(histogram[k])
        k += 1
    inside = np.int64(histogram[k])
    # 255/32 * (k + (wanted / 100 - below) / inside)
    return 51 * (100 * k * inside + wanted - 100 * below), 640 * inside
