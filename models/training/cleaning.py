"""What makes a published summary fit to learn from: repairs, reasons to leave a pair out, a rating.

A record has `title` and `abstract` (English) and `zh_title`, `zh_abstract`, `zh_tldr`. The
summaries were written by several language models over the years. Recent ones share a style
(full-width punctuation, no space between Chinese and Latin letters, a one-liner that ends in a full
stop), and older ones are brought to it as far as characters go.
"""

import collections
import gzip
import json
import re

FIELDS = ("zh_title", "zh_abstract", "zh_tldr")
HAN = "\u4e00-\u9fff"
NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*")
# In Chinese text, which has no space before a number.
WRITTEN_NUMBER = re.compile(r"(?<![0-9A-Za-z_.])\d+(?:[.,]\d+)*")
NAME = re.compile(r"\b(?:[A-Z]{2,}[A-Za-z0-9-]*|[A-Z][a-z]+[A-Z][A-Za-z0-9]*)\b")
BOILERPLATE = re.compile(
    r"arXiv:|公告类型|Announce Type|translated_|tldr|(标题|摘要|一句话|总结|翻译)[：:]|作为AI|无法翻译"
    r"|<[a-z/]+>|https?://arxiv", re.I)
LABEL_IN_FRONT = re.compile(r"^(?:(?:中文)?(?:标题|摘要|一句话(?:总结)?|总结|译文|翻译)[：:]\s*)+")
DOTS_AT_END = re.compile(r"(?:\.{2,}|…+|。{2,})\s*$")
SENTENCE_END = re.compile(r"[.!?](?=\s+[A-Z])")
FULL_WIDTH = {0xFF10 + i: 0x30 + i for i in range(10)} | {
    base + i: ascii_base + i
    for base, ascii_base in ((0xFF21, 0x41), (0xFF41, 0x61)) for i in range(26)
} | {ord("％"): ord("%"), 0x3000: 0x20, 0xA0: 0x20, 0x200B: None}
TO_FULL_WIDTH = {",": "，", ";": "；", ":": "：", "?": "？", "!": "！"}


def read_clean(path):
    """The records that are fit to learn from, each with its `rating`, and how many are not."""
    records, faults = [], collections.Counter()
    with gzip.open(path, "rt", encoding="utf8") as lines:
        for line in lines:
            record = repaired(json.loads(line))
            reason = fault(record) if record else "breaks off early"
            if reason:
                faults[reason] += 1
            else:
                records.append(record | {"rating": rating(record)})
    return records, faults


def repaired(record):
    """A copy with its text in the recent style, or None where no whole sentence is left."""
    fixed = dict(record)
    for field in ("title", "abstract", *FIELDS):
        fixed[field] = " ".join((record.get(field) or "").split())
    for field in FIELDS:
        fixed[field] = LABEL_IN_FRONT.sub("", chinese_style(fixed[field]))
    fixed["zh_title"] = unquoted(fixed["zh_title"])
    fixed["zh_tldr"] = DOTS_AT_END.sub("", fixed["zh_tldr"]).rstrip(" .;；，,。") + "。"
    paragraph = fixed["zh_abstract"]
    if not paragraph.endswith(("。", "。）", "。”")) or DOTS_AT_END.search(paragraph):
        # The summary breaks off where the abstract did: both end with their last whole sentence.
        paragraph = DOTS_AT_END.sub("", paragraph)
        whole = paragraph[:paragraph.rfind("。") + 1]
        if len(whole) < 0.6 * len(paragraph):
            return None
        fixed["zh_abstract"], fixed["abstract"] = whole, whole_sentences(fixed["abstract"])
    return fixed


def unquoted(title):
    """`title` without the quotation marks around the whole of it."""
    title = title.strip(" 。.")
    for opening, closing in ("《》", "“”", '""'):
        inside = title[1:-1]
        if title[:1] == opening and title[-1:] == closing and opening not in inside \
                and closing not in inside:
            return inside.strip(" 。.")
    return title


