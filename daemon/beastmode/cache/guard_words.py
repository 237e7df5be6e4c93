"""The words the guards know: what is said for politeness, what means the same, and what changes an answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib import resources

SAME = """
find search locate identify
show display print
create write make implement build develop code generate
delete remove erase
compute calculate
check verify determine test_whether
get retrieve fetch obtain
function method routine procedure
directory folder dir
item element
integer int
number num
dictionary dict
string str
character char
variable var
argument parameter arg param
maximum max maximal
minimum min minimal
largest biggest greatest
smallest littlest
large big
small little
equal identical
begin start
end finish
every each
contain include
return output
whether if
use using via
divide split_by
combine merge join_up
repeated recurring
present available
quantity amount
beginning start
ending end
initial first
final last
occurrence instance
distinct unique
common shared
modify alter change edit
rename retitle
position place location
row record_line
nth n-th
frequency count_of
program script
path pathname
extension suffix_of_file
line row_of_text
space blank
consecutive successive
opposite contrary
additional extra
permission privilege
convert transform turn
transform convert
shift move_along
archive tarball
execute run
invoke call
rearrange reorder reorganise
sequence succession
allowed permitted
size length_in_bytes
username user_name_of
upper uppercase capital
lower lowercase
zero 0
quickly fast
biggest largest
exist present
match correspond
replace substitute
terminate kill
compare contrast
folder directory
numeral number
total overall
trapezium trapezoid
parenthesis bracket
html htm
jpeg jpg
yaml yml
""".strip()
"""Each line: words that may stand for each other anywhere; the first is the name of the group."""

CLOSE = """
find list
find show
find get
show list
show get
show return
find compute
get compute
find return
get return
check find
check test
check see
same equal
same identical
same similar
whole entire
whole all
every all
entire all
contain have
contain hold
exist have
value item
tuple tupel
larger greater
bigger greater
larger more
smaller less
fewer less
below under
above over
beneath under
combine join
combine merge
combine concatenate
merge join
join concatenate
sort order
sort arrange
pick select
choose select
select extract
extract get
replace change
change set
filter select
named called
match satisfy
phrase word
sentence text
occur appear
present appear
find detect
sum total
sum add
count number
many number
create new
produce create
produce generate
perform do
execute perform
delete drop
difference gap
letter character
position index
sublist list
starting first
beginning first
own belong
recursive recursively
file document
change convert
specific particular
rotate shift
print output
save store
save write
store write
hide conceal
compress zip
expand extract
decompress extract
decompress uncompress
unpack extract
""".strip()
"""Pairs that often, but not always, stand for each other: counted as a doubt, weighed by the verifier."""

OPPOSITES = """
ascending descending
increasing decreasing
increase decrease
asc desc
read write
read create
add remove
add subtract
add delete
insert delete
append prepend
create delete
create destroy
first last
first second
start end
begin end
before after
above below
over under
up down
upper lower
uppercase lowercase
top bottom
left right
leftmost rightmost
row column
horizontal vertical
width height
maximum minimum
largest smallest
large small
longest shortest
long short
highest lowest
high low
greater less
more less
more fewer
most least
newer older
newest oldest
new old
latest earliest
recent old
early late
next previous
successor predecessor
forward backward
even odd
positive negative
sum product
sum difference
multiply divide
multiply add
union intersection
mean median
mean mode
median mode
average median
average sum
prefix suffix
key value
input output
import export
upload download
push pull
push pop
enqueue dequeue
send receive
get post
get set
get put
put delete
put post
put patch
post patch
load save
open close
lock unlock
encode decode
encrypt decrypt
compress decompress
compress extract
zip unzip
serialize deserialize
marshal unmarshal
pack unpack
mount unmount
install uninstall
enable disable
allow deny
allow forbid
accept reject
grant revoke
show hide
include exclude
include except
inclusive exclusive
internal external
inner outer
local remote
local global
client server
public private
global nonlocal
static dynamic
mutable immutable
sync async
synchronous asynchronous
blocking nonblocking
recursive iterative
serial parallel
sequential concurrent
sequential parallel
shallow deep
copy move
cut copy
stack queue
lifo fifo
min_heap max_heap
depth breadth
dfs bfs
preorder postorder
preorder inorder
inorder postorder
singly doubly
directed undirected
weighted unweighted
signed unsigned
sorted unsorted
ordered unordered
balanced unbalanced
sensitive insensitive
strict loose
lazy eager
greedy lazy
greedy dynamic
true false
yes no
on off
success failure
pass fail
same different
equal different
equal unequal
similar different
unique duplicate
distinct duplicate
empty full
null nonnull
visible hidden
absolute relative
hard soft
hard symbolic
binary text
binary decimal
binary hexadecimal
binary octal
decimal hexadecimal
decimal octal
hexadecimal octal
ascii unicode
little big
row-major column-major
file directory
user group
group other
owner group
owner other
read execute
write execute
modified accessed
modified created
modified changed
accessed created
accessed changed
stdin stdout
stdout stderr
vowel consonant
letter digit
numerator denominator
dividend divisor
quotient remainder
multiple divisor
factor multiple
prime composite
real imaginary
integer float
floor ceiling
floor ceil
ceiling round
area perimeter
area volume
volume surface
radius diameter
circle square
square cube
square rectangle
triangle rectangle
sine cosine
degree radian
celsius fahrenheit
latitude longitude
lexicographic numeric
alphabetical numerical
day night
morning evening
today yesterday
today tomorrow
yesterday tomorrow
past future
parent child
ancestor descendant
root leaf
source destination
source target
origin destination
sender receiver
producer consumer
subclass superclass
abstract concrete
interface class
instance class
compile run
start stop
start restart
stop restart
pause resume
connect disconnect
attach detach
show delete
list delete
print delete
find delete
find replace
find count
count sum
count list
count delete
create find
merge split
join split
concatenate split
commit rollback
commit revert
merge rebase
fetch push
pull commit
stage commit
ancestor parent
explain fix
explain write
explain implement
explain refactor
explain test
fix test
fix refactor
fix optimize
write test
write document
convert validate
parse format
parse validate
parse serialize
memory disk
cpu memory
cpu gpu
speed memory
time space
best worst
average worst
average best
pre post
lower higher
interior exterior
odd prime
even prime
clockwise counterclockwise
clockwise anticlockwise
overt covert
linear quadratic
linear binary
linear exponential
linear circular
permutation combination
arithmetic geometric
arithmetic harmonic
geometric harmonic
convex concave
acute obtuse
major minor
male female
buy sell
win lose
rise fall
gain loss
profit loss
credit debit
income expense
deposit withdraw
""".strip()
"""Pairs that turn the meaning of a request around, or ask for its sibling."""

_SETS = {
    "language": """python python2 python3 java javascript js typescript ts c c++ cpp c# csharp go golang rust ruby php
        perl kotlin swift scala haskell lua r matlab julia dart elixir erlang clojure ocaml f# fortran cobol pascal ada
        lisp scheme prolog bash zsh fish ksh powershell awk sed sql plsql html css sass groovy vb solidity zig nim
        assembly objective-c coffeescript""",
    "library": """pandas numpy polars scipy sklearn scikit-learn tensorflow pytorch torch keras jax matplotlib seaborn
        plotly bokeh django flask fastapi tornado aiohttp httpx requests urllib sqlalchemy peewee pydantic msgspec
        attrs dataclass dataclasses celery redis memcached kafka rabbitmq pytest unittest nose mocha jest jasmine
        vitest cypress selenium playwright puppeteer react vue angular svelte jquery express koa nestjs nextjs nuxt
        spring hibernate rails sinatra laravel symfony junit mockito lodash underscore axios itertools collections
        functools regex re heapq asyncio threading multiprocessing argparse click typer beautifulsoup lxml scrapy
        docker podman kubernetes helm terraform ansible git svn mercurial npm yarn pnpm pip conda poetry maven gradle
        cargo make cmake bazel webpack vite rollup""",
    "database": """mysql postgres postgresql sqlite mongodb oracle mariadb cassandra dynamodb elasticsearch neo4j
        snowflake bigquery duckdb""",
    "system": """linux ubuntu debian fedora centos windows macos mac osx android ios unix freebsd solaris aws azure
        gcp x86 arm""",
    "format": """json xml yaml csv tsv toml ini markdown pdf html plaintext latex protobuf avro parquet excel xlsx
        base64 hex table bullet bullets gzip zip tar bzip2 rar 7z png jpeg gif svg bmp webp mp3 mp4 wav""",
    "type": """list tuple set dictionary array string integer float double boolean bool byte bytes char object class
        struct enum map hashmap vector deque queue stack heap tree trie graph matrix dataframe series generator
        iterator linkedlist frozenset tensor pointer long short decimal fraction complex""",
    "unit": """byte b kb kib kilobyte mb mib megabyte gb gib gigabyte tb tib terabyte pb bit mbit gbit kbit second sec s
        ms millisecond microsecond us nanosecond ns minute hour hr day week month year decade century percent mm cm
        km meter metre mile inch foot feet yard kg gram g mg pound lb ounce oz ton liter litre gallon celsius
        fahrenheit kelvin degree radian px pixel em rem hz khz mhz ghz usd eur gbp dollar euro cent block inode
        word line page""",
    "quantifier": """all any every some none only most few many several both either neither each whole half exactly
        just solely except excluding entire always never sometimes once twice thrice at_least at_most more_than
        less_than""",
    "comparison": """at_least at_most more_than less_than exactly equal greater less than before after until since
        between within""",
    "time": """today yesterday tomorrow now monday tuesday wednesday thursday friday saturday sunday january february
        march april may june july august september october november december jan feb mar apr jun jul aug sep oct nov
        dec weekday weekend daily weekly monthly yearly hourly utc gmt timezone noon midnight ago before after since
        until accessed modified changed created""",
    "question": """why what who when where which explain describe compare summarize review debug fix test refactor
        optimize document translate convert predict prove""",
    "output_format": """verbose briefly concise short detailed bullet bullets table sentence paragraph json markdown
        step-by-step one-liner oneliner example examples comment comments commented docstring pseudocode diagram""",
    "natural_language": """english german french spanish italian portuguese chinese japanese korean russian arabic
        hindi dutch polish turkish swedish greek hebrew latin""",
}

DROPPED = frozenset(
    """a an the is are was were be been being am do does did has_been that which who whose there here
    given gave give gives giving specified certain particular provided supplied below following supplied passed
    please kindly just simply also then so such your my me i you we us our its it's it this these those
    of at for in on as into onto inside within whose upon really very actually basically properly correctly named called
    out up will would should can could may might must shall having""".split()
)
"""Words that carry nothing of their own between the words that do."""

NEGATIONS = frozenset(
    "not no non never none without neither nor nothing nobody cannot except excluding excepting unless lacking".split()
)
LEADS = frozenset(
    """from to into onto in inside within at on of for by with as under below beneath over above through across
    between among against per via using use used have having has had about like towards toward around during than""".split()
)
"""Prepositions: they tell which part a phrase plays, so each word keeps the ones before it."""

FRAMES = (
    r"(?:hey|hi|hello|ok|okay|so|well|now)(?: there)?[ ,!.]+",
    r"(?:please|pls|plz|kindly)[ ,]+",
    r"(?:can|could|would|will) (?:you|u|someone|anyone|anybody)(?: please| kindly)?(?: help me(?: to)?| tell me(?: how to)?"
    r"| show me(?: how to)?| give me)? ",
    r"would you mind ",
    r"(?:i|we)(?: (?:need|want|would (?:like|love)|am trying|are trying|try|wish|have)|'(?:d (?:like|love)|m trying|re trying))"
    r"(?: you| help)? to ",
    r"i(?:'m| am) looking (?:for a way )?to ",
    r"(?:help|assist) me(?: to)? ",
    r"(?:how|what way) (?:do|can|could|would|should|might|to)(?: (?:i|you|we|one|someone|to))* ",
    r"how to ",
    r"(?:what is|what's|whats|tell me|give me|show me|is there|i need|i want|which is|do you know)"
    r"(?: (?:the|a|an|me))?(?: (?:best|easiest|simplest|right|correct|good|easy|simple|shell|bash|terminal|linux|unix))?"
    r" (?:command|way|commands)(?: line)? (?:to|for|that) (?:i can )?",
    r"(?:tell|show) me how (?:to|i can|do i) ",
    r"let(?:'s| us) ",
    r"your (?:task|job) is to ",
    r"is it possible to ",
    r"i(?:'d| would) (?:appreciate|love|like) (?:it )?(?:if you (?:could|would)|to) ",
    r"the task is to ",
)
"""How a request may open without asking for anything else (lower case; tried again and again)."""

CLOSINGS = (
    r"[ ,]+(?:please|pls|plz|thanks|thank you|thx|cheers|many thanks|thanks a lot|thank you very much)"
    r"(?: in advance| so much)?",
    r"[ ,]+(?:for me|if you can|if possible|would you|can you|could you|will you|any ideas?)",
)

PHRASES = {
    "search for": "find",
    "searches for": "find",
    "searching for": "find",
    "look for": "find",
    "looks for": "find",
    "looking for": "find",
    "look up": "find",
    "figure out": "find",
    "find out": "find",
    "work out": "find",
    "get rid of": "delete",
    "make sure": "check",
    "as well as": "and",
    "along with": "with",
    "together with": "with",
    "in order to": "to",
    "so as to": "to",
    "such that": "that",
    "so that": "that",
    "as long as": "if",
    "provided that": "if",
    "instead of": "instead-of",
    "rather than": "instead-of",
    "each of": "every",
    "all of": "all",
    "all the": "all",
    "both of": "both",
    "a list of": "list of",
    "the number of": "number of",
    "how many": "number of",
    "more than or equal to": "at_least",
    "greater than or equal to": "at_least",
    "larger than or equal to": "at_least",
    "bigger than or equal to": "at_least",
    "less than or equal to": "at_most",
    "smaller than or equal to": "at_most",
    "fewer than or equal to": "at_most",
    "no less than": "at_least",
    "no fewer than": "at_least",
    "not less than": "at_least",
    "no more than": "at_most",
    "not more than": "at_most",
    "at least": "at_least",
    "at - least": "at_least",
    "atleast": "at_least",
    "at most": "at_most",
    "atmost": "at_most",
    "more than": "more_than",
    "greater than": "more_than",
    "larger than": "more_than",
    "bigger than": "more_than",
    "less than": "less_than",
    "smaller than": "less_than",
    "fewer than": "less_than",
    "or not": "",
    "upper case": "uppercase",
    "lower case": "lowercase",
    "camel case": "camelcase",
    "snake case": "snakecase",
    "with the help of": "using",
    "by means of": "using",
    "by using": "using",
    "make use of": "using",
    "making use of": "using",
    "used to": "to",
    "is able to": "",
    "be able to": "",
    "are able to": "",
    "case insensitively": "case-insensitive",
    "case insensitive": "case-insensitive",
    "ignoring case": "case-insensitive",
    "case sensitively": "case-sensitive",
    "case sensitive": "case-sensitive",
    "regular expression": "regex",
    "regular expressions": "regex",
    "data type": "datatype",
    "sub string": "substring",
    "sub list": "sublist",
    "sub array": "subarray",
    "sub sequence": "subsequence",
    "n th": "nth",
    "re arrange": "rearrange",
    "file system": "filesystem",
    "home directory": "homedir",
    "home folder": "homedir",
    "current working directory": "curdir",
    "current directory": "curdir",
    "current folder": "curdir",
    "present directory": "curdir",
    "present working directory": "curdir",
    "working directory": "curdir",
    "this directory": "curdir",
    "this folder": "curdir",
    "current dir": "curdir",
}
"""Several words that count as one (lower case, spaces between words)."""

IRREGULAR = {
    word: lemma
    for line in """find found finds finding|have has had having|be is are was were been|write wrote written writes writing
