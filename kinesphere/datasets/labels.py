"""What the sources say about their own takes: Bandai Namco's file names, CMU's index, DeepMimic's names, as templates.

A template is read by ``grammar.render``; ``{s}`` is a side that changes under mirroring.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Style:
    """How someone moves: adverbial phrases and the subjects that carry the style themselves."""

    adverbs: tuple[str, ...]
    subjects: tuple[str, ...]


STYLES: Final[dict[str, Style]] = {
    "active": Style(("energetically", "in an active way", "in a lively way", "with a lot of energy", "vigorously", "actively"), ("an energetic person", "a lively person", "an active person")),
    "angry": Style(("angrily", "in an angry way", "furiously", "while being angry", "with anger"), ("an angry person", "an angry man", "someone furious")),
    "childish": Style(("childishly", "like a child", "playfully", "in a childlike way", "like a kid"), ("a child", "a kid", "a playful child")),
    "chimpira": Style(("like a thug", "in a cocky way", "with a swagger", "like a punk", "aggressively and casually"), ("a thug", "a punk", "a swaggering man")),
    "elderly": Style(("like an elderly person", "in an elderly way", "like an old man", "with the stiffness of old age", "as old people do"), ("an old man", "an elderly person", "an old woman", "an elderly man", "a grandfather")),
    "exhausted": Style(("wearily", "as if exhausted", "tiredly", "in an exhausted way", "with no strength left", "while worn out"), ("an exhausted person", "a tired person", "a weary man", "someone worn out")),
    "feminine": Style(("in a feminine way", "gracefully", "in a womanly manner", "elegantly"), ("a woman", "a lady", "a girl", "a young lady")),
    "giant": Style(("like a giant", "heavily", "ponderously", "with heavy movements"), ("a giant", "a huge heavy person", "a heavy man")),
    "happy": Style(("happily", "cheerfully", "joyfully", "in a happy way"), ("a happy person", "a cheerful person", "a joyful man")),
    "masculine": Style(("in a masculine way", "in a manly manner", "like a tough man", "sturdily"), ("a man", "a guy", "a strong man", "a tough man")),
    "musical": Style(("as in a musical", "theatrically", "like a stage performer", "with dancing grace"), ("a stage performer", "a musical actor")),
    "normal": Style((), ()),
    "not-confident": Style(("timidly", "without confidence", "hesitantly", "shyly", "nervously"), ("a timid person", "a shy person", "a nervous man")),
    "proud": Style(("proudly", "with pride", "haughtily", "in a proud way"), ("a proud person", "a proud man")),
    "sad": Style(("sadly", "in a sad way", "gloomily", "dejectedly", "with a heavy heart"), ("a sad person", "a sad man", "someone depressed")),
    "youthful": Style(("youthfully", "in a youthful way", "like a young person", "with youthful spring"), ("a young person", "a teenager", "a young man", "a youth")),
}  # fmt: skip
STYLES["old"] = STYLES["elderly"]
STYLES["tired"] = STYLES["exhausted"]
STYLES["masculinity"] = STYLES["masculine"]


@dataclass(frozen=True)
class Content:
    """What a labelled take shows. kinds, side: the events of the reading that must be there for the label to hold in a
    window (none: it holds everywhere). gait: decides the reading's walk or run. templates: wordings beyond those of
    the events. activity: the name of the whole, for readings of movements that events describe poorly.
    """

    kinds: tuple[str, ...] = ()
    side: str = ""
    gait: str = ""
    templates: tuple[str, ...] = ()
    activity: str = ""


_SPRINT = (
    "[dash] forward at full speed",
    "[sprint]",
    "[sprint] forward",
    "[run] as fast as <they> can",
    "[race] forward",
    "[dash] ahead",
    "[run] fast",
    "[bolt] forward",
    "[tear] ahead at a sprint",
)
_GUIDE = (
    "[guide] someone with the {s} hand", "[show] the way with <their> {s} hand", "[point] the way with the {s} arm", "[usher] someone along with the {s} hand",
    "[gesture] to the side with the {s} hand", "[invite] someone to come this way with the {s} hand", "[direct] a visitor with <their> {s} arm",
)  # fmt: skip
CONTENTS: Final[dict[str, Content]] = {
    "bow": Content(("bow",)),
    "bye": Content(("wave", "raise"), "right", templates=("[wave] goodbye with the {s} hand", "[say] bye with the {s} hand", "[wave] bye bye with <their> {s} hand")),
    "byebye": Content(("wave", "raise"), "both", templates=("[wave] goodbye with both hands", "[say] bye bye with both hands", "[wave] farewell with both arms")),
    "call": Content((), templates=("[call] out to someone", "[shout] with the {s} hand at the mouth", "[call] someone loudly", "[lean] forward and [shout]"), activity="call someone"),
    "dance-short": Content((), templates=("[dance]", "[perform] a dance", "[do] a lively dance", "[dance] to music", "[dance] around", "[show] some dance moves", "[do] a dance routine", "[dance] energetically"), activity="dance"),
    "dash": Content(("run",), gait="run", templates=_SPRINT),
    "guide": Content((), templates=_GUIDE, activity="guide someone"),
    "kick": Content(("kick",), templates=("[do] a spinning kick", "[practice] kicks", "[spin] and [kick]", "[kick] high after a spin", "[perform] martial arts kicks", "[kick] with the {s} leg", "[kick]", "[do] a roundhouse kick"), activity="kick"),
    "punch": Content((), templates=("[punch]", "[throw] a punch", "[throw] punches", "[box]", "[punch] forward from a fighting stance", "[strike] with the fists", "[punch] the air", "[fight] with the fists", "[hit] with the fist", "[practice] punches"), activity="punch"),
    "raise-up-both-hands": Content(("raise", "wave"), "both"),
    "raise-up-left-hand": Content(("raise", "wave"), "left"),
    "raise-up-right-hand": Content(("raise", "wave"), "right"),
    "respond": Content((), templates=("[respond] by raising the {o} hand", "[answer] a call with <their> {o} hand", "[raise] the {o} hand in reply"), activity="respond"),
    "run": Content(("run",), gait="run"),
    "slash": Content((), templates=("[slash] with a sword", "[swing] a sword", "[cut] the air with a sword", "[strike] with a blade held in both hands", "[fight] with a sword", "[slash] downward with both hands", "[attack] with a katana"), activity="slash with a sword"),
    "walk": Content(("walk",), gait="walk"),
    "walk-back": Content(("walk",), gait="walk"),
    "walk-left": Content(("walk",), "left", gait="walk", templates=("[walk] to the {o}", "[walk] off to the {o}", "[sidestep] to the {o}", "[move] to the {o}", "[walk] sideways to the {o}")),
    "walk-right": Content(("walk",), "right", gait="walk", templates=("[walk] to the {s}", "[walk] off to the {s}", "[sidestep] to the {s}", "[move] to the {s}", "[walk] sideways to the {s}")),
    "walk-turn-left": Content(("turn", "walk"), "left", gait="walk"),
    "walk-turn-right": Content(("turn", "walk"), "right", gait="walk"),
    "wave-both-hands": Content(("wave",), "both"),
    "wave-left-hand": Content(("wave",), "left"),
    "wave-right-hand": Content(("wave",), "right"),
}  # fmt: skip

# CMU's descriptions: pattern -> (templates, activity for readings, gait). The first that matches is used.
_CMU: Final[tuple[tuple[str, tuple[str, ...], str, str], ...]] = (
    (r"uneven terrain", ("[walk] on uneven terrain", "[walk] over rough ground", "[step] carefully over uneven ground", "[climb] over obstacles while walking"), "walk on uneven ground", ""),
    (r"slow walk", ("[walk] slowly", "[stroll] forward at a slow pace", "[walk] forward slowly", "[take] slow steps forward"), "", "walk"),
    (r"walk/stride|stride", ("[walk] with long strides", "[stride] forward", "[walk] forward with big steps"), "", "walk"),
    (r"^walk$", ("[walk]", "[walk] forward", "[walk] at a normal pace", "[walk] straight ahead", "[stroll] forward"), "", "walk"),
    (r"^run$", ("[run]", "[run] forward", "[jog] forward", "[sprint] ahead", "[run] straight ahead"), "", "run"),
    (r"jump up to grab|reach for", ("[jump] up and [reach] for something high", "[reach] up and [stand] on tiptoe", "[jump] to grab something overhead", "[stretch] up on the toes"), "", ""),
    (r"forward jump$", ("[jump] forward", "[leap] forward", "[do] a forward jump", "[jump] ahead with both feet"), "", ""),
    (r"forward jumps", ("[jump] forward again and again", "[hop] forward several times and [turn] around"), "", ""),
    (r"^jump$|jump stop", ("[jump]", "[jump] up", "[leap] into the air", "[do] a jump", "[jump] off the ground"), "", ""),
    (r"jump, balance", ("[jump] and [balance] on one leg", "[jump] up, then [keep] <their> balance on one foot"), "", ""),
    (r"start hop stop", ("[hop] forward", "[start], [hop] and [stop]", "[hop] along"), "", ""),
    (r"duck underneath", ("[walk] and [duck] under something", "[duck] underneath an obstacle", "[bend] low to pass below a bar"), "", ""),
    (r"start walk stop", ("[walk] like a pop star and [stop]", "[walk] with attitude", "[walk] in a funky style", "[walk] forward and [stop]"), "walk with style", "walk"),
    (r"start walk left", ("[walk] and [turn] left", "[walk] to the left in a funky style"), "walk with style", "walk"),
    (r"start walk right", ("[walk] and [turn] right", "[walk] to the right in a funky style"), "walk with style", "walk"),
    (r"soccer", ("[kick] a soccer ball", "[run] up and [kick] a ball", "[kick] a football"), "kick a ball", ""),
    (r"swordplay", ("[swing] a sword", "[fight] with a sword", "[practice] swordplay", "[slash] and [thrust] with a sword"), "swordplay", ""),
    (r"bend over, scoop", ("[bend] over, [scoop] something up and [lift] it", "[pick] something up from the floor and [raise] <their> arm", "[bend] down and [rise] again"), "", ""),
    (r"crossover dribble, shoot|dribble, shoot", ("[dribble] a basketball and [shoot]", "[play] basketball and [throw] the ball at the hoop"), "play basketball", ""),
    (r"backward dribble", ("[dribble] a basketball backward", "[walk] backward while dribbling a ball", "[step] backwards bouncing a ball"), "dribble a basketball backward", ""),
    (r"sideways dribble", ("[dribble] a basketball sideways", "[move] sideways while bouncing a ball", "[sidestep] while dribbling a ball"), "dribble a basketball sideways", ""),
    (r"left turns", ("[dribble] a basketball and [turn] left", "[dribble] forward, turning left at right angles"), "dribble a basketball", ""),
    (r"right turns", ("[dribble] a basketball and [turn] right", "[dribble] forward, turning to the right"), "dribble a basketball", ""),
    (r"dribble", ("[dribble] a basketball", "[bounce] a ball while walking forward", "[play] with a basketball", "[walk] forward dribbling a ball"), "dribble a basketball", ""),
    (r"salsa", ("[dance] salsa", "[do] a salsa dance", "[dance] with a partner", "[dance] to latin music", "[step] to a salsa rhythm"), "salsa dance", ""),
    (r"^dance", ("[dance]", "[do] a ballet dance", "[perform] modern dance", "[dance] gracefully", "[dance] with turns and leaps"), "modern dance", ""),
    (r"playground.*climb", ("[climb] on playground equipment", "[climb] around at a playground", "[pull] up and [climb] over something", "[climb] and [swing] on bars"), "climb on playground equipment", ""),
    (r"empi|heiansyodan|gedanbarai|oiduki|syutouuke|motorcycle|mawashigeri|gedan", ("[practice] karate", "[perform] a karate form", "[do] martial arts moves", "[step] in a karate stance", "[perform] a kata"), "karate", ""),
)  # fmt: skip
_DEEPMIMIC: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "backflip": (("[do] a backflip", "[flip] backwards in the air", "[somersault] backward"), "backflip"),
    "cartwheel": (("[do] a cartwheel", "[perform] a cartwheel", "[turn] a cartwheel"), "cartwheel"),
    "crawl": (("[crawl] forward", "[crawl] on hands and knees", "[creep] on all fours"), "crawl forward"),
    "dance": (("[dance]", "[do] a dance", "[dance] lively"), "dance"),
    "getup_facedown": (("[get] up from lying face down", "[push] up off the floor and [stand]"), ""),
    "getup_faceup": (("[get] up from lying on <their> back", "[sit] up and [stand]"), ""),
    "jog": (("[jog]", "[jog] forward", "[run] at an easy pace"), ""),
    "jump": (("[jump]", "[jump] up", "[leap] up"), ""),
    "kick": (("[kick]", "[do] a kick", "[kick] forward"), ""),
    "punch": (("[punch]", "[throw] a punch", "[strike] with a fist"), ""),
    "roll": (("[roll] forward over the ground", "[do] a forward roll", "[tumble] over"), "roll forward"),
    "run": (("[run]", "[run] forward", "[sprint] ahead"), ""),
    "sideflip": (("[do] a side flip", "[flip] sideways"), "side flip"),
    "spinkick": (("[do] a spinning kick", "[spin] and [kick]", "[perform] a spin kick"), "spin kick"),
    "spin": (("[spin] around", "[spin] on one foot", "[whirl] around"), "spin"),
    "stealthy": (("[sneak] forward", "[walk] stealthily", "[creep] forward quietly", "[tiptoe] ahead"), "sneak"),
    "walk": (("[walk]", "[walk] forward", "[stroll] along"), ""),
    "zombie": (("[walk] like a zombie", "[stagger] forward with the arms out", "[shuffle] along like a zombie"), "zombie walk"),
}  # fmt: skip
_OTHERS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "md_walk": (("[walk]", "[walk] like a dancer"), ""),
    "md_": (("[dance]", "[perform] modern dance", "[dance] expressively", "[do] a contemporary dance"), "modern dance"),
    "golf_": (("[swing] a golf club", "[play] golf", "[hit] a golf ball", "[do] a golf swing"), "golf swing"),
    "idle": (("[stand] idle", "[stand] still", "[wait] while standing", "[stand] and [shift] <their> weight", "[stand] around", "[stay] in one place"), ""),
}  # fmt: skip


@dataclass(frozen=True)
class Label:
    """Words that belong to a take. content: for checked labels; templates: said of any window of the take."""

    content: Content | None = None
    style: str = "normal"
    templates: tuple[str, ...] = ()
    activity: str = ""
    gait: str = ""


def bandai(stem: str) -> Label:
    """Label of ``dataset-2_wave-left-hand_elderly_012``. Raises KeyError on contents or styles that are not known."""
    _, content, style, _ = stem.split("_")
    known = CONTENTS[content]
    STYLES[style]
    return Label(known, style, (), known.activity, known.gait)


def cmu(description: str) -> Label:
    """Label of one of CMU's descriptions; empty when it says nothing that is understood here."""
    text = description.strip().lower()
    for pattern, templates, activity, gait in _CMU:
        if re.search(pattern, text):
            return Label(None, "normal", templates, activity, gait)
    return Label()


def named(stem: str, table: str) -> Label:
    """Label of a DeepMimic take (table "deepmimic") or of another take whose name speaks (table "other")."""
    entries = _DEEPMIMIC if table == "deepmimic" else _OTHERS
    for key in sorted(entries, key=len, reverse=True):
        if key in stem:
            templates, activity = entries[key]
            gait = "run" if key in ("run", "jog") else "walk" if key in ("walk", "stealthy", "zombie") else ""
            return Label(None, "normal", templates, activity, gait)
    return Label()
