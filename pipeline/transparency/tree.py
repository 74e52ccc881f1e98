"""The hash tree of RFC 9162 (Certificate Transparency Version 2.0), section 2.1, with SHA-256.

A leaf's hash begins with 0x00 and a node's with 0x01, so that no node can be shown as a leaf. An
inclusion proof shows that a leaf is in a tree; a consistency proof, that a smaller tree is what a
larger one began as. Both are as long as the tree is deep.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over hashes of leaves, in order (2.1.1)."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    split = _split(len(leaves))
    return node_hash(root(leaves[:split]), root(leaves[split:]))


def inclusion_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """The proof that the leaf at `index` is in the tree over these (2.1.3.1)."""
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_path(index, leaves[:split]), root(leaves[split:])]
    return [*inclusion_path(index - split, leaves[split:]), root(leaves[:split])]


def is_included(
    leaf: bytes, index: int, size: int, path: Sequence[bytes], tree_root: bytes
) -> bool:
    """Whether the proof shows that the leaf stands at `index` of the tree of `size` (2.1.3.2)."""
    if not 0 <= index < size:
        return False
    place, last, value = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if place % 2 or place == last:
            value = node_hash(sibling, value)
            while not place % 2 and place:
                place, last = place >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and value == tree_root


def consistency_path(older_size: int, leaves: Sequence[bytes]) -> list[bytes]:
    """The proof that the tree over these began as the one over the first `older_size` of them, at
    least 1 (2.1.4.1).
    """
    return _subproof(older_size, leaves, is_whole=True)


def is_consistent(
    older_size: int, older_root: bytes, size: int, tree_root: bytes, path: Sequence[bytes]
) -> bool:
    """Whether the proof shows that the tree of `size` began as the older one (2.1.4.2)."""
    if not 0 < older_size <= size:
        return False
    if older_size == size:
        return not path and older_root == tree_root
    nodes = [older_root, *path] if older_size & (older_size - 1) == 0 else list(path)
    if not nodes:
        return False
    place, last = older_size - 1, size - 1
    while place % 2:
        place, last = place >> 1, last >> 1
    older = newer = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if place % 2 or place == last:
            older, newer = node_hash(node, older), node_hash(node, newer)
            while not place % 2 and place:
                place, last = place >> 1, last >> 1
        else:
            newer = node_hash(newer, node)
        place, last = place >> 1, last >> 1
    return last == 0 and older == older_root and newer == tree_root


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def _subproof(older_size: int, leaves: Sequence[bytes], *, is_whole: bool) -> list[bytes]:
    if older_size == len(leaves):
        return [] if is_whole else [root(leaves)]
    split = _split(len(leaves))
    if older_size <= split:
        return [
            *_subproof(older_size, leaves[:split], is_whole=is_whole),
            root(leaves[split:]),
        ]
    return [
        *_subproof(older_size - split, leaves[split:], is_whole=False),
        root(leaves[:split]),
    ]