make made makes making|get got gotten gets getting|give gave given gives giving|choose chose chosen|begin began begun
run ran runs running|hide hid hidden|split splits splitting|put puts putting|set sets setting|take took taken
send sent|build built|keep kept|hold held|lead led|leave left_behind|lie lay|mean means|read reads reading
index indices indexes indexing|matrix matrices|vertex vertices|axis axes|child children|man men|person people
datum data|criterion criteria|parenthesis parentheses|basis bases|analysis analyses|half halves|leaf leaves
do does did done doing|say said|see saw seen|show shown shows showed showing|know knew known|grow grew grown
sum sums summing summed|string strings|thing things|bus buses|class classes|process processes|address addresses
zero zeros zeroes|query queries|key keys|occurrence occurence occurences occurrences occcurences
length lengths|parse parses parsed parsing|use uses used using|occur occurs occurred occurring occuring
begin begins beginning|go goes went gone|think thought|bring brought|swap swaps swapped swapping
subtract substract subtracts substracts|lowercase lowercased|uppercase uppercased|status statuses|previous
decrease decreases|increase increases|less|access accesses|pass passes|miss misses|bias biases|series
file files filing|line lines|name names|size sizes|type types|date dates|time times|tuple tuples|node nodes
page pages|case cases|value values|space spaces|message messages|table tables|word words|byte bytes""".replace(
        "\n", "|"
    ).split("|")
    for lemma in [line.split()[0]]
    for word in line.split()
}

DEGREES = {
    word: line.split()[0]
    for line in """large larger largest|small smaller smallest|long longer longest|short shorter shortest
