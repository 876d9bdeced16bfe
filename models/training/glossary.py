"""Counts the terms of a glossary, and learns which English words summaries never leave as they are.

    glossary.py TRAIN.jsonl.gz TERMS.tsv ENGLISH.txt

TERMS.tsv is written by hand: a term of one to four English words and its translation a line. The
third column, in how many papers of TRAIN the term stands, is written here, and so is the order of the
alphabet; a line of two columns will do for a new term. A fourth column has words, separated by commas,
one of which has to be in the paper, for terms that mean different things in different fields.
`terms_in` finds a table's terms in a text, exactly as the program does.

ENGLISH.txt has a word a line: those of small letters that stand in several abstracts and are hardly
ever kept in a paragraph, so that one that is left there is a slip. Names of tools are not among them,
nor is what Chinese writes in English (token, softmax).
"""

import argparse
import collections
import re

from cleaning import read_clean

WORD = re.compile(r"[^\W_]+")
# A word of small letters that belongs to no formula, path or compound.
ENGLISH = re.compile(r"(?<![A-Za-z0-9_\\/.$@{-])[a-z]{3,}(?![A-Za-z0-9_@(/\\$}-])")
SCALES = {"hundred", "thousand", "million", "billion", "trillion"}  # parts of numbers
MAX_WORDS = 4
# What turns the word behind it into another, often its opposite.
PREFIXES = {"anti", "non", "quasi", "pseudo", "un"}
PREPOSITIONS = {"in", "on", "off", "at"}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("train")
    parser.add_argument("terms")
    parser.add_argument("english")
    parser.add_argument("--min-papers", type=int, default=8, help="with an English word")
    parser.add_argument("--most-kept", type=float, default=0.03,
                        help="share of the papers with an English word whose paragraphs keep it")
    return parser.parse_args()


# Singulars that end in an s, and lose nothing; the longer ones at the end of a word as well. Among them are sciences
# that are something else without their s.
ENDING_IN_S = ("alias", "atlas", "bias", "bonus", "bus", "campus", "canvas", "census", "gas", "lens", "news",
               "status", "virus",
               "acoustics", "combinatorics", "dynamics", "electronics", "ethics", "genetics", "informatics",
               "kinematics", "kinetics", "linguistics", "logistics", "mathematics", "mechanics", "omics",
               "optics", "photonics", "physics", "pragmatics", "robotics", "semantics", "tectonics")
# Plurals that end as a science does.
NO_SCIENCES = ("comics", "atomics")
# Plurals that have no s, or another stem; those of more than four letters at the end of a word as well. Minima are
# not among them: what is minimum is mostly none.
IRREGULAR = {
    "matrices": "matrix", "vertices": "vertex", "indices": "index", "vortices": "vortex",
    "nuclei": "nucleus", "spectra": "spectrum", "criteria": "criterion", "phenomena": "phenomenon",
    "hypotheses": "hypothesis", "analyses": "analysis", "automata": "automaton",
    "equilibria": "equilibrium", "stimuli": "stimulus", "loci": "locus", "foci": "focus", "tori": "torus",
    "radii": "radius", "vacua": "vacuum", "momenta": "momentum", "bacteria": "bacterium", "novae": "nova",
    "simplices": "simplex", "syntheses": "synthesis", "crises": "crisis", "genera": "genus",
    "mice": "mouse", "children": "child", "corpora": "corpus",
}
# Letters that are spelled out as commands of TeX's.
LETTERS = {"alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta", "iota",
           "kappa", "lambda", "mu", "nu", "xi", "omicron", "pi", "varpi", "rho", "varrho", "sigma", "varsigma", "tau",
           "upsilon", "phi", "varphi", "chi", "psi", "omega", "ell"}
HYPHENS = ("-", "--", "\u2013", "$-")


def singular_of_acronym(word):
    """`word` without the s of a plural where capitals are before it, as in GPUs and KGs."""
    return word[:-1] if len(word) > 2 and word[-1] == "s" and word[:-1].isalpha() \
        and all(c.isupper() for c in word[:-1]) else word


def stem_of(word):
    """What singular and plural of `word` have in common: something to compare by, not always a word."""
    word = singular_of_acronym(word)
    for many, one in IRREGULAR.items():
        if word.endswith(many) and (word == many or len(many) > 4):
            return word.removesuffix(many) + one
    for one in (word, word.removesuffix("es")):
        if any(one == end or len(end) > 3 and one not in NO_SCIENCES and one.endswith(end)
               for end in ENDING_IN_S):
            return one
    if len(word) > 3 and word[-1] == "s" and word[-2] not in "siu":
        word = word[:-1]
    if len(word) > 4 and word.endswith("ie"):
        return word[:-2] + "y"
    if len(word) > 3 and word.endswith(("sse", "she", "che", "xe", "zze")):
        return word[:-1]
    return word


def words_of(text):
    """(stem, begin, end) of each word of `text`."""
    return [(stem_of(singular_of_acronym(m[0]).lower()), m.start(), m.end()) for m in WORD.finditer(text)]


def key_of(term):
    return tuple(stem for stem, *_ in words_of(term))


