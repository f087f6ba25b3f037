"""The words, names and numbers that fill the samples, apart for training and for evaluation.

Owns every list of open-class words and the generator of made-up ones. A `Vocabulary` is either the
training one or the held-out one; the two share no name, place, thing, verb or field, and a made-up
word belongs to one of them by its checksum, so a score on held-out samples measures copying and not
memory. Colours, jobs and the like are closed classes and known to both.
"""

# ruff: noqa: SIM905 (a list of eighty words is for reading, not for quotation marks)
from __future__ import annotations

import random
import zlib
from collections.abc import Sequence

HELD_OUT_SHARE = 8
"""One made-up word, and one number of three or more digits, in this many is for evaluation."""

NAMES = (
    "Alice Bob Carol David Emma Frank Grace Henry Iris Jack Karen Leo Maria Nina Oscar Paul Quinn "
    "Rosa Sam Tina Uma Victor Wendy Xavier Yara Zoe Erick Mila Noah Olive Peter Ada Alan Anna "
    "Ben Chloe Dan Elena Felix George Hannah Ivan Julia Kevin Laura Mark Nora Otto Rachel Simon "
    "Thomas Ursula Vera Walter Sofia Lucas Mia Liam Ethan Amelia Isaac Daniel Sarah James Mary "
    "John Linda Robert Susan Charles Joseph Nancy Steven Andrew Brian Eric Adam Lily Ruth Omar "
    "Ahmed Yuki Chen Priya Ravi Fatima Ingrid Lars Bjorn Pedro Carlos Marta Pablo Dmitri Olga"
).split()
NEW_NAMES = (
    "Gregory Melissa Trevor Bianca Howard Celeste Desmond Freya Jerome Kiran Lorenzo Mabel Nadia "
    "Percy Rowan Sabine Tobias Vivian Wilbur Yvonne Agnes Boris Dolores Edgar Hugo Imogen"
).split()
PLACES = (
    (
        "Paris,London,Tokyo,Rome,Berlin,Madrid,Oslo,Cairo,Delhi,Lima,Boston,Chicago,Denver,Austin,"
        "Sydney,Dublin,Vienna,Prague,Athens,Lisbon,San Francisco,New York,Kyoto,Milan,Toronto,Seattle,"
        "Los Angeles,Hong Kong,Buenos Aires,Warsaw,Helsinki,Mexico City,Moscow,Zurich,Geneva,Venice,"
        "Brussels,Munich,Hamburg,Barcelona,Nairobi,Bangkok,Manila,Havana,Quebec,Detroit,Miami,Dallas,"
        "San Francisco, CA,Portland, OR,Austin, TX,Paris, France"
    )
    .replace(", ", "| ")
    .split(",")
)
NEW_PLACES = (
    "Budapest,Marrakesh,Santiago,Jakarta,Reykjavik,Cape Town,Salzburg,Porto,Tampa,Lagos,Naples,"
    "Bergen,Kuala Lumpur,Ottawa,Phoenix| AZ,Fresno,Galway,Antwerp"
).split(",")
THINGS = (
    "apple book car dog lamp phone chair house garden bridge camera ticket bottle piano mirror "
    "window engine basket candle ladder boat hat key clock table spoon guitar bicycle umbrella "
    "carpet pillow jacket wallet laptop printer teapot rocket tractor statue helmet blanket drum "
    "kite river forest movie song hotel restaurant flight train package invoice horse pencil cat"
).split()
NEW_THINGS = (
    "violin canoe lantern saddle compass trumpet sofa scooter hammer kettle anchor telescope "
    "museum parcel fridge curtain whistle shovel cabin tunnel"
).split()
VERBS = (
    "get find make set compute search send open check list create delete update fetch lookup load "
    "read write count show convert calculate book order start stop run add remove apply translate"
).split()
NEW_VERBS = "retrieve recover schedule cancel measure publish archive estimate verify locate".split()
NOUNS = (
    "weather price user item area light name time date email order file page news score route map "
    "balance stock rate distance population temperature event task note image report status value "
    "height speed traffic recipe calendar contact document message account review language"
).split()
NEW_NOUNS = (
    "humidity salary inventory shipment forecast altitude elevation voucher deadline pressure "
    "wavelength mileage membership playlist warranty capacity"
).split()
FIELDS = (
    "input city location name value query count age x y a b color text title id number amount date "
    "country user email subject unit size limit key topic code year month level price quantity "
    "currency symbol language first second person place item category speed weight answer_style"
).split()
NEW_FIELDS = (
    "region budget owner serial destination threshold keyword radius rating duration vendor "
    "recipient passenger floor depth postcode"
).split()