big bigger biggest|high higher highest|low lower lowest|near nearer nearest|new newer newest|old older oldest
great greater greatest|odd odder oddest|late later latest|early earlier earliest|deep deeper deepest
empty emptier emptiest|distinct distincter|simple simpler simplest|fast faster fastest|slow slower slowest
close closer closest|many more most|few fewer fewest|good better best""".replace("\n", "|").split("|")
    for word in line.split()
}
"""Comparatives and superlatives: one degree for another is a doubt, no opposite."""

NUMERALS = {
    word: str(number)
    for number, word in enumerate(
        """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
        seventeen eighteen nineteen twenty""".split()
    )
} | {
    "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90",
    "hundred": "100", "thousand": "1000", "million": "1000000", "billion": "1000000000", "dozen": "12",
    "once": "x1", "twice": "x2", "double": "x2", "triple": "x3", "thrice": "x3", "half": "0.5", "quarter": "0.25",
    "third": "#3", "fourth": "#4", "fifth": "#5", "sixth": "#6", "seventh": "#7", "eighth": "#8", "ninth": "#9",
    "tenth": "#10", "first": "#1", "second": "#2", "1st": "#1", "2nd": "#2", "3rd": "#3", "pair": "pair",
}  # fmt: skip

BRITISH = {
    "colour": "color", "behaviour": "behavior", "favourite": "favorite", "neighbour": "neighbor", "centre": "center",
    "metre": "meter", "litre": "liter", "grey": "gray", "catalogue": "catalog", "dialogue": "dialog",
    "programme": "program", "licence": "license", "labelled": "labeled", "cancelled": "canceled",
    "modelling": "modeling", "analyse": "analyze", "organise": "organize", "optimise": "optimize",
    "serialise": "serialize", "normalise": "normalize", "initialise": "initialize", "capitalise": "capitalize",
    "tokenise": "tokenize", "summarise": "summarize", "minimise": "minimize", "maximise": "maximize",
    "visualise": "visualize", "sanitise": "sanitize", "randomise": "randomize", "customise": "customize",
    "synchronise": "synchronize", "vectorise": "vectorize", "parallelise": "parallelize", "centred": "centered",
    "tupel": "tuple", "maths": "math", "javascript": "javascript", "js": "javascript", "ts": "typescript",
    "golang": "go", "cpp": "c++", "csharp": "c#", "postgres": "postgresql", "py": "python", "k8s": "kubernetes",
    "osx": "macos", "mac": "macos", "kilobyte": "kb", "megabyte": "mb", "gigabyte": "gb", "terabyte": "tb",
    "sec": "second", "secs": "second", "mins": "minute", "hr": "hour", "hrs": "hour", "millisecond": "ms",
    "dirs": "directory", "subdirectory": "subdirectory", "subfolder": "subdirectory", "subdir": "subdirectory",
    "sub-directory": "subdirectory", "sub-folder": "subdirectory", "funcs": "function", "func": "function",
    "docs": "documentation", "repo": "repository", "db": "database", "config": "configuration", "env": "environment",
    "regexp": "regex", "nonempty": "non-empty", "perms": "permission", "info": "information", "params": "parameter",
    "args": "argument", "vars": "variable", "ints": "integer", "nums": "number", "strs": "string",
    "chars": "character", "dicts": "dictionary", "bool": "boolean", "pythonic": "python",
}  # fmt: skip
"""Spellings and short forms of one word (after its ending is cut)."""

_IRREGULAR_SKIP = frozenset("during something nothing anything everything string ceiling sibling building".split())


@cache
def lemma(word: str) -> str:
    """Cuts a word's ending, so that `sorts`, `sorted` and `sorting` are one.

    Args:
        word: One word, lower case.
    """
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word in BRITISH:
        return lemma(BRITISH[word]) if BRITISH[word] != word else word
    if len(word) < 4 or not word.isalpha() or word in _IRREGULAR_SKIP:
        return word
    stem = _cut(word)
    return BRITISH.get(stem) or BRITISH.get(stem + "e") or IRREGULAR.get(stem) or _bare(stem)


def _cut(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    for ending in ("sses", "shes", "ches", "xes", "zes"):
        if word.endswith(ending):
            return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    for ending in ("ing", "ed"):
        stem = word[: -len(ending)]
        if word.endswith(ending) and len(stem) > 2 and re.search("[aeiouy]", stem):
            return _whole(stem)
    return word


def _whole(stem: str) -> str:
    """Undoes what an ending did to a verb: `swapp` is `swap`, `rat` is `rate`."""
    if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "lsz":
        return stem[:-1]
    if re.fullmatch("[^aeiou][aeiou][^aeiouwxy]", stem):
        return stem + "e"
    return stem


def _bare(word: str) -> str:
    """Strips a last `e`, which some forms of a word have and others have lost."""
    return word[:-1] if len(word) > 4 and word[-1] == "e" and word[-2] != "e" else word


@cache
def vocabulary() -> frozenset[str]:
    """Returns common English words of six letters and more, and every word that this file knows."""
    known = f"{SAME} {CLOSE} {OPPOSITES} {' '.join(_SETS.values())} {' '.join(PHRASES)} {' '.join(IRREGULAR)}"
    text = resources.files("beastmode.cache").joinpath("vocabulary.txt").read_text(encoding="ascii")
    return frozenset(text.split()) | frozenset(known.split()) | DROPPED | NEGATIONS | LEADS


@lru_cache(maxsize=65536)
def corrected(word: str) -> str:
    """Undoes a slip of the finger: an unknown word that is one letter away from exactly one known word.

    Words under six letters and first letters are left alone: there, too many words are one letter from another.

    Args:
        word: One word, lower case.
    """
    if len(word) < 6 or not (word.isascii() and word.isalpha()) or _is_known(word):
        return word
    found = {near for near in _one_away(word) if len(near) > 5 and near in vocabulary()}
    return found.pop() if len(found) == 1 else word


def _is_known(word: str) -> bool:
    forms = (word, word.removesuffix("s"), word.removesuffix("es"), _cut(word), _bare(_cut(word)), _cut(word) + "e")
    return any(form in vocabulary() for form in forms)


def _one_away(word: str) -> Iterator[str]:
    """Yields what one lost, doubled, wrong or turned letter makes of a word (Damerau)."""
    for place in range(1, len(word) + 1):
        head, tail = word[:place], word[place:]
        if tail:
            yield head + tail[1:]
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        for letter in "abcdefghijklmnopqrstuvwxyz":
            yield head + letter + tail
            if tail:
                yield head + letter + tail[1:]


@cache
def groups() -> dict[str, str]:
    """Returns the name of each word's group of words that mean the same, by lemma."""
    found: dict[str, str] = {}
    for line in SAME.splitlines():
        words = [lemma(word) for word in line.split()]
        name = next((found[word] for word in words if word in found), words[0])
        for word in words:
            found.setdefault(word, name)
    return found


