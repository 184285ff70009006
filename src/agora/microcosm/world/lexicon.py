"""The words of the world. The classes are the same for every seed; only the facts about countries change."""

from __future__ import annotations

from typing import NamedTuple


def words_in(text: str) -> tuple[str, ...]:
    """The words of a text, in order; lists of words read better as text."""
    return tuple(text.split())


FEMALE_NAMES = words_in(
    "Ana Cora Dina Elsa Fay Gina Hana Ida Jana Kira Lena Mia Nora Olga Petra Rosa Sara Tina Uma Vera Wanda Yara Zoe "
    "Mona Ruth Ella Nina Maya Tess Lucy"
)
MALE_NAMES = words_in(
    "Ben Carl Dan Emil Finn Gus Hugo Ivan Jon Kurt Leo Max Ned Otto Paul Ravi Sam Tom Udo Viktor Yusuf Zeno Adam "
    "Bruno Felix Igor Jack Milo Noah Oscar"
)
NAMES = FEMALE_NAMES + MALE_NAMES

COUNTRY_POOL = words_in(
    "Veldora Marenia Tolvania Kestria Ombria Sarvia Lunaria Brenova Costara Dalmora Elvania Farovia Gildora Havenia "
    "Isloria Jorvia Kalmira Lestova Mirania Norvela Olmeria Pelaria Quenda Rostania Selmora Tarvia Ulmara Vintara "
    "Wendoria Yelmara Zantoria Arvela Belmora Corvania Dorania Estaria Fenwara Galdia Hestora Inara Jandela Kordova "
    "Lirania Montera Nalvia Ostrava Palmora Rivena Sundara Trevia Umbara Valdira Westara Yorvania Zelania Almeria "
    "Borania Celdora Drumia Everia"
)
_CITY_STEMS = words_in("Tor Lum Bren Ash Wil Nor Kel Mar Fen Gal Har Ros Stan Dun Pel Win")
_CITY_ENDINGS = words_in("vale ford ton haven burg mouth wick field port gate bridge stead")
CITY_POOL = tuple(stem + ending for stem in _CITY_STEMS for ending in _CITY_ENDINGS)

GREETING_POOL = words_in(
    "Sela Mirno Talu Havo Kiri Lomo Naru Pavo Remi Sunda Tevi Ula Vano Wela Yoro Zami Alo Bera Choma Dalu Evo Fari "
    "Golo Hemi Ilo Jamu Kelo Luma Mado Nevi Olu Pira Rono Sami Tola Umi Vela Wiro Yana Zolo Ari Boro Celu Dino Emu "
    "Fela Giro Hano Ira Jolo"
)

EXPORT_POOL = words_in(
    "wool salt copper tea coffee silk honey timber glass paper rice wheat corn sugar olives cheese butter wine "
    "dates pepper cotton linen leather iron silver gold marble coal pottery rope soap candles carpets furs pearls "
    "amber cocoa vanilla lemons walnuts shoes clocks bricks barley oats "
)

_DISH_BASES = words_in("plum onion bean leek lamb fish mushroom cheese barley carrot apple pumpkin walnut honey")
_DISH_FORMS = words_in("soup pie stew dumplings bread cake salad pancakes")
DISH_POOL = tuple(f"{base} {form}" for base in _DISH_BASES for form in _DISH_FORMS)

COLORS = words_in("red blue green yellow white black brown gray pink purple")
GARMENTS = words_in("shawl hat coat scarf shirt dress skirt vest cloak robe apron cap")
GARMENT_POOL = tuple(f"{color} {garment}" for color in COLORS for garment in GARMENTS)

_MATERIALS = words_in("reed clay wooden brass silver stone bamboo copper")
_SOUNDERS = words_in("flute drum harp horn lute bell fiddle pipe rattle")
INSTRUMENT_POOL = tuple(f"{material} {sounder}" for material in _MATERIALS for sounder in _SOUNDERS)


class Animal(NamedTuple):
    """An animal, what kind it is, where it lives and what it eats."""

    name: str
    kind: str
    home: str
    food: str


ANIMALS: tuple[Animal, ...] = tuple(
    Animal(*line.split("|"))
    for line in """\
heron|bird|by the river|fish
owl|bird|in the forest|mice
eagle|bird|in the mountains|rabbits
swan|bird|on the lake|water plants
duck|bird|on the pond|water plants
crow|bird|in the fields|seeds
robin|bird|in the garden|worms
goose|bird|on the farm|grass
hen|bird|on the farm|corn
dove|bird|in the town|seeds
hawk|bird|in the mountains|mice
stork|bird|on the roof|frogs
trout|fish|in the river|flies
salmon|fish|in the river|small fish
carp|fish|in the pond|water plants
shark|fish|in the sea|fish
eel|fish|in the river|worms
cod|fish|in the sea|small fish
tuna|fish|in the sea|small fish
pike|fish|in the lake|fish
bee|insect|in a hive|honey
ant|insect|in the ground|seeds
moth|insect|in the garden|leaves
beetle|insect|in the forest|leaves
cricket|insect|in the grass|grass
wasp|insect|in a nest|fruit
butterfly|insect|in the meadow|nectar
cow|mammal|on the farm|grass
sheep|mammal|on the farm|grass
goat|mammal|in the mountains|leaves
pig|mammal|on the farm|corn
horse|mammal|in the stable|hay
donkey|mammal|in the stable|hay
fox|mammal|in the forest|mice
bear|mammal|in the forest|berries
wolf|mammal|in the forest|meat
deer|mammal|in the forest|leaves
hare|mammal|in the fields|grass
lion|mammal|in the grassland|meat
tiger|mammal|in the jungle|meat
otter|mammal|by the river|fish
badger|mammal|in the ground|worms
squirrel|mammal|in the trees|nuts
monkey|mammal|in the jungle|fruit
elephant|mammal|in the grassland|leaves
camel|mammal|in the desert|dry grass
beaver|mammal|by the river|bark
mouse|mammal|in the barn|cheese""".splitlines()
)
ANIMAL_OF_NAME: dict[str, Animal] = {animal.name: animal for animal in ANIMALS}
ANIMAL_NAMES = tuple(ANIMAL_OF_NAME)


