//! The engine for architectures that are no decoder of ours, against the networks for unquantized
//! weights that candle-transformers has for each, which read a text anew for every token.

mod oracle;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, gguf_file::Value};
use tempfile::TempDir;
use wenzhai::engine::candle::DeviceChoice;
use wenzhai::engine::transformers::{Architecture, TransformersEngine};
use wenzhai::error::{Error, ErrorKind};
use wenzhai::generate::{
    Batch, Engine, Field, Generator, Limits, Picked, Request, Sampling, TokenFilter, TokenId,
    TokenSet,
};
use wenzhai::model::{Adapter, Model};
use wenzhai::shortlist::Shortlist;

use self::oracle::Oracle;
use crate::support::networks::{self, Network};
use crate::support::noise::Noise;
use crate::support::place::command_in;
use crate::support::raw_gguf::RawModel;
use crate::support::tiny;

const ARCHITECTURES: [&str; 4] = ["phi3", "glm4", "lfm2", "qwen3moe"];
const ALONE: Limits = Limits {
    max_sequences: 1,
    rows_per_step: 512,
    prefill_rows: 64,
    max_context: networks::CONTEXT,
    kv_positions: networks::CONTEXT,
};

fn file(folder: &Path, network: &Network, kind: GgmlDType) -> PathBuf {
    let path = folder.join(format!("{}.gguf", network.architecture));
    network.write(&path, kind, &[]);
    path
}

fn engine(path: &Path, architecture: &str, list: Option<&Shortlist>) -> TransformersEngine {
    let architecture = Architecture::named(architecture).unwrap();
    TransformersEngine::load(path, architecture, DeviceChoice::Cpu, networks::CONTEXT, list)
        .unwrap()
}

fn tokens(seed: u64, length: usize) -> Vec<TokenId> {
    let mut random = Noise(seed);
    (0..length).map(|_| ((random.next() + 1.0) * 136.0) as TokenId).collect()
}

/// Two fields with a label of three tokens before the second.
fn request(id: u64, prompt: Vec<TokenId>, filter: Option<Arc<dyn TokenFilter>>) -> Request {
    let field = |label: &[TokenId], max_tokens| Field {
        label: label.to_vec(),
        stop: Arc::new(TokenSet::default()),
        max_tokens,
        filter: filter.clone(),
    };
    Request {
        id,
        prompt,
        fields: vec![field(&[], 6), field(&[40, 50, 60], 8)],
        sampling: Sampling::Greedy,
    }
}

/// What is written for each of `requests`, a field each.
type Texts = BTreeMap<u64, Vec<Vec<TokenId>>>;

fn generate(
    engine: &mut impl Engine,
    limits: Limits,
    prefix: &[TokenId],
    requests: &[Request],
) -> Texts {
    let mut generator = Generator::new(engine, limits, prefix.to_vec()).unwrap();
    requests.iter().for_each(|request| generator.push(request.clone()).unwrap());
    let mut texts = BTreeMap::new();
    while let Some(turn) = generator.step().unwrap() {
        for finished in turn.finished {
            let fields = finished.fields.into_iter().map(|field| field.tokens).collect();
            texts.insert(finished.id, fields);
        }
    }
    texts
}

/// Prompts of many lengths; the fourth is of a single token, the fifth does not begin as most do.
fn prompts(prefix: &[TokenId]) -> Vec<Vec<TokenId>> {
    let after = |seed, length| [prefix, &tokens(seed, length)].concat();
    vec![after(11, 30), after(12, 4), after(13, 17), vec![77], tokens(14, 9)]
}

#[test]
fn what_is_written_is_what_the_unquantized_network_would_write() {
    let folder = tempfile::tempdir().unwrap();
    for architecture in ARCHITECTURES {
        let network = Network::new(architecture, 3);
        let path = file(folder.path(), &network, GgmlDType::F32);
        let mut oracle = Oracle::new(&network);
        let prefix = tokens(10, 5);
        let requests: Vec<Request> =
            (0..).zip(prompts(&prefix)).map(|(id, prompt)| request(id, prompt, None)).collect();
        let expected: Texts =
            requests.iter().map(|job| (job.id, oracle.write(job, |_, _| true))).collect();
        // One after the other, side by side, and in small pieces.
        let side_by_side = Limits { max_sequences: 3, kv_positions: 1000, ..ALONE };
        let pieces = Limits { max_sequences: 2, rows_per_step: 5, ..side_by_side };
        for limits in [ALONE, side_by_side, pieces] {
            let mut engine = engine(&path, architecture, None);
            let written = generate(&mut engine, limits, &prefix, &requests);
            assert_eq!(written, expected, "{architecture}, {limits:?}");
        }
    }
}