WORDS = (
    "ability accident adventure afternoon airport alarm almond ancient angle answer appetite arrow article autumn "
    "avenue balloon banana barrel battery beach because behind believe between bishop blossom border bottom branch "
    "bread breakfast bright brother bucket builder butter cabbage candy canyon captain carbon career castle ceiling "
    "century ceremony champion channel chapter cheese cherry chimney chocolate circle citizen climate coach coast "
    "coffee college comedy company computer concert copper corner cottage cotton country courage cousin cradle cream "
    "crystal culture cushion danger daughter decade december degree desert dialogue diamond dinner doctor dolphin "
    "double dozen dragon dream eagle early earth editor effect elbow elephant emerald empire energy enough envelope "
    "escape evening example expert fabric factory family famous fashion feather fellow fiction finger flavor flower "
    "fortune fountain freedom frozen future galaxy gallery gentle giant ginger glacier global gossip gravity "
    "grocery habit handle harbor harvest hazard hollow honest horizon hospital hundred hunger husband imagine insect "
    "island ivory january jewel journey jungle junior justice kernel kingdom kitchen knight knowledge ladder lantana "
    "laughing leader leather lecture legend lemon leopard lesson letter liberty library lion liquid little lizard "
    "lobster logic lottery lucky lunch machine magnet maple marble market master meadow medal melody memory merchant "
    "middle minute miracle mixture modern moment monkey morning mother motor muscle mystery napkin nature needle "
    "nephew nickel noble normal notice nuclear object ocean office onion opera orbit orchard origin oxygen oyster "
    "palace panel panther paper parade parrot pattern peanut pepper perfume period phantom picture pigeon pilgrim "
    "pistol planet plastic pocket polish potato powder prairie prayer present prince problem profit pumpkin puppet "
    "purpose pyramid quarrel question rabbit radio railway rainbow random reason record reptile rescue resort rhythm "
    "ribbon robin rubber safety salmon sample satellite saturn scarlet school science scissors season secret senator "
    "shadow shelter shoulder signal silence silver simple sister sketch skill smooth society soldier spider spirit "
    "square stable station stomach storm student sugar summer sunset supper surface symbol system talent target "
    "teenager temple theater theory thunder tiger timber tomato tongue tower travel treasure triangle trophy trouble "
    "tuesday turtle twelve twenty uniform universe upper valley vanilla vehicle velvet victory village vinegar "
    "virtue vision visitor volcano volume voyage walnut warrior weather wedding whisper widow winter wisdom wonder "
    "worker yellow yogurt zebra"
).split()
"""Common words whose pieces go into made-up ones; none of them is held out as a whole."""

COLORS = "red blue green yellow black white purple orange brown pink gray golden".split()
JOBS = (
    "teacher doctor baker pilot farmer singer lawyer painter nurse writer chef engineer driver "
    "judge dentist plumber sailor tailor"
).split()
ANIMALS = "cat dog bear horse bird fish lion duck frog cow pig goat".split()
GOOD = "great lovely excellent wonderful good amazing fantastic delicious perfect nice".split()
BAD = "terrible awful bad boring horrible poor disgusting broken ugly disappointing".split()

_ONSETS = (
    "b c d f g h j k l m n p r s t v w z b c d f g h k l m n p r s t v z "
    "br ch cl dr fl gr kr pl pr sh sk sl st th tr qu"
).split()
_VOWELS = "a e i o u a e i o u ai ea ee ia io oo ou y".split()
_CODAS = [""] * 9 + "n r s l m t n r x ck nd rk st th ng".split()
_REAL = [word.lower() for word in (*NAMES, *THINGS, *VERBS, *NOUNS, *WORDS) if word.isalpha()]
_NEW = {*NEW_THINGS, *NEW_VERBS, *NEW_NOUNS, *NEW_FIELDS, *" ".join(NEW_NAMES + NEW_PLACES).lower().split()}
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SCRIPTS = [
    "你好啊集团公司北京上海天地人山水火风云中国学生大小东西南北新明星光",
    "こんにちは株式会社さくらもちたなかやまとみらいひかりゆめそら",
    "αβγδεζηθικλμνοπρστυφχψω",
    "абвгдежзиклмнопрстуфхцчшя",
    "áéíóúñüöäçèêøåß",
]


def is_held_out(word: str) -> bool:
    """Whether a made-up word or a number belongs to the evaluation."""
    return zlib.crc32(word.lower().encode()) % HELD_OUT_SHARE == 0


