"""Word fields: sets of words that mean the like, or have one form, each with a name.

A field is written out here, word by word, or told by how its words end, so that a rule which names
one runs anywhere, without a model of language. Blanks and capitals around a word do not count.
"""

import re
from dataclasses import dataclass, field

ENDING_FROM = 5  # letters that a word must have to be told by its end


@dataclass(frozen=True)
class WordField:
    """Words that belong together.

    >>> FIELDS["saying"].holds(" Whispered")
    True
    """

    one: str  # what a member is called
    many: str  # what several are called
    words: frozenset[str] = frozenset()  # members, in small letters
    ending: re.Pattern[str] | None = None  # of members besides these
    others: frozenset[str] = field(default=frozenset(), repr=False)  # that end so and are none

    def holds(self, text: str) -> bool:
        """Whether the text is a member."""
        return self.holds_core(text.strip().casefold())

    def holds_core(self, core: str) -> bool:
        """Whether a text is, without blanks around it and in small letters."""
        if core in self.words:
            return True
        return (
            self.ending is not None
            and len(core) >= ENDING_FROM
            and core.isalpha()
            and core not in self.others
            and self.ending.search(core) is not None
        )


def field_of_words(one: str, many: str, words: str) -> WordField:
    """A field of these words."""
    return WordField(one, many, frozenset(words.split()))


def field_of_forms(
    one: str, many: str, ending: str, words: str = "", others: str = ""
) -> WordField:
    """A field of all words that end so, and of these words, but for others."""
    return WordField(
        one,
        many,
        frozenset(words.split()),
        re.compile(rf"(?:{ending})$"),
        frozenset(others.split()),
    )