#[test]
fn papers_in_turn_are_written_as_each_alone() {
    let folder = tempfile::tempdir().unwrap();
    let check = |architecture: &'static str, kind, prompts: &[Vec<TokenId>]| {
        let path = file(folder.path(), &Network::new(architecture, 4), kind);
        let requests: Vec<Request> =
            (0..).zip(prompts).map(|(id, prompt)| request(id, prompt.clone(), None)).collect();
        let mut alone = Texts::new();
        for job in &requests {
            let one = std::slice::from_ref(job);
            alone.extend(generate(&mut engine(&path, architecture, None), ALONE, &[], one));
        }
        let in_turn = generate(&mut engine(&path, architecture, None), ALONE, &[], &requests);
        assert_eq!(in_turn, alone, "{architecture}, {kind:?}");
    };
    for architecture in ARCHITECTURES {
        check(architecture, GgmlDType::F32, &prompts(&[]));
    }
    // Products of blocks take long where candle is not optimised, so there are few of them: those of
    // the experts, whose blocks are handed out to matrices of their own.
    check("qwen3moe", GgmlDType::Q8_0, &[tokens(21, 6), vec![77]]);
}

/// Has no memory for one of its steps, once it has computed it.
struct Forgetful {
    engine: TransformersEngine,
    steps: usize,
    failing: usize,
}

impl Engine for Forgetful {
    fn set_prefix(&mut self, tokens: &[TokenId]) -> Result<(), Error> {
        self.engine.set_prefix(tokens)
    }

    fn step(&mut self, batch: &Batch<'_>) -> Result<Vec<Picked>, Error> {
        self.steps += 1;
        let picked = self.engine.step(batch)?;
        match self.steps == self.failing {
            true => Err(Error::new(ErrorKind::Memory, "no memory")),
            false => Ok(picked),
        }
    }
}

#[test]
fn a_step_that_is_asked_for_again_writes_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = tokens(10, 5);
    let requests: Vec<Request> =
        (0..).zip(prompts(&prefix)).map(|(id, prompt)| request(id, prompt, None)).collect();
    // Where rows are few, the third sequence has none in the first step.
    let side_by_side = Limits { max_sequences: 3, kv_positions: 1000, ..ALONE };
    let pieces = Limits { rows_per_step: 5, ..side_by_side };
    for architecture in ARCHITECTURES {
        let path = file(folder.path(), &Network::new(architecture, 3), GgmlDType::F32);
        let alone = generate(&mut engine(&path, architecture, None), ALONE, &prefix, &requests);
        for (failing, limits) in [(1, side_by_side), (4, side_by_side), (1, pieces), (9, pieces)] {
            let engine = engine(&path, architecture, None);
            let mut forgetful = Forgetful { engine, steps: 0, failing };
            let written = generate(&mut forgetful, limits, &prefix, &requests);
            assert_eq!(written, alone, "{architecture}, step {failing} of {limits:?}");
        }
    }
}

/// Refuses every third token.
#[derive(Debug)]
struct NoThird;

impl TokenFilter for NoThird {
    fn after<'a>(&'a self, _: &[TokenId]) -> Box<dyn Fn(TokenId) -> bool + 'a> {
        Box::new(|token| !token.is_multiple_of(3))
    }
}

#[test]
fn guards_and_a_shortlist_hold() {
    let folder = tempfile::tempdir().unwrap();
    let prompt = tokens(20, 12);
    let vocabulary = tiny::vocabulary().len();
    let ids: Vec<TokenId> = (100..140).collect();
    let list = Shortlist::new(vocabulary, ids.clone()).unwrap();
    for architecture in ARCHITECTURES {
        let network = Network::new(architecture, 6);
        let path = file(folder.path(), &network, GgmlDType::F32);
        let mut oracle = Oracle::new(&network);
        let job = request(0, prompt.clone(), Some(Arc::new(NoThird)));
        let free = oracle.write(&job, |_, _| true);
        let held = oracle.write(&job, |read, token| {
            !token.is_multiple_of(3) && (ids.contains(&token) || read.contains(&token))
        });
        assert_ne!(free, held);
        let mut engine = engine(&path, architecture, Some(&list));
        let written = generate(&mut engine, ALONE, &[], &[job]);
        assert_eq!(written[&0], held, "{architecture}");
    }
}

