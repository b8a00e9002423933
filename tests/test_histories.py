"""A history tells what clients asked for from what their functions did, and where those ran."""

from cloudburst_runtime.sim.history import Act, History, Spot
from cloudburst_runtime.sim.run import run


def test_steps_are_no_operations_of_clients():
    history = History()
    history.invoke(0.0, "c1", 1, Act("call", "f", {None: []}, call="c1.1"))
    spot = Spot("c1.1", 0, 2, (0, 1), "e1")
    history.invoke(1.0, spot.session, 1, Act("get", "k"), spot)
    history.end(2.0, spot.session, 1, "ok", "a")
    history.end(3.0, "c1", 1, "ok")
    assert [each.act.kind for each in history.operations()] == ["call"]
    assert [(each.act.kind, each.spot) for each in history.everything()] == [("call", None), ("get", spot)]
    assert history.everything()[1].session == "c1.1.0/2"


def test_what_functions_do_to_the_store_is_recorded_with_where_they_ran():
    history = run(1).world.history
    calls = {each.act.call for each in history.operations() if each.act.kind == "call"}
    steps = [each for each in history.everything() if each.spot is not None]
    assert len(steps) > 20
    assert {each.spot.call for each in steps} <= calls
    assert all(each.kind == "ok" for each in steps if each.end is not None)
    behind = [each.spot for each in steps if each.spot.after]
    assert behind
    assert all(node < spot.node for spot in behind for node in spot.after)


def test_a_step_says_what_the_functions_result_says():
    history = run(1).world.history
    steps = [each for each in history.everything() if each.spot is not None and each.act.kind == "put"]
    values = {each.act.value for each in steps}
    terms = [
        each
        for each in history.operations()
        if each.act.kind == "call" and each.act.name == "touch" and each.kind == "ok"
    ]
    told = {value for each in terms for kind, _, value in each.value[3] if kind == "put"}
    assert told
    assert told <= values
