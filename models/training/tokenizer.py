"""Text to the token ids of a GGUF file's SentencePiece vocabulary, as the Rust program has them.

Why not a library: the ids must be exactly those that the program feeds the model, and the rules are
few. A space is spelled `▁`, none is put in front; two neighbours merge where their joint spelling
is a piece, the piece with the highest score first, the leftmost among equals; a character without a
piece becomes its bytes. User-defined tokens (a line break, runs of spaces) are cut out beforehand,
the longest first. Text never becomes a control token.

Words are merged one by one and remembered, which is exact where no piece has a space after another
character. The few such pieces (in Gemma's vocabulary `> </`) have their text merged as a whole.
"""

import functools
import heapq
import re

from gguf import GGUFReader

NORMAL, USER_DEFINED, BYTE = 1, 4, 6
SPACE = "▁"
WORD = re.compile(f"{SPACE}+[^{SPACE}]*|[^{SPACE}]+")


class Tokenizer:
    """`encode(text)` gives a list of ids; `bos` and `eos` are the ids around a sequence."""

    def __init__(self, gguf_path):
        fields = GGUFReader(gguf_path).fields
        read = lambda key: fields[f"tokenizer.ggml.{key}"].contents()
        tokens, scores, kinds = read("tokens"), read("scores"), read("token_type")
        if read("model") != "llama":
            raise ValueError("the vocabulary is not of the kind `llama` (SentencePiece)")
        self.bos, self.eos = read("bos_token_id"), read("eos_token_id")
        self.vocab_size = len(tokens)
        self.pieces = {t: i for i, (t, k) in enumerate(zip(tokens, kinds)) if k == NORMAL}
        self.scores = scores
        self.bytes = [None] * 256
        added = {}
        for i, (token, kind) in enumerate(zip(tokens, kinds)):
            if kind == BYTE:
                self.bytes[int(token[3:5], 16)] = i
            elif kind == USER_DEFINED:
                added[token] = i
        self.across_words = [p for p in self.pieces if re.search(f"[^{SPACE}]{SPACE}", p)]
        self.added = added
        longest_first = sorted(added, key=lambda t: len(t.encode()), reverse=True)
        self.added_pattern = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
        self.word = functools.lru_cache(maxsize=1 << 18)(self._word)

    def encode(self, text):
        ids = []
        for part in self.added_pattern.split(text):
            if part in self.added:
                ids.append(self.added[part])
            elif part:
                spelled = part.replace(" ", SPACE)
                whole = any(piece in spelled for piece in self.across_words)
                for word in [spelled] if whole else WORD.findall(spelled):
                    ids.extend(self.word(word))
        return ids

    def ids_matching(self, pattern):
        """Ids of the pieces that have a match of the regular expression `pattern`."""
        return [i for piece, i in self.pieces.items() if re.search(pattern, piece)]

    def _word(self, word):
        """Merges the characters of `word`; the queue holds every pair that could merge."""
        text = list(word)
        count = len(text)
        before, after = list(range(-1, count - 1)), list(range(1, count + 1))
        queue = []

        def offer(left, right):
            if left >= 0 and right < count:
                joint = text[left] + text[right]
                piece = self.pieces.get(joint)
                if piece is not None:
                    heapq.heappush(queue, (-self.scores[piece], left, right, joint))

        for right in range(1, count):
            offer(right - 1, right)
        while queue:
            _, left, right, joint = heapq.heappop(queue)
            if not text[left] or not text[right] or text[left] + text[right] != joint:
                continue  # one of the two has changed since
            text[left], text[right] = joint, ""
            after[left] = after[right]
            if after[left] < count:
                before[after[left]] = left
            offer(left, after[left])
            offer(before[left], left)
        ids = []
        for piece in filter(None, text):
            known = self.pieces.get(piece)
            ids.extend([known] if known is not None else [self.bytes[b] for b in piece.encode()])
        return tuple(ids)
