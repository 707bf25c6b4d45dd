from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from debtool.audit.calls import CallGraph
from debtool.audit.image import ENTRY_KINDS

EXPORTED, INIT = (1 << ENTRY_KINDS.index(kind) for kind in ("exported", "init"))

nodes = st.integers(1, 12)
graphs = st.tuples(st.sets(st.tuples(nodes, nodes)), st.dictionaries(nodes, st.integers(1, 15)))


@given(graphs)
def test_callers_and_callees_are_the_edges_and_their_way_back(
    given_graph: tuple[set[tuple[int, int]], dict[int, int]],
) -> None:
    edges, entries = given_graph
    graph = CallGraph(edges, entries)
    for node in range(14):
        assert graph.callees(node) == {to for of, to in edges if of == node}
        assert graph.callers(node) == {of for of, to in edges if to == node}


@given(graphs, st.sets(nodes))
def test_chains_are_real_and_are_found_if_there_are_any(
    given_graph: tuple[set[tuple[int, int]], dict[int, int]], avoiding: set[int]
) -> None:
    edges, entries = given_graph
    graph = CallGraph(edges, entries)
    wanted = {"exported", "init"}
    reached = {start for start, mask in entries.items() if mask & (EXPORTED | INIT)} - avoiding
    while more := {to for of, to in edges if of in reached} - reached - avoiding:
        reached |= more
    came = graph.reachable(wanted, avoiding=avoiding)
    assert set(came) == reached
    for node in range(14):
        chain = graph.reached_from(wanted, node, avoiding=avoiding)
        assert bool(chain) == (node in reached)
        for found in (chain, graph.chain(came, node)):
            assert bool(found) == (node in reached)
            if found:
                assert not wanted.isdisjoint(graph.entries[found[0]])
                assert found[-1] == node
                assert not avoiding.intersection(found)
                assert all(pair in edges for pair in pairwise(found))


def test_the_shortest_chain_is_shown() -> None:
    graph = CallGraph([(1, 2), (2, 3), (3, 4), (1, 4)], {1: INIT})
    assert graph.reached_from({"init"}, 4) == (1, 4)
    assert graph.chain(graph.reachable({"init"}), 4) == (1, 4)
    assert graph.reached_from({"exported"}, 4) == ()
