"""Text to the token ids of a GGUF file's vocabulary, by the `tokenizers` library.

The two kinds that the program reads: `llama` (SentencePiece: pieces merged by score, unknown
characters as bytes) and `gpt2` (bytes merged by a list of merges, words cut beforehand). The ids
are those of the program, which are llama.cpp's. Text never becomes a control token: those are asked
for by name (`control`).
"""

from gguf import GGUFReader
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Library

NORMAL, CONTROL, USER_DEFINED, BYTE = 1, 3, 4, 6
SPACE = "▁"

# How words are cut before bytes are merged, by the name in `tokenizer.ggml.pre`; the expressions
# are those that the makers published with their vocabularies.
WORDS = {
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
             r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "llama-bpe": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
                 r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
WHOLE_WORDS = {"llama-bpe"}  # a word that is a token is taken as such, whatever the merges say


class Tokenizer:
    """`encode(text)` gives a list of ids; `control` has the ids of control tokens by name; `bos`
    and `eos` are the ids around a sequence, the first only where the model `expects_bos`."""

    def __init__(self, gguf_path):
        fields = GGUFReader(gguf_path).fields
        read = lambda key, default=None: \
            fields[f"tokenizer.{key}"].contents() if f"tokenizer.{key}" in fields else default
        tokens, kinds, kind = read("ggml.tokens"), read("ggml.token_type"), read("ggml.model")
        self.vocab_size = len(tokens)
        self.chat_template = read("chat_template")
        self.bos, self.eos = read("ggml.bos_token_id"), read("ggml.eos_token_id")
        words = read("ggml.pre")
        self.expects_bos = read("ggml.add_bos_token", kind == "llama" or words in WHOLE_WORDS)
        of_kind = lambda kind: {t: i for i, (t, k) in enumerate(zip(tokens, kinds)) if k == kind}
        pieces, added = of_kind(NORMAL), of_kind(USER_DEFINED)
        self.control = of_kind(CONTROL)
        if kind == "llama":
            if read("ggml.add_space_prefix", True):
                raise ValueError("a vocabulary that wants a space before texts is not known here")
            self.library = by_score(pieces, of_kind(BYTE), read("ggml.scores"), added)
        elif kind == "gpt2":
            self.library = by_bytes(pieces, read("ggml.merges"), words, added)
        else:
            raise ValueError(f"a vocabulary of the unknown kind `{kind}`")
        # Cut out of any text before it is merged, the longest first, under the ids they have.
        self.library.add_tokens([AddedToken(t, normalized=False) for t in added])

    def encode(self, text):
        return self.library.encode(text, add_special_tokens=False).ids

    def texts(self):
        """What each id writes by itself, control tokens being left out."""
        control = set(self.control.values())
        return {i: self.library.decode([i], skip_special_tokens=False)
                for i in range(self.vocab_size) if i not in control}


def by_score(pieces, single_bytes, scores, added):
    # Of all ways to put a piece together the library wants each as a merge of its own, in order.
    merges = [(-scores[i], len(piece[:cut]), piece[:cut], piece[cut:])
              for piece, i in pieces.items() for cut in range(1, len(piece))
              if piece[:cut] in pieces and piece[cut:] in pieces]
    merges = [(left, right) for *_, left, right in sorted(merges)]
    library = Library(models.BPE(pieces | single_bytes | added, merges, byte_fallback=True))
    library.normalizer = normalizers.Replace(" ", SPACE)
    library.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(),
                                         decoders.Fuse()])
    return library


def by_bytes(pieces, merges, words, added):
    if words not in WORDS:
        raise ValueError(f"words of the unknown kind `{words}` (known: {', '.join(WORDS)})")
    merges = [tuple(merge.split(" ")) for merge in merges]
    library = Library(models.BPE(pieces | added, merges, ignore_merges=words in WHOLE_WORDS))
    library.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(WORDS[words]), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    library.decoder = decoders.ByteLevel()
    return library