#[test]
fn models_that_would_be_computed_wrongly_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    let load = |architecture: &'static str, changed: &[(&str, Value)]| {
        Network::new(architecture, 1).write(&path, GgmlDType::F32, changed);
        let architecture = Architecture::named(architecture).unwrap();
        TransformersEngine::load(&path, architecture, DeviceChoice::Cpu, 4096, None)
    };
    let refuses = |architecture, changed: (&str, Value), expected: &str| {
        let error = load(architecture, &[changed]).err().expect(expected);
        let cause = std::error::Error::source(&error).expect(expected).to_string();
        assert!(error.to_string().starts_with("cannot load "), "{error}");
        assert!(cause.contains(expected), "{cause}");
    };
    let yarn = Value::String("yarn".into());
    refuses("phi3", ("phi3.rope.freq_base", Value::F32(250_000.0)), "rope.freq_base is 250000");
    refuses("phi3", ("phi3.rope.dimension_count", Value::U32(12)), "rope.dimension_count is 12");
    refuses("glm4", ("glm4.rope.dimension_count", Value::U32(32)), "rope.dimension_count is 32");
    refuses("glm4", ("glm4.attention.key_length", Value::U32(1)), "0 dimensions of a head");
    let huge = Value::U32(1 << 20);
    refuses("glm4", ("glm4.attention.key_length", huge.clone()), "524288 dimensions of a head");
    refuses("qwen3moe", ("qwen3moe.attention.key_length", huge), "1048576 dimensions of a head");
    refuses("phi3", ("phi3.attention.head_count", Value::U32(64)), "1 dimensions of a head");
    refuses("phi3", ("phi3.rope.dimension_count", Value::U32(0)), "no size phi3.rope");
    refuses("qwen3moe", ("qwen3moe.rope.scaling.type", yarn), "rope.scaling.type is yarn");
    refuses("qwen3moe", ("qwen3moe.expert_used_count", Value::U32(7)), "is 7, of 6 experts");
    refuses("qwen3moe", ("qwen3moe.expert_count", Value::U32(5)), "of 6 experts, not of 5");
    refuses(
        "lfm2",
        ("lfm2.attention.head_count", Value::U32(0)),
        "no size lfm2.attention.head_count",
    );
    refuses("glm4", ("glm4.attention.head_count_kv", Value::U32(3)), "head_count_kv is 3");

    let sections = Value::Array([8, 12, 12, 0].map(Value::I32).into());
    refuses("glm4", ("glm4.rope.dimension_sections", sections), "(M-RoPE)");
    let layers = "glm4.nextn_predict_layers is 1: layers that predict further tokens";
    refuses("glm4", ("glm4.nextn_predict_layers", Value::U32(1)), layers);
    let dense = "qwen3moe.leading_dense_block_count is 2: a mixture of experts";
    refuses("qwen3moe", ("qwen3moe.leading_dense_block_count", Value::U32(2)), dense);
    refuses("lfm2", ("lfm2.expert_count", Value::U32(4)), "lfm2.expert_count is 4: a mixture of");
    refuses("phi3", ("phi3.logit_scale", Value::F32(0.5)), "phi3.logit_scale is 0.5: a factor");
    refuses("lfm2", ("lfm2.rope.scaling.factor", Value::F32(4.0)), "rope.scaling.factor is 4");
    refuses("glm4", ("glm4.rope.scale_linear", Value::U32(4)), "rope.scale_linear is no number");
    refuses("phi3", ("phi3.rope.scaling.type", Value::U32(1)), "rope.scaling.type is no text");
    refuses("glm4", ("glm4.attention.value_length", Value::U32(16)), "value_length is 16");
    refuses("lfm2", ("lfm2.rope.freq_base", Value::F32(f32::NAN)), "rope.freq_base is no positive");
    let epsilon = "qwen3moe.attention.layer_norm_rms_epsilon";
    refuses("qwen3moe", (epsilon, Value::F32(0.0)), "layer_norm_rms_epsilon is no positive");

    let context = |changed: &[(&str, Value)]| load("phi3", changed).unwrap().max_context();
    assert_eq!(context(&[]), networks::CONTEXT);
    assert_eq!(context(&[("phi3.attention.sliding_window", Value::U32(99))]), 99);
}

