"""What instructions ask for: their root verb and its object, found without a parser.

The paper (arXiv:2406.08464, figure 3) parses sentences. Here the first sentence is read from the left: polite openings
are passed over ("could you please", "I want you to"), the next word is taken for the verb if it is among some 250 verbs
that instructions use, and the object is the last word of the phrase that follows, up to a preposition, a conjunction or
a mark. It reads English imperatives only and says nothing about other sentences; :class:`VerbCount` tells how many.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

_VERBS = frozenset(
    """
    act add advise analyze answer apply argue arrange ask assess assume balance begin brainstorm break build
    calculate categorize change check choose cite clarify classify clean code collect combine comment compare
    compile complete compose compress compute configure connect consider construct continue convert correct
    count craft create critique debug decide define delete demonstrate derive describe design detail detect
    determine develop devise differentiate discuss display distinguish divide do draft draw edit elaborate
    eliminate enhance estimate evaluate examine expand explain explore express extend extract fill filter find
    finish fix follow form format formulate generate get give group guess guide help highlight identify
    illustrate imagine implement improve include indicate infer insert install integrate interpret introduce
    invent investigate judge justify label lead learn let list locate look make manage match measure mention
    merge model modify multiply name note offer optimize order organize outline output paraphrase perform pick
    plan play plot point predict prepare present pretend print produce propose prove provide punctuate put
    rank rate read rearrange recall recite recommend record reduce refactor refine remove rename render
    reorder reorganize repeat replace reply report represent research resolve respond restate return reverse
    review revise rewrite rhyme role rephrase round run say search select send sequence set shorten show
    simplify simulate sketch solve sort speak specify spell split start state stop structure study submit
    subtract suggest summarize support synthesize take talk tell test think trace train transcribe transform
    translate try turn underline understand update use validate verify visualize walk watch work write
    """.split()  # noqa: SIM905 - a list of 250 lines reads worse
)
_SPELLINGS = {"analyse": "analyze", "summarise": "summarize", "organise": "organize", "optimise": "optimize"}
_OPENING = re.compile(
    r"^(?:(?:please|kindly|hi|hello|hey|now|then|next|first|ok|okay|so|well)[\s,!.]+"
    r"|(?:can|could|would|will) you (?:please |kindly |help me (?:to )?)?"
    r"|(?:i (?:want|need|would like|'d like)|i’d like) you to |help me (?:to )?|let's "
    r"|your task is to |you (?:must|should) )+"
)
_WORD = re.compile(r"[a-z][a-z'’-]*")
_PASSED_OVER = frozenset(
    """
    a an the this that these those my your our their his her its me us him them it some any each every all one two three
    four five six seven eight nine ten several few many more most very
    """.split()  # noqa: SIM905
)
_ENDS = frozenset(
    """
    of in on at for to from with without by about into over under between among as that which who whose when where while
    if because and or but so using based than then is are was were be has have had can could will would should may
    before after during like such including given
    """.split()  # noqa: SIM905
)
_QUESTIONS = frozenset({"how", "what", "why", "when", "where", "who", "which", "whether", "if"})


@dataclass(slots=True)
class VerbCount:
    """Root verbs with their objects; ``n`` instructions were read, ``unknown`` of them gave no verb."""

    n: int = 0
    unknown: int = 0
    verbs: Counter[str] = field(default_factory=Counter)
    objects: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, instruction: str) -> None:
        """Read one instruction."""
        self.n += 1
        found = root_verb(instruction)
        if found is None:
            self.unknown += 1
            return
        verb, thing = found
        self.verbs[verb] += 1
        if thing:
            self.objects.setdefault(verb, Counter())[thing] += 1

    def take_in(self, later: VerbCount) -> None:
        """Add what was counted elsewhere."""
        self.n += later.n
        self.unknown += later.unknown
        self.verbs.update(later.verbs)
        for verb, objects in later.objects.items():
            self.objects.setdefault(verb, Counter()).update(objects)

    def table(self, verbs: int = 20, objects: int = 5) -> list[tuple[str, int, str]]:
        """The most frequent verbs: how often, and their most frequent objects."""
        return [
            (verb, n, ", ".join(f"{o} {k}" for o, k in self.objects.get(verb, Counter()).most_common(objects)))
            for verb, n in self.verbs.most_common(verbs)
        ]


def root_verb(instruction: str) -> tuple[str, str | None] | None:
    """The verb that opens an instruction, and its object where one is plain to see; None for any other sentence."""
    text = instruction.strip()[:300].lower().lstrip("#*-–> \t\n\"'`")
    text = _OPENING.sub("", text)
    first = re.split(r"[.!?\n:;]", text, maxsplit=1)[0]
    words = first.replace(",", " , ").split()
    if not words:
        return None
    verb = _SPELLINGS.get(words[0], words[0])
    if verb not in _VERBS:
        return None
    thing: str | None = None
    for word in words[1:9]:
        if word in _QUESTIONS and thing is None:
            return verb, word
        if word in _ENDS or not _WORD.fullmatch(word):
            break
        if word not in _PASSED_OVER:
            thing = word
    return verb, thing
