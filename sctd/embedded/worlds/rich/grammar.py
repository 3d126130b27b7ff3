"""Free phrases => subjects of the rich world.

A scanner takes the longest known phrase at each word; a small state machine reads the phrases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from sctd.embedded.words import VIEW_WORDS, Table, not_known, refusal, split, take
from sctd.embedded.worlds.rich import phrases
from sctd.embedded.worlds.rich.kinds import KINDS
from sctd.embedded.worlds.rich.subjects import Subject, Thing, Worn

MAX_WORDS = 32
_ARTICLES = frozenset(("a", "an", "the"))
_NOUNS = ("kind", "wear", "hold")


@dataclass(frozen=True)
class Token:
    """A phrase of the prompt, by what it may be: role => name. A crown is a kind and a thing to wear."""

    text: str
    roles: dict[str, str]


@cache
def lexicon() -> dict[tuple[str, ...], dict[str, str]]:
    """Phrase, as words without articles => what it may be."""
    found: dict[tuple[str, ...], dict[str, str]] = {}

    def add(role: str, table: Table) -> None:
        for name, texts in table.items():
            for text in texts:
                found.setdefault(tuple(text.split()), {}).setdefault(role, name)

    for role, table in _TABLES:
        add(role, table)
    for name, texts in phrases.KINDS.items():
        for text in texts:
            if text not in phrases.NO_PLURAL:
                plural = phrases.PLURALS.get(text, f"{text}s")
                found.setdefault(tuple(plural.split()), {}).setdefault("kinds", name)
    for role, texts in _MARKS.items():
        for text in texts:
            found.setdefault(tuple(text.split()), {}).setdefault(role, text)
    return found


_TABLES: tuple[tuple[str, Table], ...] = (
    ("kind", phrases.KINDS),
    ("color", phrases.COLORS),
    ("style", phrases.STYLES),
    ("costume", phrases.COSTUMES),
    ("wear", phrases.WEARS),
    ("hold", phrases.HOLDS),
    ("pose", phrases.POSES),
    ("relation", phrases.RELATIONS),
    ("map", phrases.MAPS),
    ("filler", phrases.FILLERS),
)
_MARKS = {
    "skiing": phrases.SKIING,
    "spell": phrases.SPELL,
    "ballet": phrases.BALLET,
    "wearing": phrases.WEARING,
    "dressed": phrases.DRESSED,
    "holding": phrases.HOLDING,
}


def tokens(prompt: str) -> Iterator[Token]:
    """The phrases of a prompt, longest first at each place.

    Raises:
        PromptError: a word begins no known phrase.
    """
    words = [word for word in split(prompt.replace("-", " ").replace("'s", "")) if word not in _ARTICLES]
    words, _ = take(words, VIEW_WORDS)
    if len(words) > MAX_WORDS:
        raise refused(f"the prompt has {len(words)} words and it reads at most {MAX_WORDS}")
    known, at = lexicon(), 0
    unknown: list[str] = []
    while at < len(words):
        for length in range(min(7, len(words) - at), 0, -1):
            text = tuple(words[at : at + length])
            if text in known:
                if not unknown:
                    yield Token(" ".join(text), known[text])
                at += length
                break
        else:
            unknown.append(words[at])
            at += 1
    if unknown:
        raise refused(not_known(unknown, (table for role, table in _TABLES if role != "filler")))


def refused(reason: str) -> Exception:
    """The error for a prompt from outside the rich world."""
    return refusal(reason, Subject.world, describe())


def describe() -> str:
    """What the rich world holds, in a few words."""
    return (
        f"it draws one or two things of {len(KINDS)} kinds, such as 'a blue car', 'a wooden teapot' or "
        "'a corgi wearing a top hat'"
    )


@dataclass
class _Reader:
    """The state of the machine: the things so far, adjectives that wait for a noun, the next noun."""

    things: list[Thing] = field(default_factory=list)
    relation: str = ""
    map: str = ""
    color: str = ""
    style: str = ""
    costume: str = ""
    pose: str = ""
    wears: tuple[Worn, ...] = ()
    holds: Worn | None = None
    wanted: str = "kind"
    loose: str = ""
    """A relation that may turn out to be one of garments: "in"."""

    def read(self, token: Token) -> None:
        roles = token.roles
        if "map" in roles:
            self.map = self._once("map", self.map, roles["map"])
        elif self.wanted in ("dressed", "wear") and "costume" in roles and "wear" not in roles:
            self._attach("costume", roles["costume"])
            self.wanted = "kind"
        elif any(role in roles for role in (*_NOUNS, "kinds")) and self._noun(roles):
            pass
        elif "color" in roles:
            self.color = self._once("colour", self.color, roles["color"])
        elif "style" in roles:
            self._adjective("style", roles["style"])
        elif "costume" in roles:
            self._adjective("costume", roles["costume"])
        elif "skiing" in roles:
            self._props(Worn("skis"))
        elif "spell" in roles:
            self._props(Worn("wand"))
        elif "ballet" in roles:
            self._adjective("pose", "dancing")
            self._clothes(Worn("tutu"))
        elif "dressed" in roles:
            self.wanted = "dressed"
        elif "wearing" in roles or "relation" in roles:
            self._connect(token)
        elif "holding" in roles:
            self.wanted = "hold"
        elif "pose" in roles:
            self._adjective("pose", roles["pose"])
        elif "filler" not in roles:
            raise refused(f"it cannot read '{token.text}' here")

    def _connect(self, token: Token) -> None:
        """ "in" and "with" are followed by a garment or, "in" alone, by a place."""
        dressing = self.wanted == "wear" and token.text == "and"  # "a hat and a scarf"
        self.loose = token.roles.get("relation", "")
        self.wanted = "wear" if "wearing" in token.roles or dressing else "kind"
        if self.loose and not self.things:
            raise refused(f"'{token.text}' has nothing before it")

    def _noun(self, roles: dict[str, str]) -> bool:
        """Take a noun for the expected role; returns whether it was taken."""
        if self.wanted == "wear" and "wear" in roles:
            self._clothes(Worn(roles["wear"], self._adjectives()))
        elif self.wanted in ("wear", "hold") and "hold" in roles:
            self._props(Worn(roles["hold"], self._adjectives()))
        elif "kind" in roles or "kinds" in roles:
            self._thing(roles)
        elif "wear" in roles:
            self._clothes(Worn(roles["wear"], self._adjectives()))
        else:
            return False
        self.loose = ""
        return True

    def _thing(self, roles: dict[str, str]) -> None:
        if self.things and not self.loose:
            raise refused("the prompt names two things and does not say how they are together")
        if len(self.things) == 2:
            raise refused("the prompt names more than two things")
        if self.things:
            self.relation, self.loose = self.loose, ""
        single = "kind" in roles
        thing = Thing(roles["kind"] if single else roles["kinds"], count=1 if single else 2)
        thing = replace(thing, color=self.color, style=self.style, costume=self.costume, pose=self.pose)
        thing = replace(thing, wears=self.wears, holds=self.holds)
        self.color = self.style = self.costume = self.pose = ""
        self.wears, self.holds = (), None
        self.things.append(thing)
        self.wanted = "kind"

    def _adjectives(self) -> str:
        """The colour that waits for a garment; garments take no style."""
        color, self.color = self.color, ""
        self.wanted = "wear"
        return color

    def _adjective(self, what: str, value: str) -> None:
        """Before a noun it waits. After one, a style applies to the last thing, all else to the first."""
        if not self.things or (self.loose and what == "style"):
            setattr(self, what, self._once(what, getattr(self, what), value))
        else:
            self._attach(what, value, -1 if what == "style" else 0)

    def _attach(self, what: str, value: str, which: int = 0) -> None:
        if not self.things:
            setattr(self, what, value)
            return
        self._once(what, getattr(self.things[which], what), value)
        changed: dict[str, Any] = {what: value}
        self.things[which] = replace(self.things[which], **changed)

    def _clothes(self, worn: Worn) -> None:
        if self.things:
            self.things[0] = replace(self.things[0], wears=(*self.things[0].wears, worn))
        else:
            self.wears = (*self.wears, worn)

    def _props(self, worn: Worn) -> None:
        if self.things:
            if self.things[0].holds:
                raise refused("the prompt puts more than one thing into a hand")
            self.things[0] = replace(self.things[0], holds=worn)
        else:
            self.holds = worn

    def _once(self, what: str, before: str, value: str) -> str:
        if before and before != value:
            raise refused(f"the prompt gives more than one {what}")
        return value

    def finish(self) -> Subject:
        if not self.things:
            raise refused("the prompt names no kind of object")
        if self.color:  # "a car that is red"
            self.things[0] = replace(
                self.things[0], color=self._once("colour", self.things[0].color, self.color)
            )
        for name in ("style", "costume"):
            if value := getattr(self, name):
                self._attach(name, value)
        other = self.things[1] if len(self.things) > 1 else None
        return checked(Subject(self.things[0], self.relation, other, self.map))


def check_prompt(prompt: str) -> Subject:
    """Read a prompt such as ``"a DSLR photo of a corgi wearing a top hat, back view"``.

    Raises:
        PromptError: a word is unknown, nothing is named, or things do not go together.
    """
    reader = _Reader()
    for token in tokens(prompt):
        reader.read(token)
    return reader.finish()


def checked(subject: Subject) -> Subject:
    """The subject, if its parts go together: only creatures wear, hold, pose and ride.

    Raises:
        PromptError: says what does not.
    """
    for thing in (subject.thing, subject.other):
        if thing is None or KINDS[thing.kind].alive:
            continue
        if thing.wears or thing.holds or thing.costume or thing.pose:
            raise refused(f"{thing.kind} is no creature that wears, holds or does something")
    if subject.other is None:
        return subject
    below = KINDS[subject.other.kind]
    if subject.relation == "riding" and (below.seat is None or not KINDS[subject.thing.kind].alive):
        raise refused(
            f"{subject.thing.kind} cannot ride {subject.other.kind}; there is a seat on {_with('seat')}"
        )
    if subject.relation == "on" and below.top is None:
        raise refused(f"nothing stands on {subject.other.kind}; there is room on {_with('top')}")
    if subject.relation == "in" and below.seat is None:
        raise refused(f"nothing sits in {subject.other.kind}; there is room in {_with('seat')}")
    if subject.relation == "hatching from" and subject.other.kind != "egg":
        raise refused("things hatch from an egg alone")
    if subject.other.count > 1 or subject.thing.count > 1:
        raise refused("of two kinds that are together there is one each")
    return subject


def _with(place: str) -> str:
    return ", ".join(name for name, kind in KINDS.items() if getattr(kind, place) is not None)
