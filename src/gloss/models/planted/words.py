"""The words of the planted text."""

from collections.abc import Iterator
from itertools import product


def split_words(words: str) -> tuple[str, ...]:
    """The words, one by one."""
    return tuple(words.split())


NOUNS = split_words("""
lantern harbour meadow kettle violin copper saddle orchard thimble walrus pepper canyon ribbon
anchor beetle castle dagger ember falcon garlic hammer island jacket kernel ladder marble needle
oyster pebble quiver raven saffron tunnel urchin velvet wagon yarrow zephyr acorn basket candle
dolphin engine feather goblet hollow igloo jasmine kiosk lagoon mantle nectar onion parcel quarry
rocket sparrow timber umpire valley willow almond barrel cactus domino elbow fiddle ginger hatchet
insect jigsaw koala lobster magnet nugget otter pillow quartz rudder satchel turnip utensil vessel
walnut apron bucket cobalt drizzle easel ferret gravel helmet indigo jungle kayak lizard mitten
napkin opal pigeon quilt raisin sandal tulip violet whistle zebra amber badger cinder donkey envoy
fossil glacier hazel iris jester keeper linen mosaic nutmeg oracle pollen rabble scarf talon vinegar
wharf yeoman abbey bramble chimney dahlia ermine fennel gazebo heron ivory jackal knapsack lichen
mulberry nickel orchid parsnip rhubarb sickle tassel vulture wicker zinnia alcove bonnet cistern
dormouse emerald flannel gosling hemlock ingot juniper kipper locket monsoon newt ocelot pulpit
rapier shovel trellis viaduct weasel antler buckle clover dulcimer eyelet fjord gherkin hyacinth
inkwell javelin ketch lattice muslin nostril obelisk paddock rosette spindle tankard vestry winch
aspen bellows cobble dovecote embroidery filbert gondola hamlet isthmus jonquil larder mallet nozzle
oboe plover rafter stirrup thicket vicar woodcock abacus bassoon cutlass dinghy escarpment fescue
gauntlet haddock imp jetty knoll lyre marrow nettle ottoman pewter
""")
DETERMINERS = split_words("a the this every some his her their")
ADJECTIVES = split_words("""
old small quiet heavy green narrow broken warm distant simple empty gentle sharp hidden round pale
wide early plain steady
""")
COMMON_NOUNS = split_words("""
man woman river house road shelf window door garden morning evening letter story market field bridge
winter summer child teacher captain doctor book paper stone tree cloud chair light voice hand street
kitchen corner picture answer question reason place thing year
""")
VERBS = split_words("""
walked found carried left opened watched followed remembered painted crossed reached covered built
sold moved kept held called turned lost
""")
PREPOSITIONS = split_words("near behind below across with without through beside from into")
NAMES = split_words("Anna Boris Clara David Elena Frank Greta Henry")
CODE_NAMES = split_words("value total index items name result path count")
NUMBERS = tuple(
    str(number)
    for number in (*range(10), *range(10, 100, 7), *range(100, 1000, 83), *range(1900, 2000, 9))
)
AFFIXES = [
    ("", "ness"),
    ("un", ""),
    ("", "ward"),
    ("over", ""),
    ("", "able"),
    ("sub", ""),
    ("", "less"),
    ("mis", ""),
    ("", "ship"),
    ("fore", ""),
]
ROOTS = split_words("bold calm cast fold grain land mark tone weld yield")


def fresh_words() -> Iterator[str]:
    """Words that occur nowhere in the background, none twice: the nouns, then compounds of two."""
    yield from NOUNS
    yield from (
        first + second for first, second in product(NOUNS, reversed(NOUNS)) if first != second
    )
