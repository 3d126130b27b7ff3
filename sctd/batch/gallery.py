"""One web page of a batch's assets, with search and filters; works without a server.

The page names pictures by relative paths, so the folder can be moved or copied as a whole. The browser loads
them as they come into view, so that a page of thousands of assets opens at once. A click on an asset loads
its own page, asset.html, in a frame.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from html import escape
from urllib.parse import quote

from sctd.batch.manifest import Asset, Manifest
from sctd.batch.store import Store
from sctd.run import folder

PAGE = "index.html"
FILES = {
    "contact": (folder.CONTACT,),
    "turntable": (folder.TURNTABLE,),
    "asset": (folder.ASSET, folder.ASSET_MESH),
    "mesh": (folder.MESH,),
    "page": (folder.PAGE,),
}
"""Files of a run folder that the page shows or links to; the first that is there."""


@dataclass(frozen=True)
class Card:
    """One asset as the page shows it."""

    name: str
    """Of its folder, beside the page."""
    prompt: str
    seed: int
    method: str
    state: str
    """queued, running, done or failed."""
    seconds: float | None = None
    """Time of its run; None before it has ended."""
    error: str | None = None
    """Why it failed."""


def cards_of(store: Store) -> list[Card]:
    """The assets of a batch, from its manifest.

    Raises:
        InputError: there is no batch.
    """
    with store.reading() as place, closing(Manifest(place)) as manifest:
        return [_card(asset) for asset in manifest.assets()]


def _card(asset: Asset) -> Card:
    seconds = asset.seconds if asset.state == "done" else None
    error = asset.error if asset.state == "failed" else None
    return Card(asset.name, asset.prompt, asset.seed, asset.method, asset.state, seconds, error)


def write(store: Store, cards: Sequence[Card]) -> str:
    """Write the page beside the assets, whole or not at all; returns its address.

    Args:
        store: holds a run folder for each card, under the card's name, or none yet.
        cards: in the order of the page.
    """
    return store.write(PAGE, page(store.title, cards, store.files()))


def page(title: str, cards: Sequence[Card], files: Container[str]) -> str:
    """The page's HTML.

    Args:
        files: existing files, each as "asset/file".
    """
    title = escape(title)
    rows = [{**asdict(card), **_links(card.name, files)} for card in cards]
    # "</script>" in a prompt would end the script: a browser looks for it before it reads what is inside
    data = json.dumps(rows, ensure_ascii=False).replace("<", "\\u003c")
    states = Counter(card.state for card in cards)
    told = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "no assets yet"
    return _PAGE.format(
        title=title,
        told=escape(told),
        style=_STYLE,
        states=_choices(states),
        methods=_choices(Counter(card.method for card in cards)),
        data=data,
        script=_SCRIPT,
    )


def _links(name: str, files: Container[str]) -> dict[str, str | None]:
    """Relative addresses of the existing files."""
    found = {
        what: next((file for file in choices if f"{name}/{file}" in files), None)
        for what, choices in FILES.items()
    }
    return {what: file and f"{quote(name)}/{file}" for what, file in found.items()}


def _choices(counts: Counter[str]) -> str:
    return "".join(
        f'<option value="{escape(name)}">{escape(name)} ({count})</option>'
        for name, count in sorted(counts.items())
    )


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p>{told}</p>
<form role="search" onsubmit="return false">
<input id="words" type="search" placeholder="words of the prompt" aria-label="words of the prompt" autofocus>
<select id="state" aria-label="state"><option value="">any state</option>{states}</select>
<select id="method" aria-label="method"><option value="">any method</option>{methods}</select>
<select id="order" aria-label="order">
<option value="">as listed</option><option value="prompt">by prompt</option>
<option value="seconds">slowest first</option>
</select>
<output id="count"></output>
</form>
</header>
<main id="cards"></main>
<dialog id="one" aria-labelledby="name">
<form method="dialog">
<h2 id="name"></h2><a id="alone" target="_blank">open alone</a><button>Close</button>
</form>
</dialog>
<noscript>The assets are listed by a script, which this browser does not run.</noscript>
<script id="data" type="application/json">{data}</script>
<script>{script}</script>
</body>
</html>
"""

