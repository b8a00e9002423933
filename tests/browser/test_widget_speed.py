"""How quickly the DAG editor answers with 200 functions and with 1,000; measured in the page."""

from __future__ import annotations

from math import inf
from statistics import median

from playwright.sync_api import Page, expect

from tests.browser.conftest import Opener
from tests.browser.test_widget import START, editor

KINDS = ("zoom", "select", "drag", "pan", "move", "undo")
ROUNDS_MAX = 5
OPERATION_MS_MAX = 50.0
LARGE_OPERATION_MS_MAX = 250.0
GROWN = """import random

def wide(count, name):
    chance = random.Random(7)
    names = [f"step_{{index:03}}" for index in range(count)]
    for each in names:
        cb.function(lambda *results: len(results), name=each)
    ends = [(names[chance.randrange(max(0, at - 25), at)], names[at]) for at in range(1, count)]
    ends += [(names[chance.randrange(max(0, at - 25), at)], names[at]) for at in range(2, count)]
    feeding = {{source for source, _ in ends}}
    ends += [(each, names[-1]) for each in names[:-1] if each not in feeding]
    return cb.dag(name, functions=names, edges=ends)

large = wide({count}, "large")
large"""

MEASURE = """async kinds => {
    const svg = document.querySelector('[data-testid=canvas]');
    const nodes = [...svg.querySelectorAll('[data-node]')];
    const box = svg.getBoundingClientRect();
    const at = (x, y) => ({ bubbles: true, button: 0, clientX: box.left + x, clientY: box.top + y });
    const pointer = (target, kind, x, y) => target.dispatchEvent(new PointerEvent(kind, at(x, y)));
    const press = (key, more = {}) =>
        svg.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, ...more }));
    const frame = () => new Promise(requestAnimationFrame);
    const until = async condition => { while (!condition()) await frame(); };
    const middle = nodes[Math.floor(nodes.length / 2)];
    const acts = {
        zoom: async turn => { press(turn % 2 ? '+' : '-'); svg.getBBox(); },
        select: async turn => {
            const node = nodes[(7 * turn) % nodes.length];
            pointer(node, 'pointerdown', 0, 0); pointer(document, 'pointerup', 0, 0);
            if (!node.classList.contains('selected')) throw new Error('not selected');
            svg.getBBox();
        },
        drag: async turn => { pointer(document, 'pointermove', 9 * turn, 40 + turn); svg.getBBox(); },
        pan: async turn => { pointer(document, 'pointermove', 9 * turn, 40 + turn); svg.getBBox(); },
        move: async () => {
            const rev = svg.dataset.rev;
            press('ArrowRight', { altKey: true });
            await until(() => svg.dataset.rev !== rev);
        },
        undo: async turn => {  // and redo: it may be measured again without another move
            const rev = svg.dataset.rev;
            press('z', { ctrlKey: true, shiftKey: turn % 2 === 1 });
            await until(() => svg.dataset.rev !== rev);
        },
    };
    const measured = {};
    for (const kind of kinds) {
        const times = [];
        if (kind === "move" || kind === "drag") pointer(middle, "pointerdown", 0, 0);
        if (kind === "move") pointer(document, "pointerup", 0, 0);
        if (kind === 'pan') pointer(svg, 'pointerdown', 0, 0);
        for (let turn = 0; turn < 15; turn += 1) {
            await frame();
            const begin = performance.now();
            await acts[kind](turn);
            times.push(performance.now() - begin);
        }
        if (kind === "drag") {
            const rev = svg.dataset.rev;
            pointer(document, 'pointerup', 200, 200);
            await until(() => svg.dataset.rev !== rev);
        }
        if (kind === 'pan') pointer(document, 'pointerup', 200, 200);
        measured[kind] = times.slice(2);
    }
    return measured;
}"""


def measured(page: Page, limit_ms: float) -> dict[str, float]:
    """Milliseconds of each kind of operation, p50: what is seen has changed when the clock stops.

    The best of some rounds: others may be at work on this machine.
    """
    found: dict[str, float] = {}
    for _ in range(ROUNDS_MAX):
        slow = [kind for kind in KINDS if found.get(kind, inf) >= limit_ms]
        times = page.evaluate(MEASURE, slow)
        found |= {kind: min(median(values), found.get(kind, inf)) for kind, values in times.items()}
    print({kind: round(value, 1) for kind, value in found.items()})
    return found


def test_two_hundred_functions_are_fluid(notebook: Opener) -> None:
    opened = notebook([START, GROWN.format(count=200)])
    opened.run_all(seconds=100)
    page = opened.page
    expect(page.locator(".cbd-node")).to_have_count(200)
    editor(page).scroll_into_view_if_needed()
    opened.picture("widget_200", editor(page))
    found = measured(page, OPERATION_MS_MAX)
    page.get_by_test_id("tool-fit").click()
    opened.picture("widget_200_fitted", editor(page))
    assert all(value < OPERATION_MS_MAX for value in found.values()), found
    assert opened.errors() == []


def test_a_thousand_functions_are_usable(notebook: Opener) -> None:
    opened = notebook([START, GROWN.format(count=1000)])
    opened.run_all(seconds=150)
    page = opened.page
    expect(page.locator(".cbd-node")).to_have_count(1000)
    editor(page).scroll_into_view_if_needed()
    opened.picture("widget_1000", editor(page))
    found = measured(page, LARGE_OPERATION_MS_MAX)
    page.get_by_test_id("tool-fit").click()
    opened.picture("widget_1000_fitted", editor(page))
    assert all(value < LARGE_OPERATION_MS_MAX for value in found.values()), found
    assert opened.errors() == []
