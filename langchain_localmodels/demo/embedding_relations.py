"""How the facts of the demo embedding model's texts are said and asked for.

Owns the phrasings, for training and held out, and which of them belong together. Who and what the facts are about is
drawn by `embedding_data.py`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """A kind of fact.

    Attributes:
        name: Its name.
        statements: Ways to say it, with slots in braces.
        questions: Ways to ask for it; a question gives some of the slots.
        unseen: Questions that only the evaluation asks.
        also: Another relation whose questions a fact of this one answers too.
        mutual: Whether `{who}` and `{friend}` may change places.
    """

    name: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    unseen: tuple[str, ...]
    also: str = ""
    mutual: bool = False


def _relation(
    name: str, statements: str, questions: str, unseen: str, *, also: str = "", mutual: bool = False
) -> Relation:
    said, asked, kept = (tuple(text.split(" | ")) for text in (statements, questions, unseen))
    return Relation(name, said, asked, kept, also, mutual)


ABOUT_PERSONS = (
    _relation(
        "lives",
        "{who} lives in {place}. | {who} has a home in {place}. | The home of {who} is in {place}. | "
        "{who} moved to {place} and lives there now. | Today {place} is where {who} lives.",
        "Where does {who} live? | In which city does {who} live? | Where is the home of {who}? | "
        "Which town is {who} living in? | {who} home city | Who lives in {place}? | Whose home is in {place}?",
        "What city is home to {who}? | Name the town where {who} lives.",
    ),
    _relation(
        "born",
        "{who} was born in {place}. | The birthplace of {who} is {place}. | "
        "{place} is the city where {who} was born. | {who} came into the world in {place}.",
        "Where was {who} born? | What is the birthplace of {who}? | In which city was {who} born? | "
        "{who} birthplace | Who was born in {place}? | Where did {who} come into the world?",
        "What city was {who} born in? | Which place is the birthplace of {who}?",
    ),
    _relation(
        "owns",
        "{who} has a {color} {thing}. | {who} owns a {color} {thing}. | The {color} {thing} belongs to {who}. | "
        "{who} bought a {color} {thing}.",
        "What does {who} have? | What does {who} own? | Which thing belongs to {who}? | What did {who} buy? | "
        "Who has a {color} {thing}? | Who owns the {color} {thing}? | possessions of {who}",
        "What is owned by {who}? | What thing does {who} have?",
    ),
    _relation(
        "age",
        "{who} is {age} years old. | The age of {who} is {age}. | {who} turned {age} this year. | "
        "{who} is a person of {age} years.",
        "How old is {who}? | What is the age of {who}? | What age is {who}? | {who} age | How many years old is {who}?",
        "Tell the age that {who} has. | How old did {who} turn this year?",
    ),
    _relation(
        "job",
        "{who} works as a {job}. | The job of {who} is {job}. | {who} earns a living as a {job}. | "
        "{who} became a {job}. | {who} is a {job} by profession.",
        "What does {who} work as? | What is the job of {who}? | What does {who} do for a living? | "
        "What is the profession of {who}? | {who} job | Which profession does {who} have? | What did {who} become?",
        "What work does {who} do? | How does {who} earn a living?",
    ),
    _relation(
        "likes",
        "{who} likes {thing}s. | {who} is fond of {thing}s. | {who} loves {thing}s more than anything. | "
        "Nothing makes {who} happier than {thing}s.",
        "What does {who} like? | What is {who} fond of? | What does {who} love? | What makes {who} happy? | "
        "Who likes {thing}s? | Who is fond of {thing}s? | {who} likes",
        "What things does {who} love most? | What is it that {who} likes?",
    ),
    _relation(
        "met",
        "{who} met {friend} in {place}. | In {place}, {who} met {friend}. | "
        "{who} and {friend} met each other in {place}.",
        "Who met {friend}? | Whom did {who} meet? | Where did {who} meet {friend}? | Who was met by {who}? | "
        "In which city did {who} and {friend} meet?",
        "What person did {who} meet? | In what place did {who} meet {friend}?",
        mutual=True,
    ),
    _relation(
        "pet",
        "{who} has a {animal} named {friend}. | {who} keeps a {animal} called {friend}. | "
        "{friend} is the {animal} of {who}. | The pet of {who} is a {animal} with the name {friend}.",
        "What pet does {who} have? | Which animal does {who} keep? | What is the {animal} of {who} called? | "
        "What is the name of the pet of {who}? | Whose {animal} is {friend}? | {who} pet | "
        "Who has a {animal} named {friend}?",
        "What kind of animal is the pet of {who}? | How is the {animal} of {who} named?",
        also="owns",
    ),
    _relation(
        "color",
        "The favorite color of {who} is {color}. | {who} likes {color} best of all colors. | "
        "Of all colors, {who} prefers {color}.",
        "What is the favorite color of {who}? | Which color does {who} like best? | What color does {who} prefer? | "
        "{who} favorite color",
        "Which of all colors is the favorite of {who}? | Name the color that {who} prefers.",
    ),
    _relation(
        "studies",
        "{who} studies {subject} in {place}. | {who} is a student of {subject} at the university of {place}. | "
        "At the university of {place}, {who} learns {subject}.",
        "What does {who} study? | Which subject does {who} learn? | Where does {who} study? | "
        "At which university is {who} a student? | {who} university | What is {who} a student of?",
        "What subject is {who} learning at the university? | In what city does {who} study?",
    ),
    _relation(
        "plays",
        "{who} plays {sport} every {day}. | On {day}, {who} always plays {sport}. | "
        "The sport of {who} is {sport}, every {day}.",
        "What does {who} play? | Which sport does {who} do? | When does {who} play {sport}? | {who} sport | "
        "On which day does {who} play?",
        "What is the sport of {who}? | What game is played by {who}?",
    ),
    _relation(
        "speaks",
        "{who} speaks {language}. | The mother tongue of {who} is {language}. | {who} grew up speaking {language}.",
        "What language does {who} speak? | What is the mother tongue of {who}? | Which language does {who} speak? | "
        "{who} language",
        "In which language can one talk to {who}? | What language did {who} grow up speaking?",
    ),
    _relation(
        "eats",
        "{who} eats {food} for breakfast. | For breakfast, {who} has {food}. | The breakfast of {who} is {food}.",
        "What does {who} eat for breakfast? | What is the breakfast of {who}? | "
        "What does {who} eat in the morning? | {who} breakfast",
        "Which food does {who} have for breakfast? | What food is eaten by {who}?",
    ),
    _relation(
        "travel",
        "{who} travelled to {place} by {vehicle} in {month}. | In {month}, {who} went to {place} by {vehicle}. | "
        "{who} took a {vehicle} to {place} in {month}.",
        "Where did {who} travel? | When did {who} go to {place}? | How did {who} get to {place}? | "
        "Where did {who} go? | {who} journey | In which month did {who} travel? | Who went to {place} by {vehicle}?",
        "What was the journey of {who}? | To which city did {who} go by {vehicle}?",
    ),
    _relation(
        "wrote",
        "{who} wrote a book about {thing}s. | The author of the book about {thing}s is {who}. | "
        "A book about {thing}s was written by {who}.",
        "What did {who} write? | What is the book of {who} about? | Who wrote a book about {thing}s? | "
        "Who is the author of the book about {thing}s? | {who} author",
        "About what did {who} write a book? | Which book was written by {who}?",
    ),
    _relation(
        "married",
        "{who} is married to {friend}. | {who} married {friend} in {month}. | "
        "{who} and {friend} had their wedding in {month}.",
        "Who is married to {friend}? | Whom did {who} marry? | Who is the husband or wife of {who}? | "
        "When was the wedding of {who}? | {who} marriage",
        "To whom is {who} married? | With whom did {who} have a wedding?",
        mutual=True,
    ),
    _relation(
        "phone",
        "The phone number of {who} is {number}. | You can call {who} at {number}. | "
        "{who} answers the phone at {number}.",
        "What is the phone number of {who}? | At which number can I call {who}? | How can I call {who}? | {who} phone",
        "Which number has the phone of {who}? | I want to call {who}.",
    ),
    _relation(
        "birthday",
        "The birthday of {who} is in {month}. | {who} has a birthday party every {month}. | "
        "{who} was born in the month of {month}.",
        "When is the birthday of {who}? | In which month is the birthday of {who}? | "
        "When does {who} have a party? | {who} birthday",
        "What month is the birthday of {who} in? | In which month was {who} born?",
    ),
    _relation(
        "allergy",
        "{who} is allergic to {food}. | {who} must not eat {food}. | Eating {food} makes {who} sick.",
        "What is {who} allergic to? | What must {who} not eat? | What makes {who} sick? | {who} allergy",
        "Which food must {who} not have? | To what is {who} allergic?",
    ),
)
"""Facts about `{who}`."""

ABOUT_THINGS = (
    _relation(
        "invented",
        "The {what} was invented by {person}. | {person} invented the {what}. | "
        "The inventor of the {what} is {person}. | The idea for the {what} came from {person}.",
        "Who invented the {what}? | Who is the inventor of the {what}? | Who had the idea for the {what}? | "
        "What did {person} invent? | {what} inventor",
        "By whom was the {what} invented? | Which inventor came up with the {what}?",
    ),
    _relation(
        "built",
        "The {what} was built in {year}. | They built the {what} in the year {year}. | "
        "The {what} dates from {year}. | In {year} the {what} was finished.",
        "When was the {what} built? | In which year was the {what} built? | What year does the {what} date from? | "
        "How old is the {what}? | {what} year | When was the {what} finished?",
        "Since when does the {what} stand? | What is the year in which the {what} was built?",
    ),
    _relation(
        "costs",
        "The {what} costs {price} dollars. | The price of the {what} is {price} dollars. | "
        "You can buy the {what} for {price} dollars. | They ask {price} dollars for the {what}.",
        "How much does the {what} cost? | What is the price of the {what}? | How many dollars is the {what}? | "
        "{what} price | What do I pay for the {what}?",
        "For how many dollars can I buy the {what}? | How expensive is the {what}?",
    ),
    _relation(
        "located",
        "The {what} is in {place}. | You can find the {what} in {place}. | The {what} stands in {place}. | "
        "{place} is where the {what} is.",
        "Where is the {what}? | In which city is the {what}? | Where can I find the {what}? | {what} location | "
        "Where does the {what} stand?",
        "What is the location of the {what}? | In what place can one see the {what}?",
    ),
    _relation(
        "owner",
        "The {what} belongs to {person}. | {person} owns the {what}. | The owner of the {what} is {person}.",
        "Who owns the {what}? | Whose {what} is it? | To whom does the {what} belong? | "
        "Who is the owner of the {what}? | {what} owner",
        "What is the name of the owner of the {what}? | Which person has the {what}?",
    ),
    _relation(
        "number",
        "The {noun} of the {what} is {number}. | The {what} has a {noun} of {number}. | "
        "For the {what}, the {noun} is {number}.",
        "What is the {noun} of the {what}? | Which {noun} does the {what} have? | {what} {noun} | "
        "How much is the {noun} of the {what}?",
        "Tell me about the {noun} that the {what} has. | What {noun} is given for the {what}?",
    ),
    _relation(
        "kind",
        "{What} is a kind of {word}. | A {what} is a {word}. | The word {what} means a kind of {word}.",
        "What is {what}? | What is a {what}? | What does the word {what} mean? | What kind of thing is a {what}? | "
        "{what} meaning",
        "Explain what {what} means. | What do you call a {what}?",
    ),
    _relation(
        "made",
        "The {what} is made of {material}. | They made the {what} from {material}. | "
        "The material of the {what} is {material}.",
        "What is the {what} made of? | Which material is the {what} made from? | {what} material | "
        "What is the material of the {what}?",
        "From what did they make the {what}? | Of which material does the {what} consist?",
    ),
    _relation(
        "painted",
        "The {what} is painted {color}. | The color of the {what} is {color}. | The {what} looks {color}.",
        "What color is the {what}? | Which color does the {what} have? | {what} color | How is the {what} painted?",
        "In which color did they paint the {what}? | What is the color of the {what}?",
    ),
    _relation(
        "opens",
        "The {what} opens at {hour} o'clock on {day}. | On {day}, the {what} is open from {hour} o'clock.",
        "When does the {what} open? | From what time is the {what} open? | "
        "At which hour does the {what} open on {day}? | {what} opening hours",
        "What are the opening hours of the {what}? | How early does the {what} open?",
    ),
    _relation(
        "weighs",
        "The {what} weighs {number} kilos. | The weight of the {what} is {number} kilos. | "
        "The {what} is {number} kilos heavy.",
        "How much does the {what} weigh? | What is the weight of the {what}? | How heavy is the {what}? | "
        "{what} weight",
        "How many kilos has the {what}? | Is the {what} heavy or light?",
    ),
)
"""Facts about `{what}`."""