_STYLE = """
:root { --paper: #fff; --ink: #222; --dim: #666; --line: #ddd; --empty: #f4f4f4; --bad: #b3261e }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16181c; --ink: #e8e8e8; --dim: #a2a6ad; --line: #34383f }
  :root { --empty: #24272d; --bad: #ff8a80 }
}
body { font: 15px/1.4 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 }
header { position: sticky; top: 0; z-index: 1; background: var(--paper) }
header { padding: .6em 1.2em; border-bottom: 1px solid var(--line) }
h1 { font-size: 1.25em; margin: 0 } header p { margin: .1em 0 .5em; color: var(--dim) }
input, select { font: inherit; padding: .25em .5em } input { width: min(24em, 60%) }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(300px, 100%), 1fr)); gap: 16px }
main { padding: 1.2em }
article { border: 1px solid var(--line); border-radius: 6px; overflow: hidden }
article > a, .empty { display: grid; place-items: center; aspect-ratio: 2 / 1 }
.empty { background: var(--empty); color: var(--dim) }
img { width: 100%; height: 100%; object-fit: contain; display: block }
article div { padding: .5em .8em } h2 { font-size: 1em; margin: 0 }
small { color: var(--dim) } .failed small.error { color: var(--bad); display: block }
a { color: inherit } small a { margin-right: .7em }
dialog { width: min(96vw, 1000px); height: min(92vh, 900px); padding: 0; overflow: hidden }
dialog { color: inherit; background: var(--paper); border: 1px solid var(--line); border-radius: 6px }
dialog[open] { display: flex; flex-direction: column }
dialog form { display: flex; gap: 1em; align-items: center; padding: .5em .8em } dialog h2 { flex: 1 }
dialog button { font: inherit; padding: .4em 1em } iframe { flex: 1; width: 100%; border: 0 }
"""

_SCRIPT = """
const cards = JSON.parse(document.getElementById("data").textContent);
const by = id => document.getElementById(id);

function element(kind, text, properties) {
  const made = Object.assign(document.createElement(kind), properties);
  if (text) made.textContent = text;  // never as HTML: prompts are anybody's words
  return made;
}

function drawn(card) {
  const box = element("article", "", { className: card.state });
  if (card.contact) {
    const link = element("a", "", { href: card.page || card.turntable || card.contact });
    if (card.page) link.onclick = event => open(event, card);
    link.append(element("img", "", { src: card.contact, loading: "lazy", alt: "views of " + card.prompt }));
    box.append(link);
  } else {
    box.append(element("div", card.state, { className: "empty" }));
  }
  const below = element("div", "", {});
  const time = card.seconds === null ? "" : ", " + Math.round(card.seconds) + " s";
  below.append(element("h2", card.prompt, {}));
  below.append(element("small", `${card.state}: ${card.method}, seed ${card.seed}${time} `, {}));
  const links = element("small", "", {});
  for (const what of ["asset", "mesh", "turntable", "page"])
    if (card[what]) links.append(element("a", what, { href: card[what] }));
  below.append(links);
  if (card.error) below.append(element("small", card.error, { className: "error" }));
  box.append(below);
  return box;
}

// One asset at a time is in the browser's memory.
function open(event, card) {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;  // a tab of its own
  event.preventDefault();
  by("name").textContent = card.prompt;
  by("alone").href = card.page;
  by("one").append(element("iframe", "", { src: card.page, title: card.prompt + " in 3D" }));
  by("one").showModal();
}
by("one").addEventListener("close", () => by("one").querySelector("iframe").remove());

function show() {
  const words = by("words").value.toLowerCase().split(/\\s+/).filter(Boolean);
  const chosen = cards.filter(card =>
    (!by("state").value || card.state === by("state").value) &&
    (!by("method").value || card.method === by("method").value) &&
    words.every(word => (card.prompt + " " + card.name).toLowerCase().includes(word)));
  if (by("order").value === "prompt") chosen.sort((a, b) => a.prompt.localeCompare(b.prompt));
  if (by("order").value === "seconds") chosen.sort((a, b) => (b.seconds || 0) - (a.seconds || 0));
  by("cards").replaceChildren(...chosen.map(drawn));
  by("count").textContent = chosen.length + " of " + cards.length;
}

// The address holds search and filters, so that a view can be bookmarked and shared.
const inputs = ["words", "state", "method", "order"];
const asked = new URLSearchParams(location.hash.slice(1));
for (const id of inputs) {
  by(id).value = asked.get(id) || "";
  by(id).addEventListener("input", () => {
    const given = inputs.filter(name => by(name).value).map(name => [name, by(name).value]);
    history.replaceState(null, "", "#" + new URLSearchParams(given));
    show();
  });
}
show();
"""