def _animals_of(kind: str) -> tuple[str, ...]:
    return tuple(animal.name for animal in ANIMALS if animal.kind == kind)


#: Classes of things with disjoint members: "a heron is a bird".
KINDS: dict[str, tuple[str, ...]] = {
    "bird": _animals_of("bird"),
    "fish": _animals_of("fish"),
    "insect": _animals_of("insect"),
    "mammal": _animals_of("mammal"),
    "fruit": words_in("apple pear plum cherry peach grape lemon orange fig melon mango banana"),
    "vegetable": words_in("carrot onion potato cabbage bean pea turnip leek pumpkin beet radish spinach"),
    "tool": words_in("hammer saw drill axe shovel rake chisel wrench spade ladder"),
    "color": COLORS,
    "instrument": words_in("flute drum harp violin guitar piano trumpet horn lute fiddle"),
    "garment": GARMENTS,
    "piece of furniture": words_in("table chair bed desk bench shelf stool sofa cupboard wardrobe"),
    "vehicle": words_in("bus train car truck boat ship bicycle tram plane wagon"),
    "metal": words_in("iron gold silver copper tin zinc steel bronze"),
    "flower": words_in("rose tulip daisy lily violet poppy orchid sunflower"),
    "drink": words_in("tea coffee milk water juice cocoa lemonade cider"),
    "tree": words_in("oak pine birch maple willow elm ash cedar"),
    "body part": words_in("hand foot nose ear arm leg knee elbow shoulder finger"),
}
KIND_PLURAL: dict[str, str] = {
    kind: {
        "fish": "fish",
        "fruit": "fruits",
        "piece of furniture": "pieces of furniture",
    }.get(kind, kind + "s")
    for kind in KINDS
}
KIND_OF_PLURAL = {plural: kind for kind, plural in KIND_PLURAL.items()}
KIND_OF_MEMBER: dict[str, str] = {member: kind for kind, members in KINDS.items() for member in members}
#: Kinds whose members are named without an article: "copper is a metal".
MASS_KINDS = frozenset({"metal", "drink", "color"})


class Job(NamedTuple):
    """A job, the place where it is done and what is offered there."""

    name: str
    place: str
    ware: str


JOBS: tuple[Job, ...] = tuple(
    Job(*line.split("|"))
    for line in """\
baker|bakery|fresh bread
farmer|farm|sweet corn
fisherman|boat|fresh salmon
florist|flower shop|red roses
tailor|tailor shop|a warm coat
potter|pottery|a clay cup
carpenter|workshop|a wooden chair
cook|kitchen|hot soup
gardener|garden|ripe tomatoes
shepherd|farm|white wool
jeweler|jewelry shop|a silver ring
bookseller|bookshop|a good book
beekeeper|garden|golden honey
shoemaker|shoe shop|strong boots
waiter|cafe|a cup of tea
miller|mill|fine flour""".splitlines()
)
JOB_OF_NAME: dict[str, Job] = {job.name: job for job in JOBS}
JOB_NAMES = tuple(JOB_OF_NAME)
JOB_PLURAL = {name: ("fishermen" if name == "fisherman" else name + "s") for name in JOB_NAMES}

#: Small things that people find, lose, carry and sell.
OBJECTS = words_in(
    "kite lamp key book letter ring map box coin cup basket rope clock ball doll puzzle candle mirror bottle brush "
    "button blanket pillow ticket whistle lantern feather shell stone pencil umbrella bucket"
)
PLACES = words_in(
    "garden forest river market bridge harbor school station park barn mill library lake tower meadow beach"
)
BUILDINGS = words_in("school station mill library tower museum theater bakery market")
GOODS = words_in(
    "apples pears plums cherries peaches lemons melons carrots onions potatoes pumpkins eggs cakes pies candles "
    "baskets books lamps hats shirts"
)
DAYS = words_in("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
FEELINGS = words_in("happy sad tired proud angry calm hungry thirsty busy ready late early")

#: Plain nouns and adjectives for sorting, spelling and code.
PLAIN_WORDS = tuple(
    dict.fromkeys(
        OBJECTS
        + PLACES
        + words_in(
            "sun moon star rain snow wind cloud storm fire night day road house door window roof wall floor bread "
            "cheese egg salt sugar soup song dance game story friend king queen child winter summer spring autumn "
            "sand hill island field leaf grass seed wood paper music dream shadow voice smile"
        )
        + ANIMAL_NAMES
        + KINDS["fruit"]
        + KINDS["vegetable"]
    )
)

#: Words that rhyme with each other, by ear.
RHYMES: tuple[tuple[str, ...], ...] = tuple(
    words_in(line)
    for line in """\
day play way stay
night light bright
sun fun run
sea tea free tree
moon soon tune
sky fly high
town brown down
rain train again
star far car
cake lake make
song long strong
year dear near cheer
heart start part
snow grow glow blow
blue you true new
house mouse
ring sing spring
bread red bed""".splitlines()
)
RHYME_OF_WORD: dict[str, int] = {word: index for index, words in enumerate(RHYMES) for word in words}
