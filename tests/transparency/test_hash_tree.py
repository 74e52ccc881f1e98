"""The hash tree against values of the reference implementation, and its proofs of every size."""

from __future__ import annotations

import hashlib

import pytest

from pipeline.transparency import tree

# leaves and roots of the test of Certificate Transparency's reference code (RFC 6962, 2.1.3)
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}
HASHES = [tree.leaf_hash(str(number).encode()) for number in range(19)]


@pytest.mark.parametrize(("size", "root"), ROOTS.items())
def test_roots_are_those_of_the_reference(size, root):
    assert tree.root([tree.leaf_hash(leaf) for leaf in LEAVES[:size]]).hex() == root


@pytest.mark.parametrize("size", range(1, 20))
def test_every_leaf_is_shown_to_be_in_the_tree_and_nothing_else_is(size):
    hashes, root = HASHES[:size], tree.root(HASHES[:size])
    for index, leaf in enumerate(hashes):
        path = tree.inclusion_path(index, hashes)
        assert tree.is_included(leaf, index, size, path, root)
        assert not tree.is_included(HASHES[(index + 1) % 19], index, size, path, root)
        assert not tree.is_included(leaf, index, size, [*path, leaf], root)
        assert not tree.is_included(leaf, size, size, path, root)
        if size > 1:
            assert not tree.is_included(leaf, (index + 1) % size, size, path, root)
            assert not tree.is_included(leaf, index, size, path[:-1], root)


@pytest.mark.parametrize("size", range(1, 20))
def test_a_tree_is_shown_to_have_grown_from_every_smaller_one_and_no_other(size):
    hashes, root = HASHES[:size], tree.root(HASHES[:size])
    for older in range(1, size + 1):
        path, was = tree.consistency_path(older, hashes), tree.root(HASHES[:older])
        assert tree.is_consistent(older, was, size, root, path)
        other = hashlib.sha256(was).digest()
        assert not tree.is_consistent(older, other, size, root, path)
        assert not tree.is_consistent(older, was, size, other, path)
        assert not tree.is_consistent(older, was, size, root, [*path, root])
        for place in range(len(path)):
            changed = [*path[:place], other, *path[place + 1 :]]
            assert not tree.is_consistent(older, was, size, root, changed)


def test_proofs_are_short():
    hashes = [tree.leaf_hash(str(number).encode()) for number in range(1000)]
    assert len(tree.inclusion_path(500, hashes)) <= 10
    assert len(tree.consistency_path(333, hashes)) <= 11
