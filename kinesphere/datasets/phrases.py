"""What can be said about one event: tables of templates (see ``grammar``) by kind, direction, side and height.

Each table lists wordings that mean the same. ``{s}`` is the side (left, right), ``{o}`` the other one.
"""

from __future__ import annotations

from typing import Final

from kinesphere.datasets.events import Event

WALK: Final = {
    "forward": (
        "[walk] forward", "[walk] forwards", "[walk] ahead", "[walk] straight ahead", "[walk]", "[walk] in a straight line",
        "[stroll] forward", "[step] forward", "[move] forward on foot", "[go] forward at a walk", "[take] several steps forward",
        "[stride] ahead", "[take] a few steps ahead", "[pace] forward", "[go] for a walk", "[advance] on foot",
        "[make] <their> way forward", "[walk] onward", "[stroll] along", "[move] ahead step by step",
        "[wander] forward", "[amble] along", "[march] forward", "[walk] away", "[start] walking forward",
    ),
    "backward": (
        "[walk] backward", "[walk] backwards", "[step] backward", "[step] backwards", "[move] backwards", "[walk] in reverse",
        "[go] backwards", "[back] up", "[back] away", "[retreat] backward", "[take] several steps back", "[reverse] on foot",
        "[walk] back without turning around", "[move] in reverse", "[stroll] backwards", "[step] back again and again",
        "[go] in reverse", "[take] steps backwards", "[pace] backward", "[move] back", "[walk] rearward", "[step] away backwards",
    ),
    "sideways": (
        "[walk] sideways to the {s}", "[sidestep] to the {s}", "[step] sideways to the {s}", "[move] sideways to the {s}",
        "[shuffle] to the {s}", "[step] to the {s}", "[move] to the {s}", "[go] sideways toward the {s}", "[side-step] {s}",
        "[take] side steps to the {s}", "[slide] over to the {s}", "[shift] sideways to <their> {s}", "[walk] to <their> {s} side",
        "[take] a few steps sideways to the {s}", "[move] {s} sideways", "[walk] laterally to the {s}",
    ),
    "diagonal": (
        "[walk] diagonally to the {s}", "[walk] forward and to the {s}", "[walk] toward the {s}", "[walk] to the {s}",
        "[veer] to the {s} while walking", "[move] diagonally forward to the {s}", "[drift] to the {s} on foot",
        "[go] forward and {s}", "[step] to the {s}", "[move] to the {s}", "[sidestep] to the {s} while moving ahead",
        "[walk] ahead at an angle to the {s}", "[head] to the {s}", "[walk] sideways to the {s}", "[step] sideways to the {s}",
        "[stroll] to <their> {s}", "[move] over to the {s}",
    ),
    "back-diagonal": (
        "[walk] backward to the {s}", "[step] back and to the {s}", "[move] backwards and {s}", "[back] away to the {s}",
        "[retreat] diagonally to the {s}",
    ),
}  # fmt: skip
RUN: Final = {
    "forward": (
        "[run] forward", "[run]", "[jog] forward", "[run] ahead", "[run] straight ahead", "[jog]", "[sprint] forward", "[dash] forward",
        "[race] ahead", "[run] forwards", "[run] in a straight line", "[rush] forward", "[go] for a run", "[jog] along",
        "[dash] ahead", "[hurry] forward at a run", "[trot] forward", "[run] off", "[start] running", "[move] forward running", "[take] off running", "[jog] straight ahead",
    ),
    "backward": ("[run] backward", "[run] backwards", "[jog] backwards", "[run] in reverse", "[move] back quickly"),
    "sideways": ("[run] sideways to the {s}", "[shuffle] quickly to the {s}", "[dash] sideways to the {s}", "[move] fast to the {s}"),
    "diagonal": ("[run] diagonally to the {s}", "[run] to the {s}", "[jog] forward and to the {s}", "[dash] to the {s}"),
    "back-diagonal": ("[run] backward to the {s}", "[move] quickly back and to the {s}"),
}  # fmt: skip
PACE: Final = {
    "slow": ("slowly", "at a slow pace", "in no hurry", "unhurriedly", "leisurely", "with slow steps"),
    "fast": ("quickly", "briskly", "at a fast pace", "fast", "rapidly", "in a hurry"),
    "normal": ("at a normal pace", "steadily", "calmly", "at an even pace", "at a medium speed"),
}
TURN: Final = {
    "slight": ("[turn] slightly {s}", "[turn] a little to the {s}", "[veer] {s}", "[curve] to the {s}", "[turn] to the {s}"),
    "quarter": (
        "[turn] {s}", "[turn] to the {s}", "[turn] 90 degrees to the {s}", "[make] a {s} turn", "[take] a {s} turn",
        "[make] a quarter turn to the {s}", "[rotate] to the {s}", "[go] around a corner to the {s}", "[swing] round to the {s}",
        "[turn] toward <their> {s}", "[rotate] {clock}", "[change] direction to the {s}", "[turn] {clock}", "[hang] a {s}",
        "[face] {s}", "[pivot] to the {s}", "[turn] at a right angle to the {s}", "[bear] {s}", "[make] a turn to <their> {s} side",
    ),
    "half": (
        "[turn] around", "[turn] around to the {s}", "[turn] back over <their> {s} side", "[make] a half turn to the {s}",
        "[turn] 180 degrees {clock}", "[face] the other way", "[make] a u-turn to the {s}", "[turn] right round {clock}",
    ),
    "full": (
        "[spin] around", "[spin] {clock}", "[turn] in a full circle to the {s}", "[whirl] around to the {s}", "[twirl] around",
        "[rotate] all the way around {clock}", "[do] a full spin to the {s}", "[pirouette] to the {s}",
    ),
}  # fmt: skip
RAISE_ONE: Final = (
    "[raise] <their> {s} hand", "[raise] <their> {s} arm", "[lift] <their> {s} hand", "[lift] <their> {s} arm", "[put] <their> {s} hand up",
    "[put] up <their> {s} hand", "[hold] up <their> {s} hand", "[bring] <their> {s} hand up", "[raise] the {s} hand",
    "[raise] the {s} arm", "[lift] the {s} hand", "[stick] <their> {s} hand up", "[bring] <their> {s} hand upward", "[hold] <their> {s} arm up",
    "[reach] up with <their> {s} hand", "[lift] up the {s} arm", "[extend] <their> {s} arm upward", "[raise] a hand, the {s} one",
    "[point] <their> {s} hand to the sky", "[stretch] <their> {s} arm up", "[have] <their> {s} hand raised",
)  # fmt: skip
RAISE_BOTH: Final = (
    "[raise] both hands", "[raise] both arms", "[lift] both hands", "[lift] both arms", "[put] both hands up", "[hold] up both hands",
    "[raise] <their> hands", "[raise] <their> arms", "[lift] <their> arms", "[bring] both arms up", "[put] <their> hands up",
    "[throw] both hands up", "[raise] the left and the right hand together", "[lift] both of <their> hands", "[reach] up with both hands",
    "[hold] both arms up", "[reach] for the sky with both hands", "[stretch] both arms upward", "[extend] <their> arms upward",
    "[have] both hands raised",
)  # fmt: skip
LEVEL: Final = {
    "overhead": (
        "above <their> head",
        "over <their> head",
        "high",
        "high up",
        "up high",
        "in the air",
        "overhead",
        "up in the air",
        "",
    ),
    "head": (
        "to head height",
        "beside <their> head",
        "in the air",
        "to the level of <their> head",
        "up",
        "",
        "",
    ),
    "shoulder": ("to shoulder height", "to shoulder level", "up to the shoulder", "", ""),
    "chest": ("to the chest", "in front of the chest", "to chest height"),
}
RAISE_EXTRA_ONE: Final = (
    "[raise] <their> {s} hand as if to ask a question", "[raise] <their> {s} hand and [lower] it again", "[lift] <their> {s} arm, then [drop] it",
    "[put] <their> {s} hand up like a pupil in class", "[bring] the {s} hand up and back down", "[volunteer] by raising the {s} hand",
)  # fmt: skip
RAISE_EXTRA_BOTH: Final = (
    "[raise] both hands as if to surrender", "[lift] both arms and [lower] them again", "[put] both arms up, then [drop] them",
    "[throw] <their> arms up as in a cheer", "[bring] both hands up and back down", "[surrender] with both hands up",
)  # fmt: skip
WAVE_ONE: Final = (
    "[wave] <their> {s} hand", "[wave] with the {s} hand", "[wave] with <their> {s} hand", "[wave] the {s} hand", "[wave] hello with <their> {s} hand",
    "[wave] goodbye with the {s} hand", "[greet] someone with <their> {s} hand", "[say] hello by waving the {s} hand",
    "[wave] <their> {s} arm", "[wave] to somebody with the {s} arm", "[raise] <their> {s} hand and [wave]", "[lift] the {s} arm and [wave] it",
    "[move] <their> raised {s} hand from side to side", "[swing] <their> {s} hand to and fro in greeting", "[wave] at a friend using the {s} hand",
    "[signal] by waving <their> {s} arm", "[say] goodbye with <their> {s} hand", "[hold] up the {s} hand and [wave] it around",
    "[shake] <their> raised {s} hand back and forth", "[greet] with a wave of the {s} hand", "[give] a wave with the {s} hand",
    "[use] <their> {s} hand to wave", "[wave]", "[wave] hello", "[wave] goodbye", "[beckon] with a waving {s} hand",
    "[flap] <their> {s} hand at someone", "[wag] the raised {s} hand",
)  # fmt: skip
WAVE_BOTH: Final = (
    "[wave] both hands", "[wave] with both hands", "[wave] both arms", "[wave] <their> arms", "[wave] <their> hands", "[wave] both hands in the air",
    "[wave] hello with both hands", "[wave] goodbye with both arms", "[raise] both hands and [wave] them", "[lift] both arms and [wave]",
    "[swing] both raised hands from side to side", "[greet] someone by waving both hands", "[say] goodbye with both hands",
    "[signal] with both arms", "[move] both hands to and fro above the shoulders", "[wave] with the left and right hand together",
    "[wave] <their> arms to get attention", "[give] a big two-handed wave", "[flap] both hands in the air", "[wave] hello", "[wave] wildly with both hands",
    "[use] both hands to wave",
)  # fmt: skip
BOW: Final = {
    "": (
        "[bow]", "[take] a bow", "[bend] forward at the waist", "[bow] politely", "[lean] forward in a bow", "[bend] the upper body forward",
        "[make] a bow", "[bow] in greeting", "[bend] over and [straighten] up again", "[bow] to someone", "[bow] forward", "[bend] forward",
        "[tilt] <their> upper body forward respectfully", "[lower] <their> head and torso in a bow", "[show] respect with a bow", "[greet] someone with a bow", "[incline] the upper body", "[lean] the torso forward",
    ),
    "deep": ("[bow] deeply", "[bend] far forward", "[make] a deep bow", "[bend] down at the waist", "[bow] low", "[bow]", "[take] a bow", "[bend] over forward"),
    "slight": ("[bow] slightly", "[bow]", "[give] a small bow", "[nod] forward with the upper body", "[lean] forward a little", "[bow] briefly", "[bend] forward slightly"),
    "floor": (
        "[bend] down to the floor", "[reach] down to the ground", "[bend] over and [touch] the floor", "[stoop] down low",
        "[lean] down as if to pick something up", "[bend] down and [reach] for the ground",
    ),
}  # fmt: skip
CROUCH: Final = {
    "": ("[crouch]", "[crouch] down", "[bend] <their> knees", "[duck] down", "[get] low", "[dip] down", "[lower] <their> body", "[squat] a little"),
    "deep": ("[squat] down", "[crouch] down low", "[squat]", "[drop] into a deep squat", "[crouch] close to the floor", "[lower] <their> body into a squat"),
}  # fmt: skip
SIT: Final = ("[sit] down", "[sit]", "[take] a seat", "[stay] seated", "[sit] with bent legs")
KICK: Final = {
    "high": ("[kick] high with the {s} leg", "[do] a high kick with the {s} foot", "[swing] the {s} leg up high", "[kick] up with <their> {s} leg"),
    "waist": ("[kick] at waist height with the {s} foot", "[throw] a {s} kick"),
    "low": ("[kick] low with the {s} foot", "[kick] a ball with <their> {s} foot"),
    "": (
        "[kick] with the {s} leg", "[kick] with <their> {s} foot", "[kick]", "[strike] out with the {s} foot", "[kick] out <their> {s} leg",
        "[swing] <their> {s} leg in a kick", "[give] a kick with the {s} foot", "[lash] out with the {s} leg", "[kick] something with the {s} foot", "[deliver] a kick with the {s} leg", "[throw] a kick", "[kick] forward with the {s} foot",
    ),
}  # fmt: skip
LEG: Final = (
    "[raise] <their> {s} leg",
    "[lift] the {s} leg",
    "[lift] <their> {s} foot off the ground and [hold] it up",
    "[balance] with the {s} leg raised",
)
PUNCH: Final = {
    "one": (
        "[punch] with the {s} hand", "[throw] a punch with <their> {s} fist", "[punch]", "[jab] with the {s} hand", "[strike] forward with the {s} fist",
        "[hit] the air with <their> {s} hand", "[throw] a {s} punch", "[punch] forward with <their> {s} arm",
    ),
    "both": (
        "[punch]", "[throw] punches", "[box]", "[punch] several times", "[punch] with both fists", "[throw] a series of punches", "[jab] and [punch]",
        "[strike] with <their> fists", "[punch] the air", "[shadowbox]",
    ),
}  # fmt: skip
JUMP: Final = {
    "place": ("[jump]", "[jump] up", "[hop]", "[leap] up", "[jump] into the air", "[spring] up off the ground", "[jump] on the spot", "[jump] straight up", "[do] a jump", "[leap] into the air", "[bounce] up", "[hop] up and down", "[jump] off the ground", "[jump] with both feet"),
    "forward": ("[jump] forward", "[leap] forward", "[hop] forward", "[jump] ahead", "[jump]", "[leap] ahead", "[do] a forward jump", "[spring] forward", "[bound] forward"),
    "backward": ("[jump] backward", "[hop] back", "[leap] backwards", "[jump] back"),
    "sideways": ("[jump] to the {s}", "[hop] sideways to the {s}", "[leap] to the {s}", "[jump] sideways"),
}  # fmt: skip
LIE: Final = {
    "up": ("[get] up from the floor", "[rise] from the ground", "[stand] up from lying down", "[get] back on <their> feet", "[get] up off the ground"),
    "down": ("[lie] down", "[go] down to the floor", "[lie] down on the ground", "[drop] to the floor", "[get] down on the floor"),
    "through": ("[roll] on the floor and [stand] up", "[go] down to the ground and [get] up again", "[roll] over the ground"),
    "stay": ("[lie] on the floor", "[stay] down on the ground", "[lie] on the ground"),
    "crawl": ("[crawl] forward", "[crawl] on hands and knees", "[crawl] along the floor", "[move] on all fours", "[creep] over the ground"),
}  # fmt: skip
INVERTED: Final = {
    "cartwheel": (
        "[do] a cartwheel",
        "[perform] a cartwheel",
        "[cartwheel]",
        "[turn] a cartwheel over the hands",
    ),
    "handstand": ("[do] a handstand", "[stand] on <their> hands", "[balance] upside down on both hands"),
    "roll": ("[do] a forward roll", "[roll] over the ground", "[tumble] over", "[roll] head over heels"),
    "flip": ("[do] a flip", "[flip] over in the air", "[do] a somersault", "[perform] an acrobatic flip"),
}
ENERGETIC: Final = (
    "[move] energetically",
    "[move] the whole body quickly",
    "[move] in a lively way",
    "[exercise] vigorously",
)
STAND: Final = (
    "[stand] still", "[stay] in place", "[stand]", "[remain] standing", "[wait] without moving", "[stand] quietly", "[stand] on the spot",
    "[stand] idle", "[hold] still", "[do] nothing but stand", "[shift] <their> weight while standing",
)  # fmt: skip
TIMES: Final = {1: "once", 2: "twice", 3: "three times", 4: "four times", 5: "five times", 6: "six times"}


