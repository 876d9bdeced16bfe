"""Learns a table of terms, English to Chinese, from pairs of abstracts and summaries, and which
English words summaries never leave as they are.

    glossary.py TRAIN.jsonl.gz TERMS.tsv ENGLISH.txt

A term is one to four English words. Its translation is the run of two to eight Chinese characters
that stands in the summaries of the papers with the term and in few others, by Dice's coefficient
(Dice 1945; as in Smadja, McKeown and Hatzivassiloglou 1996, "Translating collocations for bilingual
lexicons"). A pair is kept where the one is the best partner of the other in both directions.

TERMS.tsv has a term and its translation a line, in the order of the alphabet. `terms_in` finds a
table's terms in a text, exactly as the program does.

ENGLISH.txt has a word a line: those of small letters that stand in several abstracts and are hardly
ever kept in a paragraph, so that one that is left there is a slip. Names of tools are not among them,
nor is what Chinese writes in English (token, softmax).
"""

import argparse
import collections
import re

import numpy as np
import scipy.sparse

from cleaning import NAME, read_clean

WORD = re.compile(r"[^\W_]+")
HAN_RUN = re.compile(r"[\u4e00-\u9fff]+")
# Words that no term begins or ends with.
STOP = set("""a about above across after against all also among an and any are as at based be because
been before being below between both but by can cannot could did do does doing down due during each
either even every few first for from further given had has have having he her here hers him his how
however i if in including into is it its itself just let like many may me might more most much must
my new no nor not novel now of off on once one only or other our out over own paper per present
propose proposed provide s same several she should show shows so some such than that the their them
then there these they this those three through thus to too toward towards two under until up upon us
use used using various very via was we well were what when where whether which while who whose why
will with within without work would you your t d ll re ve e g eg ie etc et al results result
approach approaches method methods study""".split())
# A word of small letters that belongs to no formula, path or compound.
ENGLISH = re.compile(r"(?<![A-Za-z0-9_\\/.$@{-])[a-z]{3,}(?![A-Za-z0-9_@(/\\$}-])")
SCALES = {"hundred", "thousand", "million", "billion", "trillion"}  # parts of numbers
MAX_WORDS = 4
OUTER_LEFT = set("的了和与及或是为将被对其该而且并也都我们中之们性化度一个这那些等上下以")
OUTER_RIGHT = set("的了和与及或是为将被对其该而且并也都我们在从向把个这那些等以所有进提通")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("train")
    parser.add_argument("out")
    parser.add_argument("english")
    parser.add_argument("--min-papers", type=int, default=8, help="with the term, or the word")
    parser.add_argument("--most-kept", type=float, default=0.03,
                        help="share of the papers with an English word whose paragraphs keep it")
    parser.add_argument("--max-papers", type=int, default=600,
                        help="with the term; what is more common a model knows")
    parser.add_argument("--min-dice", type=float, default=0.45)
    parser.add_argument("--min-recall", type=float, default=0.45,
                        help="share of the papers with the term that have the translation")
    return parser.parse_args()


def singular(word):
    """`word` without the s of a plural: a stem to compare by, not a word."""
    return word[:-1] if len(word) > 3 and word[-1] == "s" and word[-2] not in "siu" else word


def words_of(text):
    """(stem, begin, end) of each word of `text`."""
    return [(singular(m[0].lower()), m.start(), m.end()) for m in WORD.finditer(text)]


def key_of(term):
    return tuple(stem for stem, *_ in words_of(term))


def fits(term, text, part):
    """Whether the words of `part` are those of `term` where capitals are what tells them apart."""
    for match, (_, begin, end) in zip(WORD.finditer(term), part):
        if sum(c.isupper() for c in match[0]) > 1 and singular(match[0]) != singular(text[begin:end]):
            return False
    return True


def is_joined(text, end, begin):
    """Whether words that end and begin there can belong to one term."""
    return text[end:begin] in (" ", "-")


def terms_in(text, table, most):
    """The terms of `table` (key → (term, translation, papers)) in `text`, the longest first where
    they overlap: at most `most`, those with the fewest papers for each time they stand there, in the
    order in which they stand."""
    words, found, times, at = words_of(text), {}, collections.Counter(), 0
    while at < len(words):
        length = 1
        while (length < MAX_WORDS and at + length < len(words)
               and is_joined(text, words[at + length - 1][2], words[at + length][1])):
            length += 1
        for count in range(length, 0, -1):
            key = tuple(stem for stem, *_ in words[at:at + count])
            if key in table and fits(table[key][0], text, words[at:at + count]):
                found.setdefault(key, len(found))
                times[key] += 1
                at += count - 1
                break
        at += 1
    urgent = sorted(found, key=lambda key: (table[key][2] / times[key], found[key]))[:most]
    return [table[key] for key in sorted(urgent, key=found.get)]


def read_table(path):
    with open(path, encoding="utf8") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines if not line.startswith("#")]
    return {key_of(term): (term, translation, int(papers)) for term, translation, papers in rows}


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


