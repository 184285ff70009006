"""The plain English words of the world: every word that its own texts use, and the commonest of English."""

from __future__ import annotations

import re

from agora.microcosm.world import lexicon, stories, verses
from agora.microcosm.world.families import creation, roles
from agora.microcosm.world.grammar import BE_SUBJECTS, NUMBER_WORDS, STATES, TAILS, VERBS
from agora.microcosm.world.rules import FUNCTION_WORDS

_COMMON = """
about above across after again all almost alone along already also always am an and another any anyone around as at
away back bad be beautiful became because become been before began behind being below best better between big both boy
brave but by came can child children city close cold come could country cried dark day days dear deep did different do
does done down during each early easy eat end enough even evening ever every everyone everything eye eyes face family
far fast father feel felt few first food for forest found friend friends from full fun gave get girl give glad go goes
going gone good got great green grew had half hand happy hard has have he heard heart held help helped her here hers
high him his home hope hour how i if in inside into is it its joy just kept kind knew know large last late laughed
learned left life light like liked little live lived long look looked lost lot love loved made man many may me mean
might mine moment more morning most mother much must my near never new next nice night no noon nor not nothing now of
off often old on once one only open or other our out over own part people perhaps person place please put quickly
quiet quietly ran rather really rest right room said same sat saw say says she short should showed side since sister
small smile smiled so some someone something soon sound stay stayed still stood stop strong such suddenly sure sweet
take talk tell than thank thanks that the their them then there these they thing things think this those thought
through time to today together told tomorrow too took toward town tree true turned two under until up upon us used
very village voice wait walked want wanted warm was watched water way we week well went were what when where which
while white who why will wind wish with without woke woman wonderful word words work world would year years yes
yesterday yet you young your hello welcome enjoy luck brother loves singing dancing walking playing running looking
"""


def _collect() -> frozenset[str]:
    texts: list[str] = [_COMMON, " ".join(FUNCTION_WORDS), " ".join(NUMBER_WORDS), " ".join(TAILS), " ".join(STATES)]
    texts += lexicon.PLAIN_WORDS + lexicon.NAMES + lexicon.GOODS + lexicon.FEELINGS + lexicon.DAYS + BE_SUBJECTS
    texts += lexicon.COUNTRY_POOL + lexicon.CITY_POOL + lexicon.GREETING_POOL + lexicon.EXPORT_POOL
    texts += [member for members in lexicon.KINDS.values() for member in members]
    texts += [*lexicon.KINDS, *lexicon.KIND_PLURAL.values()]
    texts += [field for animal in lexicon.ANIMALS for field in animal]
    texts += [field for job in lexicon.JOBS for field in job]
    texts += [f"{verb.base} {verb.third} {verb.past} {' '.join(verb.endings)}" for verb in VERBS]
    texts += [" ".join(words) for words in lexicon.RHYMES]
    texts += stories.all_wordings()
    texts += creation.all_wordings() + roles.all_wordings()
    texts += [line for couplets in verses.COUPLETS.values() for couplet in couplets for line in couplet]
    words = {word for text in texts for word in re.findall(r"[a-z]+", text.lower())}
    return frozenset(words | {word + "s" for word in lexicon.PLAIN_WORDS} | {str(number) for number in range(1000)})


VOCABULARY: frozenset[str] = _collect()
