from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from axonloom.segmentation.edge_queue import ENDS
from axonloom.segmentation.pair_table import FREE, edge_in, entry, free_slots, pair_of, remove, slot_of


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_a_full_table_with_removals_finds_what_a_dictionary_finds(edges, seed):
    """At two thirds full, entries lie far from home: what is taken out must leave no gap before them."""
    rng = np.random.default_rng(seed)
    slots = free_slots(edges)
    rows = np.zeros((edges, 4), np.int64)
    known: dict[int, int] = {}
    free = list(range(edges))
    for _ in range(200):
        u, v = (int(n) for n in rng.choice(12, 2, replace=False))
        pair = pair_of(u, v)
        assert pair == pair_of(v, u)
        slot = slot_of(slots, rows, pair)
        if pair in known:
            assert edge_in(slots[slot]) == known[pair]
            if rng.random() < 0.6:
                remove(slots, rows, pair)
                free.append(known.pop(pair))
        else:
            assert slots[slot] == FREE
            if free:
                known[pair] = free.pop()
                rows[known[pair], ENDS] = pair
                slots[slot] = entry(pair, known[pair])
    assert np.count_nonzero(slots != FREE) == len(known)


def test_two_pairs_of_one_hash_are_two():
    """The hash keeps the leading bits of a product: its inverse gives pairs that differ below them only."""
    back = pow(0x9E3779B97F4A7C15, -1, 2**64)
    one = pair_of(0, 1)
    others = ((one + back * k) % 2**64 for k in range(1, 1000))
    other = next(p for p in others if p >> 32 < p & 0xFFFFFFFF < 2**31 and entry(p, 0) == entry(one, 0))
    assert other != one
    slots = free_slots(2)
    rows = np.zeros((2, 4), np.int64)
    rows[0, ENDS], slots[slot_of(slots, rows, one)] = one, entry(one, 0)
    assert slots[slot_of(slots, rows, other)] == FREE
    rows[1, ENDS], slots[slot_of(slots, rows, other)] = other, entry(other, 1)
    assert edge_in(slots[slot_of(slots, rows, one)]) == 0
    remove(slots, rows, one)
    assert edge_in(slots[slot_of(slots, rows, other)]) == 1