def english_terms(text):
    words, terms = words_of(text), {}
    for at in range(len(words)):
        for count in range(1, MAX_WORDS + 1):
            part = words[at:at + count]
            if len(part) < count or count > 1 and not is_joined(text, part[-2][2], part[-1][1]):
                break
            stems = tuple(stem for stem, *_ in part)
            if any(stem in STOP for stem in stems) or not stems[-1][-1].isalpha():
                continue
            if stems[0].endswith("ly") or count == 1 and stems[0].endswith(("ed", "ing")):
                continue  # adverbs, and what is a verb more often than a term
            if all(len(stem) < 3 for stem in stems):
                continue
            terms.setdefault(stems, text[part[0][1]:part[-1][2]])
    return terms


def chinese_runs(text):
    runs = set()
    for match in HAN_RUN.finditer(text):
        run = match[0]
        for length in range(2, 9):
            runs.update(run[i:i + length] for i in range(len(run) - length + 1))
    return runs


def whole_runs(items, counts):
    """Which runs are words or phrases by themselves, as far as can be told: not nearly always a
    part of one and the same longer run, and without a particle at either end."""
    index = {item: i for i, item in enumerate(items)}
    whole = np.array([item[0] not in OUTER_LEFT and item[-1] not in OUTER_RIGHT for item in items])
    for item, i in index.items():
        if len(item) > 2:
            for part in (item[1:], item[:-1]):
                at = index.get(part)
                if at is not None and counts[i] >= 0.7 * counts[at]:
                    whole[at] = False
    return whole


def incidence(sets, least, most):
    """Papers × items as a 0/1 matrix, and the items: those in `least` to `most` papers."""
    counts = collections.Counter(item for items in sets for item in items)
    kept = {item: i for i, item in enumerate(k for k, n in counts.items() if least <= n <= most)}
    rows, columns = [], []
    for row, items in enumerate(sets):
        here = [kept[item] for item in items if item in kept]
        rows.extend([row] * len(here))
        columns.extend(here)
    ones = np.ones(len(rows), np.float32)
    return scipy.sparse.csr_matrix((ones, (rows, columns)), (len(sets), len(kept))), list(kept)


def main():
    args = parse_arguments()
    records, _ = read_clean(args.train)
    print(f"{len(records)} papers", flush=True)
    with open(args.english, "w", encoding="utf8") as out:
        out.write("".join(word + "\n" for word in english_words(records, args)))
    english, surfaces = [], collections.defaultdict(collections.Counter)
    for record in records:
        found = english_terms(record["title"]) | english_terms(record["abstract"])
        english.append(found.keys())
        for key, surface in english_terms(record["abstract"]).items():
            surfaces[key][surface] += 1
    chinese = [chinese_runs(r["zh_title"] + "\n" + r["zh_abstract"] + "\n" + r["zh_tldr"])
               for r in records]
    e_matrix, e_items = incidence(english, args.min_papers, args.max_papers)
    z_matrix, z_items = incidence(chinese, args.min_papers // 2, 2 * args.max_papers)
    print(f"{len(e_items)} terms, {len(z_items)} runs of characters", flush=True)
    e_count = np.asarray(e_matrix.sum(0)).ravel()
    z_count = np.asarray(z_matrix.sum(0)).ravel()
    z_length = np.array([len(item) for item in z_items])
    whole = whole_runs(z_items, z_count)
    e_by_paper = e_matrix.T.tocsr()

    # For each term the best run, and for each run the best term so far.
    best, best_of_run = {}, np.zeros(len(z_items))
    run_term = np.full(len(z_items), -1)
    for start in range(0, len(e_items), 256):
        together = (e_by_paper[start:start + 256] @ z_matrix).tocsr()
        for row in range(together.shape[0]):
            part = slice(together.indptr[row], together.indptr[row + 1])
            runs, both = together.indices[part], together.data[part]
            term = start + row
            dice = 2 * both / (e_count[term] + z_count[runs])
            better = dice > best_of_run[runs]
            best_of_run[runs[better]] = dice[better]
            run_term[runs[better]] = term
            recall = both / e_count[term]
            fit = (dice >= args.min_dice) & (recall >= args.min_recall) & whole[runs]
            if fit.any():
                runs, both, dice = runs[fit], both[fit], dice[fit]
                # Parts of a word stand where the word stands: of nearly equals the longest.
                near = dice >= 0.93 * dice.max()
                chosen = np.lexsort((dice[near], z_length[runs[near]]))[-1]
                best[term] = (runs[near][chosen], dice[near][chosen])
        if start % 8192 == 0:
            print(f"{start} terms", flush=True)

    lines = []
    for term, (run, dice) in best.items():
        rival = run_term[run]
        # A run's best term may be the same words with one more; a part of it is no term then.
        if rival != term and dice < 0.97 * best_of_run[run]:
            continue
        key = e_items[term]
        surface = min(surfaces[key].most_common(3) or [(" ".join(key), 1)],
                      key=lambda pair: (-pair[1], pair[0]))[0]
        if NAME.search(surface):
            continue  # what an acronym stands for is written out in few papers; these keep it
        lines.append((surface, z_items[run], int(e_count[term]), float(dice)))
    lines.sort(key=lambda line: (line[0].lower(), line[0]))
    with open(args.out, "w", encoding="utf8") as out:
        for surface, run, papers, dice in lines:
            out.write(f"{surface}\t{run}\t{papers}\n")
    print(f"{len(lines)} pairs")


if __name__ == "__main__":
    main()
