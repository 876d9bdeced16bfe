"""The form of a training sequence: a prompt file of the program, in the tokens of one model.

What is learned from has to be what the program will feed the model, to the token. So the prompt's
own TOML file is read, and messages of a chat are put into the chat template of the model's GGUF
file, with marks in their place, so that no text of a paper ever becomes a control token. Text
between control tokens is tokenized as one, and labels and fields one by one, as the program does.
"""

import re
import tomllib

import jinja2.sandbox

MARK = re.compile("\ufdd2(\\d+)\ufdd3")  # noncharacters around the number of a message
NAMES = {"title": "zh_title", "paragraph": "zh_abstract", "one-liner": "zh_tldr"}


class Form:
    def __init__(self, path, tokenizer):
        with open(path, "rb") as file:
            prompt = tomllib.load(file)
        self.tokenizer = tokenizer
        texts = [m["content"] for m in prompt.get("message", [])] or [prompt["template"]]
        jinja = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
        self.messages = [jinja.from_string(text) for text in texts]
        self.fields = [(NAMES[f["name"]], tokenizer.encode(f["label"])) for f in prompt["field"]]
        roles = [m["role"] for m in prompt.get("message", [])]
        self.frame = framed(tokenizer, roles) if roles else mark(0)
        self.is_chat = bool(roles)
        # A chat's answer ends with its turn, and that of one text with its line.
        self.end = ([] if roles else tokenizer.encode("\n")) + [tokenizer.eos]
        names = map(re.escape, sorted(tokenizer.control, key=len, reverse=True))
        self.controls = re.compile("(" + "|".join(names) + ")")

    def prompt(self, title, abstract, terms, keep):
        """Ids up to the first label. `terms` are pairs (term, translation)."""
        terms = [{"term": term, "translation": translation} for term, translation in terms]
        values = {"title": title, "abstract": abstract, "terms": terms, "keep": keep}
        ids, text = [], ""
        for at, part in enumerate(self.controls.split(self.frame)):
            if at % 2:
                ids += self.tokenizer.encode(text) + [self.tokenizer.control[part]]
                text = ""
            else:
                text = MARK.sub(lambda found: self.message(int(found[1]), values), part)
        ids += self.tokenizer.encode(text)
        if self.tokenizer.expects_bos and ids[:1] != [self.tokenizer.bos]:
            ids.insert(0, self.tokenizer.bos)
        return ids

    def message(self, number, values):
        text = self.messages[number].render(values)
        return text.strip() if self.is_chat else text

    def sequence(self, record, terms, keep):
        """Ids of prompt and answer, where the answer begins (behind the first label), and where the
        one-liner begins."""
        ids, begins = self.prompt(record["title"], record["abstract"], terms, keep), {}
        for field, label in self.fields:
            ids += label
            begins[field] = len(ids)
            ids += self.tokenizer.encode(record[field])
        first, *_ = begins.values()
        return ids + self.end, first, begins["zh_tldr"]


def mark(number):
    return f"\ufdd2{number}\ufdd3"


def framed(tokenizer, roles):
    """The chat of messages by `roles` up to where the model is to answer, marks for messages."""
    names = {i: name for name, i in tokenizer.control.items()}
    messages = [{"role": role, "content": mark(number)} for number, role in enumerate(roles)]
    # A file of somebody's must not run code here.
    jinja = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    frame = jinja.from_string(tokenizer.chat_template).render(
        messages=messages, add_generation_prompt=True, enable_thinking=False,
        bos_token=names.get(tokenizer.bos, ""), eos_token=names.get(tokenizer.eos, ""))
    if MARK.findall(frame) != [str(number) for number in range(len(roles))]:
        raise ValueError("the chat template does not say each message once, in order")
    return frame