def chinese_style(text):
    """Half-width letters and digits, full-width punctuation next to Chinese, no space between."""
    text = text.translate(FULL_WIDTH)
    text = re.sub(rf"(?<=[{HAN}，。；：、（）]) +| +(?=[{HAN}，。；：、（）])", "", text)
    text = re.sub(rf"(?<=[{HAN}）])[,;:?!](?=\D|$)", lambda m: TO_FULL_WIDTH[m[0]], text)
    # Those behind a single letter are of a function: O(n).
    return re.sub(rf"(?<=[{HAN}])\(([^()]*)\)|(?<![^A-Za-z][A-Za-z])(?<!^[A-Za-z])\(([^()]*)\)(?=[{HAN}])",
                  lambda m: f"（{m[1] if m[1] is not None else m[2]}）", text)


def whole_sentences(english):
    """`english` up to the end of its last sentence, if that is most of it."""
    if english.endswith((".", "!", "?")):
        return english
    ends = [m.end() for m in SENTENCE_END.finditer(english)]
    return english[:ends[-1]] if ends and ends[-1] > 0.6 * len(english) else english


def fault(record):
    """Why a repaired record is left out, or None."""
    title, paragraph, one_liner = (record[field] for field in FIELDS)
    if not all((record["title"], record["abstract"], title, paragraph, one_liner)):
        return "a field is missing"
    if any(BOILERPLATE.search(record[field]) for field in FIELDS):
        return "boilerplate"
    if any(looped(record[field]) for field in FIELDS):
        return "loop"
    if chinese_share(paragraph) < 0.6 or chinese_share(one_liner) < 0.5:
        return "not Chinese"
    if sum("\u4e00" <= c <= "\u9fff" for c in title) < 3:
        return "title not Chinese"
    if not 0.2 <= len(paragraph) / len(record["abstract"]) <= 0.5:
        return "length of the paragraph"
    if not 25 <= len(one_liner) <= 120 or len(title) > 60:
        return "length of title or one-liner"
    return None


def chinese_share(text):
    letters = sum(c.isalpha() for c in text)
    return sum("\u4e00" <= c <= "\u9fff" for c in text) / max(1, letters)


def looped(text):
    """Whether ten characters stand there three times, names and formulas left aside."""
    places = {}
    text = re.sub(r"[ -~]+", lambda m: chr(0xE000 + places.setdefault(m[0].strip(), len(places))), text)
    return any(text.count(text[i:i + 10]) >= 3 for i in range(0, max(0, len(text) - 10), 5))


def rating(record):
    """0 to 1: how much of the abstract's numbers and names the paragraph keeps, less what it made
    up. A pair that drops or invents numbers teaches to do so."""
    source, paragraph = plain(record["abstract"]), plain(record["zh_abstract"])
    written = set(written_numbers(paragraph + " " + plain(record["zh_tldr"])))
    invented = sum(n not in source and len(n) > 1 for n in written)
    return max(0.0, 0.6 * share_kept(NUMBER, record) + 0.4 * share_kept(NAME, record)
               - 0.3 * invented)


def written_numbers(text):
    """The numbers of a Chinese text; not those with a unit of magnitude, which are converted (400万)."""
    return [m[0] for m in WRITTEN_NUMBER.finditer(text) if text[m.end():m.end() + 1] not in set("百千万亿兆")]


def share_kept(pattern, record):
    """Of what `pattern` finds in the abstract, how much the paragraph has; 1 where it finds none."""
    found = set(pattern.findall(plain(record["abstract"])))
    paragraph = plain(record["zh_abstract"])
    return sum(item in paragraph for item in found) / len(found) if found else 1.0


def joined(first, second):
    """One paper of two: most abstracts are cut here, and a digest has whole ones, half as long again."""
    both = {field: first[field] + gap + second[field]
            for field, gap in (("id", "+"), ("abstract", " "), ("zh_abstract", ""))}
    return first | both


def is_recent(record, since):
    """Whether the paper is of the month `since` (`2405`) or later; old identifiers are not."""
    month = record["id"][:4]
    return month.isdigit() and month >= since


def plain(text):
    """`text` without the commas that group digits."""
    return text.replace(",", "")