class Vocabulary:
    """Draws words and values, either for training or for evaluation.

    Args:
        rng: Source of all choices.
        held_out: Draw what no training sample ever holds.
    """

    def __init__(self, rng: random.Random, held_out: bool = False) -> None:
        self.rng = rng
        self.held_out = held_out
        self._names = NEW_NAMES if held_out else NAMES
        self._places = [p.replace("|", ",") for p in (NEW_PLACES if held_out else PLACES)]
        self._things = NEW_THINGS if held_out else THINGS
        self._verbs = NEW_VERBS if held_out else VERBS
        self._nouns = NEW_NOUNS if held_out else NOUNS
        self._fields = NEW_FIELDS if held_out else FIELDS

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.rng.random() < probability

    def pick(self, options: Sequence[str]) -> str:
        """One of `options`."""
        return options[int(self.rng.random() * len(options))]

    def _syllables(self) -> str:
        parts = []
        for _ in range(self.rng.choice((1, 2, 2, 2, 2, 3))):
            parts += [self.pick(_ONSETS), self.pick(_VOWELS), self.pick(_CODAS)]
        return "".join(parts)

    def _letters(self) -> str:
        return "".join(self.rng.choices(_LETTERS, k=self.rng.randint(3, 8)))

    def _blend(self) -> str:
        head, tail = self.pick(_REAL), self.pick(_REAL)
        return (head[: self.rng.randint(1, len(head))] + tail[self.rng.randint(1, len(tail)) :])[:12]

    def made_up(self) -> str:
        """A lower-case word that means nothing: syllables, pieces of real words, or just letters."""
        makers = (self._syllables, self._blend, self._letters)
        while True:
            word = self.rng.choices(makers, (48, 40, 12))[0]()
            if len(word) > 2 and word not in _NEW and is_held_out(word) == self.held_out:
                return word

    def name(self) -> str:
        """First name of a person, half of them made up."""
        return self.pick(self._names) if self.chance(0.5) else self.made_up().capitalize()

    def full_name(self) -> str:
        """A person's name, sometimes with a surname."""
        return f"{self.name()} {self.name()}" if self.chance(0.2) else self.name()

    def place(self) -> str:
        """Name of a city."""
        return self.pick(self._places) if self.chance(0.6) else self.made_up().capitalize()

    def thing(self) -> str:
        """A thing one may own."""
        return self.pick(self._things) if self.chance(0.7) else self.made_up()

    def noun(self) -> str:
        """What a tool deals with."""
        return self.pick(self._nouns) if self.chance(0.55) else self.made_up()

    def verb(self) -> str:
        """What a tool does."""
        return self.pick(self._verbs) if self.chance(0.8) else self.made_up()

    def field(self) -> str:
        """Name of a parameter or of a key."""
        if self.chance(0.6):
            return self.pick(self._fields)
        second = self.pick(self._fields) if self.chance(0.5) else self.made_up()
        return second if self.chance(0.8) else f"{self.made_up()}_{second}"

    def fields(self, count: int) -> list[str]:
        """Different field names."""
        found: list[str] = []
        while len(found) < count:
            field = self.field()
            if field not in found:
                found.append(field)
        return found

    def integer(self, digits: int = 5) -> int:
        """A whole number of up to `digits` digits; long ones are apart for evaluation."""
        while True:
            length = self.rng.randint(1, digits)
            number = self.rng.randrange(10 ** (length - 1) if length > 1 else 0, 10**length)
            if length < 3 or is_held_out(str(number)) == self.held_out:
                return number

    def decimal(self) -> float:
        """A number with one or two decimals."""
        places = self.rng.randint(1, 2)
        return float(f"{self.integer(3)}.{self.rng.randint(1, 10**places - 1):0{places}d}")

    def foreign(self) -> str:
        """A short word in another script, copied byte by byte."""
        return "".join(self.rng.choices(self.pick(_SCRIPTS), k=self.rng.randint(2, 7)))

    def phrase(self) -> str:
        """Two or three words."""
        return " ".join(self.word() for _ in range(self.rng.randint(2, 3)))

    def word(self) -> str:
        """Any one word."""
        return self.made_up() if self.chance(0.6) else self.thing()

    def text(self) -> str:
        """A value of type string."""
        makers = (self.place, self.full_name, self.word, self.phrase, self._email, self._date)
        others = (self._code, self.foreign, lambda: self.pick(COLORS))
        parts = (25, 20, 20, 15, 5, 4, 6, 3, 2)
        return self.rng.choices((*makers, *others), parts)[0]()

    def _email(self) -> str:
        return f"{self.made_up()}@{self.made_up()}.com"

    def _date(self) -> str:
        year, month, day = (self.rng.randint(*span) for span in ((2000, 2030), (10, 12), (10, 28)))
        return f"{year}-{month}-{day}"

    def _code(self) -> str:
        return self.made_up().upper()[:4] + str(self.integer(3))

    def title(self) -> str:
        """Name of a class, such as a schema bears."""
        parts = [self.noun().capitalize() for _ in range(self.rng.randint(1, 2))]
        return "".join(parts)

    def tool_name(self) -> str:
        """Name of a tool in one of the usual styles."""
        roll = self.rng.random()
        parts = [self.verb(), self.noun()]
        if roll < 0.2:
            parts.append(self.noun())
        if roll < 0.68:
            return "_".join(parts)
        if roll < 0.82:
            return parts[0] + "".join(part.capitalize() for part in parts[1:])
        return parts[1] if roll < 0.9 else "".join(part.capitalize() for part in parts)