@cache
def concept(word: str) -> str:
    """Names what a word stands for: its group, else its lemma.

    Args:
        word: One word, lower case.
    """
    if word in NUMERALS:
        return NUMERALS[word]
    base = lemma(word)
    return groups().get(word) or groups().get(base, base)


@cache
def close_pairs() -> frozenset[frozenset[str]]:
    """Returns pairs of concepts that often stand for each other."""
    return _pairs(CLOSE)


@cache
def opposite_pairs() -> frozenset[frozenset[str]]:
    """Returns pairs of concepts that turn a request around."""
    return _pairs(OPPOSITES)


def _pairs(text: str) -> frozenset[frozenset[str]]:
    lines = (line.split() for line in text.splitlines())
    both = {frozenset((concept(a), concept(b))) for a, b in lines}
    return frozenset(pair for pair in both if len(pair) == 2)


@cache
def kinds() -> dict[str, str]:
    """Returns the kind of each concept that decides an answer: `language`, `unit`, `type` and others."""
    found: dict[str, str] = {}
    for kind, text in _SETS.items():
        for word in text.split():
            found.setdefault(word, kind)
            found.setdefault(concept(word), kind)
    return found


def is_opposite(a: str, b: str) -> bool:
    """Tells whether two concepts are opposites, by the list or by a prefix that negates.

    Args:
        a: A concept.
        b: Another.
    """
    if frozenset((a, b)) in opposite_pairs():
        return True
    long, short = (a, b) if len(a) > len(b) else (b, a)
    prefixes = ("un", "in", "im", "ir", "il", "non", "dis", "de", "anti", "mis", "non-", "un-", "in-", "de-")
    if len(short) > 2 and any(long == prefix + short for prefix in prefixes):
        return True
    return len(short) > 2 and long in (short + "less", short + "free")