#[test]
fn tensors_that_would_be_computed_wrongly_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    // A matrix gets another number of rows, a vector a value that is no number.
    let refuses = |architecture: &'static str, name: &str, rows: u64, expected: &str| {
        Network::new(architecture, 1).write(&path, GgmlDType::F32, &[]);
        let mut raw = RawModel::read(&path);
        let tensor = raw.tensor(name);
        if tensor.dimensions.len() > 1 {
            let row_bytes = tensor.data.len() / tensor.dimensions[1] as usize;
            tensor.data.resize(rows as usize * row_bytes, 0);
            tensor.dimensions[1] = rows;
        } else {
            tensor.data[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        }
        raw.write(&path);
        let architecture = Architecture::named(architecture).unwrap();
        let error = TransformersEngine::load(&path, architecture, DeviceChoice::Cpu, 4096, None);
        let error = error.err().expect(expected);
        let cause = std::error::Error::source(&error).expect(expected).to_string();
        assert_eq!(cause, expected);
    };
    // Experts that no row of the router scores, and scores that are of no expert.
    let router = "blk.2.ffn_gate_inp.weight";
    for rows in [1, 5, 7] {
        let expected = format!("tensor {router} has shape [{rows}, 64] instead of [6, 64]");
        refuses("qwen3moe", router, rows, &expected);
    }
    for architecture in ARCHITECTURES {
        let head = if ["phi3", "glm4"].contains(&architecture) {
            "tensor output.weight has shape [274, 64] instead of [200, 64]"
        } else {
            "tensor token_embd.weight has 200 rows for 274 tokens"
        };
        refuses(architecture, "token_embd.weight", 200, head);
        let name = "blk.1.ffn_norm.weight";
        let what = "holds infinite values or such that are no numbers";
        refuses(architecture, name, 0, &format!("tensor {name} {what}"));
    }
}

#[test]
fn what_is_not_known_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    let warnings = |architecture: &'static str, changed: &[(&str, Value)]| {
        Network::new(architecture, 1).write(&path, GgmlDType::F32, changed);
        engine(&path, architecture, None).warnings().to_vec()
    };
    for architecture in ARCHITECTURES {
        assert!(warnings(architecture, &[]).is_empty(), "{architecture}");
    }
    let model = ("tokenizer.ggml.model", Value::String("gpt2".into()));
    let found = warnings("glm4", &[("glm4.later_idea", Value::F32(2.0)), model.clone()]);
    let [unknown, lacking] = &found[..] else { panic!("{found:?}") };
    assert!(unknown.ends_with("that nothing follows: later_idea"), "{unknown}");
    assert!(lacking.starts_with("the GGUF file lacks tokenizer.ggml.pre"), "{lacking}");
    let pre = ("tokenizer.ggml.pre", Value::String("glm4".into()));
    assert!(warnings("glm4", &[model, pre]).is_empty());
}

#[test]
fn what_takes_a_decoder_of_ours_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), &Network::new("glm4", 1), GgmlDType::Q8_0);
    let adapter = Some(Adapter { name: "test", bytes: b"" });
    for adapter in [None, adapter] {
        let error = Model::load(&path, adapter).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "a model of architecture \"glm4\" can write digests, no more");
    }
    assert_eq!(Model::architecture(&path).unwrap(), "glm4");
}

/// A prompt within the context of a tiny model.
const PROMPT: &str = r#"
abstract_tokens = 40
template = "{{ title }}: {{ abstract }} "
[[field]]
name = "title"
label = ""
max_tokens = 6
[[field]]
name = "paragraph"
label = " a "
max_tokens = 12
[[field]]
name = "one-liner"
label = " b "
max_tokens = 8
"#;

fn paper(number: u32) -> String {
    format!(
        "{{\"id\":\"2699.{number:05}\",\"link\":\"http://arxiv.org/abs/2699.{number:05}\",\
         \"title\":\"Counting goats {number}\",\"abstract\":\"We count goats on {number} hills.\"}}\n"
    )
}

struct Finished {
    status: i32,
    stdout: String,
    stderr: String,
}