def templates(event: Event) -> tuple[str, ...]:
    """All wordings of ``event``, ``{s}`` and its like filled in, without pace."""
    side = event.side if event.side in ("left", "right") else "left"
    clock = "counterclockwise" if side == "left" else "clockwise"
    return tuple(text.format(s=side, clock=clock) for text in _table(event))


def _table(event: Event) -> tuple[str, ...]:
    match event.kind:
        case "walk":
            return WALK[event.way]
        case "run":
            return RUN[event.way]
        case "turn":
            return TURN[turn_size(event.amount)]
        case "raise":
            table = RAISE_BOTH if event.side == "both" else RAISE_ONE
            extra = RAISE_EXTRA_BOTH if event.side == "both" else RAISE_EXTRA_ONE
            ends = [f" {text}" if text else "" for text in LEVEL[event.way]]
            raised = tuple(
                _joined(text, ends[(5 * i + j) % len(ends)]) for i, text in enumerate(table) for j in range(2)
            )
            return raised + (extra if event.way in ("overhead", "head", "shoulder") else ())
        case "wave":
            return WAVE_BOTH if event.side == "both" else WAVE_ONE
        case "bow":
            return BOW[event.way]
        case "crouch":
            return CROUCH[event.way]
        case "sit":
            return SIT
        case "kick":
            return KICK[""] + KICK[event.way]
        case "leg":
            return LEG
        case "punch":
            return PUNCH["both" if event.side == "both" or event.count > 2 else "one"]
        case "jump":
            again = TIMES.get(event.count, "several times")
            return (
                JUMP[event.way] if event.count == 1 else tuple(f"{text} {again}" for text in JUMP[event.way])
            )
        case "lie":
            return LIE[event.way]
        case "inverted":
            return INVERTED[event.way]
        case "energetic":
            return ENERGETIC
        case _:
            return STAND


def _joined(text: str, end: str) -> str:
    """No second "up" after a first one, no height where the wording has its own."""
    said = any(word in text for word in (" up", "upward", "sky", "raised"))
    return text if (said and not end.startswith((" above", " over", " to"))) or "sky" in text else text + end


def turn_size(degrees: float) -> str:
    """slight, quarter, half or full."""
    return "slight" if degrees < 60 else "quarter" if degrees < 130 else "half" if degrees < 260 else "full"
