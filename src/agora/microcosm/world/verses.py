"""Rhyming couplets, by the word that the second line ends with."""

from __future__ import annotations

import random

from agora.microcosm.world.grammar import capitalized

_COUPLETS = """\
day|We wish you joy, we wish you play,|may laughter fill your happy day.
day|The sun is up, come out and play,|and smile at every passing day.
night|The lamp is small, but warm and bright,|it keeps us company at night.
night|The stars are out, their silver light|will guide you gently through the night.
sun|Come out and play, come out and run,|come dance with us beneath the sun.
sun|The work is over, time for fun,|so let us sit beneath the sun.
sea|The birds above are wild and free,|they fly with joy across the sea.
sea|We found a boat, a map and tea,|and sailed away across the sea.
moon|The owl will sing a quiet tune|beneath the round and silver moon.
moon|Good night, my friend, and see you soon,|we meet again beneath the moon.
sky|Look up and see the swallows fly|like little kites across the sky.
sky|The hill is steep, the hill is high,|and at the top we touch the sky.
town|The leaves of autumn, gold and brown,|are falling softly on the town.
town|The rain is gently falling down|on every roof of our small town.
rain|We took the early morning train|and watched the silver drops of rain.
rain|The fields are green and fresh again,|because of all the summer rain.
star|The way is long, the way is far,|but up above there shines a star.
star|We have no horse, we have no car,|we follow just one little star.
cake|We went for breakfast by the lake|and shared a piece of apple cake.
cake|A birthday song is what we make,|and then we light the candle cake.
song|The road is dark, the road is long,|but we go on and sing a song.
song|The little bird is brave and strong,|it fills the garden with its song.
year|We hope that all you love is near|and wish you well for all the year.
year|We sing for you and give a cheer,|may this become a lovely year.
heart|When it is time for us to part,|I keep your letter in my heart.
heart|A gentle word is how we start|to open up a lonely heart.
snow|The lamps along the river glow|upon a blanket made of snow.
snow|The winter wind begins to blow|and fills the garden with its snow.
blue|The friend I have is kind and true,|her coat is red, her hat is blue.
blue|The flowers in the field are new,|the bells are white, the sky is blue.
house|Behind the door there lives a mouse,|the smallest guest in all the house.
house|I know a brave and clever mouse|that built itself a paper house.
spring|The children in the garden sing,|because today begins the spring.
spring|A golden bell, a silver ring,|they call us out to greet the spring.
bread|The cat is sleeping on the bed,|the kitchen smells of morning bread.
bread|The apples on the tree are red,|we eat them with some cheese and bread."""


def _read_couplets() -> dict[str, tuple[tuple[str, str], ...]]:
    couplets: dict[str, tuple[tuple[str, str], ...]] = {}
    for row in _COUPLETS.splitlines():
        word, first, second = row.split("|")
        couplets[word] = (*couplets.get(word, ()), (first, capitalized(second)))
    return couplets


#: The couplets that end with each word, as pairs of lines.
COUPLETS = _read_couplets()


def write_couplet(rng: random.Random, word: str) -> str:
    """Two rhyming lines, the second of which ends with the word (a key of `COUPLETS`)."""
    return "\n".join(rng.choice(COUPLETS[word]))