def fits(term, text, part):
    """Whether the words of `part` are those of `term` where capitals are what tells them apart, and
    joined by a hyphen where that tells `in-domain` and `corpus-based` from words like `in domains`."""
    words = words_of(term)
    for (_, start, stop), (_, begin, end) in zip(words, part):
        word = term[start:stop]
        if sum(c.isupper() for c in word) > 1 and stem_of(word) != stem_of(text[begin:end]):
            return False
    hyphen = lambda text, words: len(words) > 1 and text[words[0][2]:words[1][1]] in HYPHENS
    is_based = len(words) > 1 and words[1][0] == "based" and text[part[-1][2]:].startswith(" on ")
    holds = words[0][0] in PREPOSITIONS or is_based
    return not holds or not hyphen(term, words) or hyphen(text, part)


def is_denied(text, before, word):
    """Whether `word` is not what it says, because of the one before: non-local, anti-ferromagnetic."""
    joint = text[before[2]:word[1]]
    return before[0] in PREFIXES and (joint in HYPHENS or joint == " " and before[0] == "non")


def is_joined(text, end, begin):
    """Whether words that end and begin there can belong to one term."""
    return text[end:begin] in (" ", "'", "\u2019", *HYPHENS)


def meant(entries, stems, text, part):
    """Of the lines of one key the one that is meant by the words `part` of `text`: that with most of its
    words beside it among `stems`, else one that needs none."""
    best, most = None, (-1, 0)
    for entry in entries:
        beside = len(entry[3] & stems)
        # A term of capitals before one that any case will do for.
        capitals = sum(sum(c.isupper() for c in word) > 1 for word in WORD.findall(entry[0]))
        rank = (beside, capitals)
        if rank > most and (beside or not entry[3]) and fits(entry[0], text, part):
            best, most = entry, rank
    return best


def terms_in(text, table, most):
    """The terms of `table` (see read_table) in `text`, the longest first where
    they overlap: at most `most`, those with the fewest papers for each time they stand there, in the
    order in which they stand."""
    words, found, times, at = words_of(text), {}, collections.Counter(), 0
    stems = {stem for stem, *_ in words}
    while at < len(words):
        _, begin, end = words[at]
        if text[begin - 1:begin] == "\\" and text[begin:end].lower() not in LETTERS:
            at += 1
            continue
        # By itself; a term that goes on says what it says.
        denied = bool(at and is_denied(text, *words[at - 1:at + 1]))
        length = 1
        while (length < MAX_WORDS and at + length < len(words)
               and is_joined(text, words[at + length - 1][2], words[at + length][1])):
            length += 1
        for count in range(length, denied, -1):
            key = tuple(stem for stem, *_ in words[at:at + count])
            entry = meant(table.get(key, ()), stems, text, words[at:at + count])
            if entry:
                found.setdefault(entry, len(found))
                times[entry] += 1
                at += count - 1
                break
        at += 1
    urgent = sorted(found, key=lambda entry: (entry[2] / times[entry], found[entry]))[:most]
    return sorted(urgent, key=found.get)


def read_table(path):
    """key → its lines: (term, translation, papers, stems of the words beside it, these as they are
    written); a term that was never counted is in one."""
    with open(path, encoding="utf8") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines if not line.startswith("#")]
    table = {}
    for term, translation, *more in rows:
        papers, written = (*more, "", "")[:2]
        beside = frozenset(stem for stem, *_ in words_of(written))
        lines = table.setdefault(key_of(term), [])
        for other in lines:
            if other[3] == beside:
                raise ValueError(f"{path}: `{other[0]}` and `{term}` are one word")
        lines.append((term, translation, int(papers or 1), beside, written))
    for key, (term, *_) in ((key, line) for key, lines in table.items() for line in lines):
        words = words_of(term)
        joined = all(is_joined(term, a[2], b[1]) for a, b in zip(words, words[1:]))
        if not 1 <= len(key) <= MAX_WORDS or not joined:
            raise ValueError(f"{path}: `{term}` is not one to {MAX_WORDS} words with a space, hyphen "
                             "or apostrophe between")
    return table


def counted(table, records):
    """The lines of `table` with the papers of `records` that each is meant in: one at least."""
    papers = collections.Counter()
    for record in records:
        papers.update(terms_in(f"{record['title']}\n{record['abstract']}", table, len(table)))
    return [(*line[:2], max(1, papers[line]), *line[3:]) for lines in table.values() for line in lines]


def english_words(records, args):
    """Words that stand in --min-papers abstracts and in few of their paragraphs, or in fewer, three
    at least, and in none."""
    there, kept = collections.Counter(), collections.Counter()
    for record in records:
        words = set(ENGLISH.findall(record["abstract"]))
        there.update(words)
        kept.update(words & set(ENGLISH.findall(record["zh_abstract"])))
    is_slip = lambda word, papers: kept[word] < args.most_kept * papers if \
        papers >= args.min_papers else papers >= 3 and not kept[word]
    return sorted(word for word, papers in there.items()
                  if is_slip(word, papers) and word not in SCALES)


def main():
    args = parse_arguments()
    table = read_table(args.terms)
    records, _ = read_clean(args.train)
    print(f"{len(records)} papers, {len(table)} terms", flush=True)
    with open(args.english, "w", encoding="utf8") as out:
        out.write("".join(word + "\n" for word in english_words(records, args)))
    rows = sorted(counted(table, records), key=lambda row: (row[0].lower(), row[0], row[4]))
    with open(args.terms, "w", encoding="utf8") as out:
        for term, translation, papers, _, written in rows:
            out.write("\t".join([term, translation, str(papers), written]).rstrip("\t") + "\n")


if __name__ == "__main__":
    main()