/// Runs the program in `folder`, where it has all its own folders.
fn run(folder: &TempDir, args: &[&str]) -> Finished {
    let output = command_in(folder.path()).args(args).output().unwrap();
    Finished {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn the_program_writes_digests_with_them_and_warns() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("prompt.toml"), PROMPT).unwrap();
    for (name, count) in [("first.jsonl", 1), ("both.jsonl", 2)] {
        let papers: String = (1..=count).map(paper).collect();
        std::fs::write(folder.path().join(name), papers).unwrap();
    }
    for architecture in ARCHITECTURES {
        let path = file(folder.path(), &Network::new(architecture, 8), GgmlDType::F32);
        let model = path.file_name().unwrap().to_str().unwrap();
        let digest = |papers: &str, more: &[&str]| {
            let args = ["digest", papers, "--model", model, "--prompt", "prompt.toml"];
            run(&folder, &[&args[..], &["--format", "jsonl", "--no-store"], more].concat())
        };
        let both = digest("both.jsonl", &[]);
        assert_eq!(both.status, 0, "{}", both.stderr);
        let warning = format!(
            "warning: a model of architecture \"{architecture}\" is slow here: it writes one paper \
             at a time, whatever --batch says\n"
        );
        assert!(both.stderr.starts_with(&warning), "{}", both.stderr);
        let account = both.stderr.lines().last().unwrap();
        let start = "read 2 = summarised 2 + reused 0 + skipped 0 + failed 0; ";
        assert!(account.starts_with(start), "{}", both.stderr);

        let again = digest("both.jsonl", &["--batch", "2", "--quiet"]);
        assert_eq!((again.stdout.as_str(), again.stderr.as_str()), (both.stdout.as_str(), ""));
        // The newest comes first.
        let first = digest("first.jsonl", &[]);
        assert!(!first.stdout.is_empty() && both.stdout.ends_with(&first.stdout));
    }
    let odd = [("glm4.later_idea", Value::F32(2.0))];
    Network::new("glm4", 8).write(&folder.path().join("odd.gguf"), GgmlDType::F32, &odd);
    let args = ["digest", "first.jsonl", "--model", "odd.gguf", "--prompt", "prompt.toml"];
    let finished = run(&folder, &[&args[..], &["--no-store"]].concat());
    let warning = "warning: the GGUF file has keys of glm4 that are not known here, and that \
                   nothing follows: later_idea\n";
    assert!(finished.stderr.contains(warning), "{}", finished.stderr);
}

#[test]
fn the_program_says_what_it_cannot_do_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let network = Network::new("lfm2", 1);
    file(folder.path(), &network, GgmlDType::Q8_0);
    let other = [("general.architecture", Value::String("mamba".into()))];
    network.write(&folder.path().join("mamba.gguf"), GgmlDType::Q8_0, &other);
    std::fs::write(folder.path().join("papers.jsonl"), paper(1)).unwrap();
    std::fs::write(folder.path().join("a.safetensors"), "").unwrap();
    let check = |args: &[&str], message: &str| {
        let finished = run(&folder, args);
        assert_eq!(finished.stderr, message, "{args:?}");
        assert_eq!((finished.status, finished.stdout.as_str()), (1, ""), "{args:?}");
    };
    let digest = ["digest", "papers.jsonl", "--no-store", "--prompt", "plain", "--model"];
    let with = |more: &[&'static str]| [&digest[..], more].concat();
    check(
        &with(&["lfm2.gguf", "--adapter", "a.safetensors"]),
        "error: no adapter can be merged into a model of architecture \"lfm2\"\n  \
         hint: leave out --adapter\n",
    );
    check(
        &with(&["lfm2.gguf", "--engine", "candle"]),
        "error: neither cpu nor candle runs a model of architecture \"lfm2\"\n  \
         hint: leave out --engine\n",
    );
    let no_more = "error: cannot load lfm2.gguf\n  \
         because: a model of architecture \"lfm2\" can write digests, no more\n  \
         hint: adapters, `bench` and `models export` are for llama, qwen2, qwen3 and gemma3\n";
    check(&["models", "export", "lfm2.gguf", "-o", "x.gguf"], no_more);
    check(&["bench", "lfm2.gguf"], no_more);
    check(
        &with(&["mamba.gguf"]),
        "error: cannot load mamba.gguf\n  because: architecture \"mamba\" is not supported\n  \
         hint: supported are llama, qwen2, qwen3 and gemma3, and, slowly, phi3, glm4, lfm2, \
         qwen3moe\n",
    );
}