# by their name in the language; where several hold all of a set, the first names it
FIELDS: dict[str, WordField] = {
    # what glues sentences together
    "article": field_of_words("an article", "articles", "a an the"),
    "demonstrative": field_of_words("a demonstrative", "demonstratives", "this that these those"),
    "possessive": field_of_words(
        "a possessive",
        "possessives",
        "my your his her its our their mine yours hers ours theirs whose",
    ),
    "pronoun": field_of_words(
        "a pronoun",
        "pronouns",
        "i you he she it we they me him her us them myself yourself himself herself itself"
        " ourselves themselves one someone somebody something anyone anybody anything everyone"
        " everybody everything nobody nothing who whom",
    ),
    "asking": field_of_words(
        "a question word",
        "question words",
        "who what when where why how which whose whom whether whatever whenever wherever however",
    ),
    "conjunction": field_of_words(
        "a conjunction",
        "conjunctions",
        "and or but nor so yet because although though while if unless since until whereas"
        " whether than as then",
    ),
    "modal": field_of_words(
        "a modal verb",
        "modal verbs",
        "can could may might must shall should will would cannot can't couldn't won't wouldn't"
        " shouldn't mustn't",
    ),
    "auxiliary": field_of_words(
        "a form of be, have or do",
        "forms of be, have and do",
        "am is are was were be been being have has had having do does did doing done isn't aren't"
        " wasn't weren't haven't hasn't hadn't don't doesn't didn't 'm 're 've 's",
    ),
    "negation": field_of_words(
        "a negation",
        "negations",
        "no not never none nothing nobody neither nor without cannot n't can't won't don't isn't"
        " doesn't didn't wasn't wouldn't couldn't shouldn't",
    ),
    "preposition": field_of_words(
        "a preposition",
        "prepositions",
        "of in on at by for from to with without into onto upon over under above below between"
        " among through during before after against about around across along behind beside"
        " beyond near off out up down inside outside toward towards within per via despite except"
        " until since than like as beneath past amid",
    ),
    "quantity": field_of_words(
        "a word of quantity",
        "words of quantity",
        "all some any many much few several most more less least each every both enough half"
        " whole lots plenty various numerous little none another other",
    ),
    "numeral": field_of_words(
        "a number word",
        "number words",
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
        " fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy"
        " eighty ninety hundred thousand million billion dozen",
    ),
    "ordinal": field_of_words(
        "a word of order",
        "words of order",
        "first second third fourth fifth sixth seventh eighth ninth tenth last next previous"
        " final former latter initial",
    ),
    # what sentences are about
    "month": field_of_words(
        "a month",
        "months",
        "january february march april may june july august september october november december jan"
        " feb mar apr jun jul aug sep sept oct nov dec",
    ),
    "weekday": field_of_words(
        "a day of the week",
        "days of the week",
        "monday tuesday wednesday thursday friday saturday sunday mon tue wed thu fri sat sun",
    ),
    "time": field_of_words(
        "a word of time",
        "words of time",
        "time day days week weeks month months year years hour hours minute minutes second seconds"
        " morning afternoon evening night noon midnight today tomorrow yesterday tonight moment"
        " century decade season spring summer autumn winter date now later soon ago always often"
        " sometimes never again once early late timeout delay duration",
    ),
    "colour": field_of_words(
        "a colour",
        "colours",
        "red blue green yellow orange purple pink brown black white grey gray golden silver violet"
        " gold bright dark cyan magenta colour color",
    ),
    "kin": field_of_words(
        "a member of the family",
        "members of the family",
        "mother father mom mum mommy mummy dad daddy parent parents brother sister son daughter"
        " grandma grandpa grandmother grandfather uncle aunt cousin husband wife baby family child"
        " children brothers sisters sons daughters twin",
    ),
    "person": field_of_words(
        "a person",
        "persons",
        "man woman men women boy girl boys girls person people child children kid kids friend"
        " friends lady gentleman king queen prince princess doctor teacher farmer soldier officer"
        " neighbor neighbour stranger guest user author player actor singer writer president"
        " leader",
    ),
    "title": field_of_words(
        "a title",
        "titles",
        "mr mrs ms miss dr sir lady lord king queen prince princess captain president general"
        " colonel professor saint st uncle aunt",
    ),
    "animal": field_of_words(
        "an animal",
        "animals",
        "dog cat bird fish bear rabbit fox mouse lion tiger elephant monkey horse cow pig sheep"
        " duck chicken frog bee butterfly ant spider snake turtle owl wolf deer squirrel puppy"
        " kitten bunny dogs cats birds animals animal bug worm whale dolphin shark hen goat donkey"
        " dragon dinosaur bears ducks horses",
    ),
    "body": field_of_words(
        "a part of the body",
        "parts of the body",
        "head face eye eyes ear ears nose mouth hand hands arm arms leg legs foot feet finger"
        " fingers hair tail wing wings back heart teeth tooth tongue knee neck shoulder skin toe"
        " body belly tummy paw paws",
    ),
    "food": field_of_words(
        "food",
        "things to eat and drink",
        "cake cookie cookies bread apple apples banana fruit candy ice cream pie soup milk juice"
        " water tea sugar honey egg eggs cheese carrot pizza sandwich salad lunch dinner breakfast"
        " food meal snack berries chocolate lemon rice meat fish vegetables jam tomato",
    ),
    "place": field_of_words(
        "a place",
        "places",
        "house home room garden park school forest tree hill mountain river lake sea ocean beach"
        " town city village street road farm kitchen bedroom shop store church castle cave yard"
        " field island country world bridge station hospital zoo pond woods building",
    ),
    "weather": field_of_words(
        "a word of weather and sky",
        "words of weather and sky",
        "sun rain snow wind storm cloud clouds sky moon star stars sunny rainy windy cold warm hot"
        " weather thunder lightning fog ice rainbow hurricane tropical cyclone winds",
    ),
    "direction": field_of_words(
        "a direction",
        "directions",
        "left right up down north south east west northern southern eastern western top bottom"
        " forward backward backwards upward upwards downward downwards above below inside outside"
        " northeast northwest southeast southwest horizontal vertical",
    ),
    "size": field_of_words(
        "a word of size",
        "words of size",
        "big small large little tiny huge great tall short long wide narrow deep high low giant"
        " enormous bigger biggest smaller larger longer shorter size width height length depth"
        " maximum minimum max min",
    ),
    "feeling": field_of_words(
        "a word of feeling",
        "words of feeling",
        "happy sad angry scared afraid excited proud surprised sorry lonely tired worried upset"
        " glad brave shy curious jealous mad bored nervous love loved hate joy fear fun happily"
        " sadly",
    ),
    "saying": field_of_words(
        "a verb of saying",
        "verbs of saying",
        "say says said saying tell tells told telling ask asks asked asking reply replies replied"
        " answer answered answers shout shouted whisper whispered call called cry cried explain"
        " explained yell yelled exclaimed speak spoke talk talked announced stated argued claimed"
        " described",
    ),
    "motion": field_of_words(
        "a verb of motion",
        "verbs of motion",
        "go goes went going come comes came coming run runs ran running walk walked walking jump"
        " jumped jumping fly flew flying climb climbed swim swam ride rode fall fell falling move"
        " moved moving follow followed arrive arrived left leave leaving",
    ),
    "perception": field_of_words(
        "a verb of perception",
        "verbs of perception",
        "see sees saw seen seeing look looks looked looking watch watched watching hear hears heard"
        " hearing feel feels felt feeling notice noticed smell smelled find found listen listened"
        " taste tasted",
    ),
    "thought": field_of_words(
        "a verb of thought or wish",
        "verbs of thought and wish",
        "think thinks thought thinking know knows knew known want wants wanted wish wished hope"
        " hoped believe believed remember remembered forget forgot learn learned understand"
        " understood decide decided need needed needs like liked try tried dream dreamed wonder"
        " wondered",
    ),
    "giving": field_of_words(
        "a verb of giving, taking or having",
        "verbs of giving, taking and having",
        "give gives gave given giving take takes took taken taking get gets got getting bring"
        " brought put puts keep kept share shared hold held have has had carry carried pick picked"
        " catch caught send sent receive received buy bought grab grabbed",
    ),
    # what programs are written with
    "exception": WordField(
        "the name of an exception",
        "names of exceptions",
        frozenset({"errors", "exceptions", "keyboardinterrupt", "stopiteration"}),
        re.compile(r"(?:error|exception|warning)$"),
    ),
    "constant": field_of_words(
        "a constant", "constants", "none true false null nil nan inf undefined"
    ),
    "kind": field_of_words(
        "the name of a type",
        "names of types",
        "int str float bool dict list tuple set bytes object type frozenset complex bytearray"
        " string integer boolean char double long array map vector void",
    ),
    "builtin": field_of_words(
        "a built-in function",
        "built-in functions",
        "len print range isinstance issubclass hasattr getattr setattr delattr super repr sorted"
        " enumerate zip open iter next min max sum abs any all map filter callable id hash vars"
        " format input eval exec compile globals locals staticmethod classmethod property ord chr"
        " int str float bool dict list tuple set bytes type round reversed divmod pow dir",
    ),
    "ending": field_of_words(
        "a keyword that leaves a block",
        "keywords that leave a block",
        "return raise yield break continue pass",
    ),
    "defining": field_of_words(
        "a keyword that defines", "keywords that define", "def class lambda async function"
    ),
    "importing": field_of_words("a keyword of imports", "keywords of imports", "import from as"),
    "branching": field_of_words(
        "a keyword that opens a block",
        "keywords that open a block",
        "if elif else for while try except finally with def class async",
    ),
    "keyword": field_of_words(
        "a keyword",
        "keywords",
        "and as assert async await break class continue def del elif else except finally for from"
        " global if import in is lambda nonlocal not or pass raise return try while with yield"
        " function var let const new switch case throw catch",
    ),
    "comparison": field_of_words(
        "a sign of comparison", "signs of comparison", "== != < > <= >= === !=="
    ),
    "assignment": field_of_words(
        "a sign of assignment",
        "signs of assignment",
        "= += -= *= /= //= %= |= &= ^= := **= >>= <<=",
    ),
    "operator": field_of_words(
        "an operator", "operators", "+ - * / % ** // & | ^ ~ << >> && || @ + == != < > <= >="
    ),
    # forms
    "superlative": field_of_forms(
        "a superlative",
        "superlatives",
        "[a-z]{3}est",
        "best worst most least",
        "forest honest interest request harvest contest protest latest suggest manifest digest"
        " northwest southwest",
    ),
    "comparative": field_of_words(
        "a comparative",
        "comparatives",
        "better worse more less bigger smaller larger longer shorter higher lower older younger"
        " greater earlier later faster slower stronger further farther closer deeper wider easier"
        " harder happier warmer colder",
    ),
    "past": field_of_forms(
        "a past form of a verb",
        "past forms of verbs",
        "[a-z]{2}ed",
        "said told went came ran saw found made took gave got had was were did knew thought felt"
        " left put kept held brought bought began became wrote read led met sat stood heard ate"
        " fell flew grew lost paid sent slept spent spoke taught threw understood woke won wore"
        " broke built caught chose drew drove forgot hid rode rose sang sold shook swam used done"
        " gone seen taken given written known shown made born",
        "indeed hundred embed exceed proceed succeed speed breed naked sacred wicked",
    ),
    "progressive": field_of_forms(
        "a form in -ing",
        "forms in -ing",
        "[a-z]{2}ing",
        "",
        "string during thing nothing something anything everything spring bring king wing ring"
        " morning evening ceiling sibling",
    ),
    "adverb": field_of_forms(
        "an adverb in -ly",
        "adverbs in -ly",
        "[a-z]{2}ly",
        "",
        "family apply reply supply multiply assembly italy july fly only early imply comply",
    ),
    "abstract": field_of_forms(
        "an abstract noun", "abstract nouns", "[a-z]{2}(?:tion|sion|ness|ment|ity|ance|ence|ship)s?"
    ),
}
