//! Tokens, seen from outside: vocabularies small enough to work out by hand, and real ones against
//! llama.cpp (`tests/llama_cpp/token_ids.py` writes what it says).

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

use candle_core::quantized::gguf_file::{Content, Value};
use proptest::prelude::*;
use wenzhai::tokens::{Stretch, Tokenizer};

mod oracle;

const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const BYTE: i32 = 6;

/// A vocabulary in the making: pieces get the next id each.
struct Tiny {
    tokens: Vec<String>,
    kinds: Vec<i32>,
    scores: Vec<f32>,
    metadata: HashMap<String, Value>,
}

impl Tiny {
    fn new(model: &str) -> Self {
        let metadata = HashMap::from([("tokenizer.ggml.model".into(), text(model))]);
        Tiny { tokens: vec![], kinds: vec![], scores: vec![], metadata }
    }

    /// SentencePiece: `<unk>` is 0, `<s>` 1, `</s>` 2, and byte `b` is `3 + b`; pieces start at 259.
    fn score(pieces: &[(&str, f32)]) -> Self {
        let mut tiny = Tiny::new("llama").piece("<unk>", UNKNOWN, 0.0);
        tiny = tiny.piece("<s>", CONTROL, 0.0).piece("</s>", CONTROL, 0.0);
        for byte in 0..=255 {
            tiny = tiny.piece(&format!("<0x{byte:02X}>"), BYTE, 0.0);
        }
        pieces.iter().fold(tiny, |tiny, (piece, score)| tiny.piece(piece, NORMAL, *score))
    }

    /// Byte level: the printable ASCII letters that `letters` has and what `merges` makes of them.
    fn byte_level(pre: &str, letters: &str, merges: &[&str]) -> Self {
        let mut tiny = Tiny::new("gpt2").set("tokenizer.ggml.pre", text(pre));
        for letter in letters.chars() {
            tiny = tiny.piece(&letter.to_string(), NORMAL, 0.0);
        }
        for merge in merges {
            tiny = tiny.piece(&merge.replace(' ', ""), NORMAL, 0.0);
        }
        let merges = merges.iter().map(|merge| text(merge)).collect();
        tiny.set("tokenizer.ggml.merges", Value::Array(merges))
    }

    fn piece(mut self, token: &str, kind: i32, score: f32) -> Self {
        self.tokens.push(token.to_owned());
        self.kinds.push(kind);
        self.scores.push(score);
        self
    }

    fn set(mut self, key: &str, value: Value) -> Self {
        self.metadata.insert(key.to_owned(), value);
        self
    }

    fn without(mut self, key: &str) -> Self {
        self = self.metadata_of_pieces();
        self.metadata.remove(key);
        self
    }

    fn metadata_of_pieces(mut self) -> Self {
        let tokens = self.tokens.iter().map(|token| text(token)).collect();
        let kinds = self.kinds.iter().map(|&kind| Value::I32(kind)).collect();
        let scores = self.scores.iter().map(|&score| Value::F32(score)).collect();
        for (key, values) in [("tokens", tokens), ("token_type", kinds), ("scores", scores)] {
            self.metadata.insert(format!("tokenizer.ggml.{key}"), Value::Array(values));
        }
        self
    }

    #[track_caller]
    fn build(self) -> Tokenizer {
        Tokenizer::from_gguf(&self.metadata_of_pieces().metadata).expect("the vocabulary is sound")
    }
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// The pieces that `input` is cut into, as text; a part of a character shows as U+FFFD.
#[track_caller]
fn check(tokenizer: &Tokenizer, input: &str, expected: &[&str]) {
    let ids = tokenizer.encode(input);
    let pieces: Vec<String> = ids
        .iter()
        .map(|&id| String::from_utf8_lossy(&tokenizer.piece_bytes(id)).into_owned())
        .collect();
    assert_eq!(pieces, expected, "{input:?} is {ids:?}");
}

#[track_caller]
fn check_error(metadata: &HashMap<String, Value>, message: &str, hint: &str) {
    let error = Tokenizer::from_gguf(metadata).expect_err("the vocabulary is not sound");
    assert_eq!(error.to_string(), message);
    assert_eq!(error.hint_text().unwrap_or_default(), hint);
}

fn no_space(tiny: Tiny) -> Tokenizer {
    tiny.set("tokenizer.ggml.add_space_prefix", Value::Bool(false)).build()
}

#[test]
fn the_higher_score_merges_first_however_short() {
    let pieces = [("a", -9.0), ("b", -9.0), ("c", -9.0), ("bc", -1.0), ("ab", -2.0), ("abb", -0.5)];
    let tokenizer = no_space(Tiny::score(&pieces));
    check(&tokenizer, "abc", &["a", "bc"]);
    check(&tokenizer, "abbc", &["ab", "bc"]);
    check(&tokenizer, "abb", &["abb"]);
}

#[test]
fn equal_scores_merge_leftmost_first() {
    let pieces = [("a", -9.0), ("b", -9.0), ("ba", -1.0), ("aa", -1.0), ("ab", -1.0)];
    let tokenizer = no_space(Tiny::score(&pieces));
    check(&tokenizer, "aba", &["ab", "a"]);
    check(&tokenizer, "baab", &["ba", "ab"]);
    check(&tokenizer, "aaa", &["aa", "a"]);
}

#[test]
fn zero_and_minus_zero_are_the_same_score() {
    let tokenizer = no_space(Tiny::score(&[("a", -9.0), ("b", -9.0), ("ab", -0.0), ("ba", 0.0)]));
    check(&tokenizer, "aba", &["ab", "a"]);
    check(&tokenizer, "bab", &["ba", "b"]);
}

#[test]
fn a_character_without_a_piece_becomes_its_bytes() {
    let tokenizer = no_space(Tiny::score(&[("é", -1.0)]));
    assert_eq!(tokenizer.encode("é文"), [259, 3 + 0xE6, 3 + 0x96, 3 + 0x87]);
    assert_eq!(tokenizer.decode(&[259, 3 + 0xE6, 3 + 0x96, 3 + 0x87]), "é文");
    assert_eq!(tokenizer.decode(&[259, 3 + 0xE6, 3 + 0x96]), "é\u{FFFD}");
    assert_eq!(tokenizer.piece_bytes(3 + 0x96), [0x96]);
}

#[test]
fn a_space_is_set_before_text_unless_the_file_says_no() {
    let pieces = [("▁", -2.0), ("a", -2.0), ("▁a", -1.0)];
    let with = Tiny::score(&pieces).build();
    check(&with, "a a", &[" a", " a"]);
    check(&with, "", &[]);
    assert_eq!(with.decode(&with.encode("a a")), "a a");
    let without = no_space(Tiny::score(&pieces));
    check(&without, "a a", &["a", " a"]);
    assert_eq!(without.decode(&without.encode(" a")), " a");
}

/// A label that is forced behind what was written is what it is in the midst of a text.
#[test]
fn text_that_goes_on_has_no_space_before_it() {
    let tiny = Tiny::score(&[("a", -1.0), ("b", -1.0), ("▁", -2.0), ("▁a", -1.5), ("▁b", -1.5)]);
    let tokenizer = tiny.set("tokenizer.ggml.add_space_prefix", Value::Bool(true)).build();
    let both = tokenizer.encode("ab");
    assert_eq!(both, [tokenizer.encode("a"), tokenizer.encode_behind("b")].concat());
    assert_ne!(tokenizer.encode("b"), tokenizer.encode_behind("b"));
    assert_eq!(tokenizer.encode_behind(" b"), tokenizer.encode("b"));
}

#[test]
fn text_never_becomes_a_control_token() {
    let tiny = Tiny::score(&[("<", -3.0), ("e", -3.0), (">", -3.0), ("<e", -1.0)])
        .piece("<e>", CONTROL, 0.0)
        .piece("<table>", USER_DEFINED, 0.0);
    let tokenizer = no_space(tiny);
    check(&tokenizer, "<e>", &["<e", ">"]);
    assert_eq!(tokenizer.encode_template("e<e>"), [260, 263]);
    let text = |text: &str| Stretch::Text(text.into());
    let stretches = [text("e<table>"), Stretch::Control(263), text("<0x0A>")];
    assert_eq!(tokenizer.stretches("e<table><e><0x0A>"), stretches);
    assert_eq!(tokenizer.name(263), "<e>");
    assert!(tokenizer.is_control(263) && !tokenizer.is_control(264));
    assert_eq!((tokenizer.decode(&[263]).as_str(), tokenizer.piece_bytes(263)), ("", vec![]));
    check(&tokenizer, "e<table>e", &["e", "<table>", "e"]);
    assert!(!tokenizer.encode("<0x0A>").contains(&(3 + 0x0A)), "a byte's name is no byte");
}

#[test]
fn user_defined_tokens_are_cut_out_longest_first() {
    let tiny = Tiny::score(&[("▁", -1.0), ("a", -1.0), ("▁a", -0.5)])
        .piece("\n", USER_DEFINED, 0.0)
        .piece("\n\n", USER_DEFINED, 0.0)
        .piece("a\n", USER_DEFINED, 0.0)
        .piece("\n\n\n", USER_DEFINED, 0.0);
    let tokenizer = no_space(tiny);
    check(&tokenizer, "\n\n\n\n\n", &["\n\n\n", "\n\n"]);
    check(&tokenizer, "a\n\n\n", &["a", "\n\n\n"]);
    check(&tokenizer, " a\n", &[" ", "a\n"]);
    assert_eq!(tokenizer.line_break_tokens(), [3 + 0x0A, 262, 263, 264, 265]);
}

/// Time grows with the text, however many tokens could begin at each of its places.
#[test]
fn a_text_is_cut_at_once_whatever_the_vocabulary_has() {
    let tiny = (0..1 << 15).fold(Tiny::score(&[("a", -1.0)]), |tiny, number| {
        tiny.piece(&format!("a{number:015x}"), USER_DEFINED, 0.0)
    });
    let tokenizer = no_space(tiny.piece("aab", USER_DEFINED, 0.0));
    let input = ["a".repeat(3000), format!("a{:015x}", 77), "aab".into()].concat();
    let seconds = |tokenizer: &Tokenizer| {
        let start = Instant::now();
        let ids = tokenizer.encode(&input);
        (ids, start.elapsed().as_secs_f64())
    };
    let (ids, took) = seconds(&tokenizer);
    assert_eq!(ids[..3000], [259; 3000]);
    assert_eq!(ids[3000..], [260 + 77, 260 + (1 << 15)]);
    // Ten times as long as with the one token would still be a thirtieth of what looking at all takes.
    let (_, alone) =
        seconds(&no_space(Tiny::score(&[("a", -1.0)]).piece("aab", USER_DEFINED, 0.0)));
    assert!(took < 100.0 * alone + 1.0, "{took} s, and {alone} s with one token");
}

#[test]
fn merges_of_bytes_go_by_the_list() {
    let tiny = Tiny::byte_level("gpt-2", "abĠĊ", &["b Ġ", "a b", "Ġ ab", "Ġ a"]);
    let tokenizer = tiny.build();
    check(&tokenizer, "ab ab", &["ab", " ab"]);
    check(&tokenizer, "aba", &["ab", "a"]);
    // White space leaves its last character to the word; `b` and the space never meet.
    check(&tokenizer, "b  a\n", &["b", " ", " a", "\n"]);
    // This vocabulary has no `c`: it is dropped, and nothing merges across the gap.
    check(&tokenizer, "acb", &["a", "b"]);
}

#[test]
fn of_a_merge_that_is_listed_twice_the_first_counts() {
    let merges = ["a b", "b a", "a b"].map(text).to_vec();
    let tiny = Tiny::byte_level("gpt-2", "ab", &["a b", "b a"]);
    check(&tiny.set("tokenizer.ggml.merges", Value::Array(merges)).build(), "aba", &["ab", "a"]);
}

#[test]
fn pre_tokenizers_cut_digits_each_in_their_way() {
    let merges = ["1 1", "11 11", "11 1", "x 1"];
    let cut = |pre: &str| Tiny::byte_level(pre, "1x", &merges).build();
    check(&cut("gpt-2"), "1111x1", &["1111", "x", "1"]);
    check(&cut("default"), "1111x1", &["111", "1", "x", "1"]);
    check(&cut("llama-bpe"), "1111x1", &["111", "1", "x", "1"]);
    check(&cut("smollm"), "1111x1", &["1", "1", "1", "1", "x", "1"]);
    check(&cut("qwen2"), "1111x1", &["1", "1", "1", "1", "x", "1"]);
}

#[test]
fn llama_bpe_takes_a_word_that_is_a_token_whatever_the_merges() {
    let word = |pre: &str| Tiny::byte_level(pre, "abc", &["b c"]).piece("abc", NORMAL, 0.0).build();
    check(&word("llama-bpe"), "abc", &["abc"]);
    check(&word("qwen2"), "abc", &["a", "bc"]);
    // It cuts as llama-bpe does, and merges as others do.
    check(&word("glm4"), "abc", &["a", "bc"]);
}

#[test]
fn the_file_tells_what_begins_and_ends() {
    let tiny = Tiny::score(&[("a", -1.0)])
        .piece("<|endoftext|>", CONTROL, 0.0)
        .piece("<end_of_turn>", USER_DEFINED, 0.0)
        .piece("<|fim_prefix|>", USER_DEFINED, 0.0)
        .set("tokenizer.ggml.bos_token_id", Value::U32(1))
        .set("tokenizer.ggml.eos_token_id", Value::U32(2))
        .set("tokenizer.chat_template", text("{{ messages }}"));
    let tokenizer = tiny.build();
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.eot()), (Some(1), Some(2), Some(261)));
    assert_eq!(tokenizer.end_of_generation(), [2, 260, 261]);
    assert!(tokenizer.is_control(261), "a known end is a control token, whatever the file says");
    assert!(tokenizer.add_bos());
    assert_eq!(tokenizer.chat_template(), Some("{{ messages }}"));
    assert!(tokenizer.is_control(262), "so is one between parts of code, which ends nothing");
    assert_eq!(tokenizer.vocab_size(), 263);
    assert_eq!(tokenizer.piece_bytes(263), b"", "outside the vocabulary");
}

#[test]
fn what_only_a_key_makes_an_end_has_no_text_unless_it_is_white_space() {
    for kind in [NORMAL, USER_DEFINED] {
        let tiny = Tiny::score(&[("a", -1.0)])
            .piece("<stop>", kind, 0.0)
            .piece(" ", kind, 0.0)
            .set("tokenizer.ggml.eos_token_id", Value::U32(260))
            .set("tokenizer.ggml.eot_token_id", Value::U32(261))
            .set("tokenizer.ggml.eom_token_id", Value::U32(3 + u32::from(b'a')));
        let tokenizer = tiny.build();
        assert_eq!(tokenizer.end_of_generation(), [2, 100, 260, 261]);
        assert_eq!(tokenizer.decode(&[259, 260]), "a");
        assert!(!tokenizer.encode("a<stop>").contains(&260), "a paper's text ended the prompt");
        assert_eq!(tokenizer.encode_template("<stop>"), [260]);
        assert_eq!(tokenizer.piece_bytes(261), b" ", "white space");
        assert_eq!(tokenizer.piece_bytes(100), b"a", "a byte");
    }
    let merged = Tiny::byte_level("gpt-2", "ab", &["a b"])
        .set("tokenizer.ggml.eos_token_id", Value::U32(2))
        .build();
    check(&merged, "ab", &["a", "b"]);
}

#[test]
fn errors_name_the_key_and_the_value() {
    let hint = "the file may be cut or hold no language model; fetch the model again";
    check_error(&HashMap::new(), "the GGUF file has no tokenizer.ggml.tokens", hint);
    let no_scores = Tiny::score(&[]).without("tokenizer.ggml.scores");
    check_error(&no_scores.metadata, "the GGUF file has no tokenizer.ggml.scores", hint);

    check_error(
        &Tiny::new("t5").metadata_of_pieces().metadata,
        "tokenizer.ggml.model is \"t5\", an unknown kind of vocabulary",
        "use a GGUF file whose vocabulary is of kind \"llama\" or \"gpt2\"",
    );
    let bos = Tiny::score(&[]).set("tokenizer.ggml.bos_token_id", Value::U32(259));
    check_error(
        &bos.metadata_of_pieces().metadata,
        "tokenizer.ggml.bos_token_id is not a token id below 259",
        "",
    );
    let twice = Tiny::score(&[("a", 0.0), ("a", 0.0)]).metadata_of_pieces();
    check_error(
        &twice.metadata,
        "token \"a\" occurs twice in the vocabulary",
        "the GGUF file is damaged; fetch the model again",
    );
    let merge = Tiny::byte_level("gpt-2", "a", &[])
        .set("tokenizer.ggml.merges", Value::Array(vec![text("a z")]));
    check_error(
        &merge.metadata_of_pieces().metadata,
        "merge \"a z\" names tokens that the vocabulary lacks",
        "the GGUF file is damaged; fetch the model again",
    );
    let merges = Value::Array(vec![text("a b"), text("b a")]);
    let merge = Tiny::byte_level("gpt-2", "ab", &["a b"]).set("tokenizer.ggml.merges", merges);
    check_error(
        &merge.metadata_of_pieces().metadata,
        "merge \"b a\" names tokens that the vocabulary lacks",
        "the GGUF file is damaged; fetch the model again",
    );
    // What leads to a control token or from one is left out, and need not lead anywhere.
    let merges = Value::Array(vec![text("a b"), text("<c> a")]);
    let control = Tiny::byte_level("gpt-2", "ab", &["a b"]).piece("<c>", CONTROL, 0.0);
    check(&control.set("tokenizer.ggml.merges", merges).build(), "ab", &["ab"]);
}

#[test]
fn an_unknown_pre_tokenizer_is_named_with_the_known_ones() {
    let tiny = Tiny::byte_level("poetry", "a", &[]).metadata_of_pieces();
    let error = Tokenizer::from_gguf(&tiny.metadata).expect_err("no such pre-tokenizer");
    assert_eq!(error.to_string(), "tokenizer.ggml.pre is \"poetry\", an unknown pre-tokenizer");
    let hint = error.hint_text().expect("a hint");
    for known in ["default", "gpt-2", "smollm", "llama-bpe", "qwen2"] {
        assert!(hint.contains(known), "{hint}");
    }
}

/// Every byte's letter, by the rule of GPT-2: printable ones themselves, the others from U+0100 on.
fn byte_letters() -> String {
    let printable = |code: u32| matches!(code, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    let others = (0..256).filter(|&code| !printable(code)).count() as u32;
    let codes = (0..256).filter(|&code| printable(code)).chain(0x100..0x100 + others);
    codes.filter_map(char::from_u32).collect()
}

proptest! {
    #[test]
    fn decoding_gives_the_text_back(input in r"([a-c ]|\PC|\s){0,60}", space in any::<bool>()) {
        // SentencePiece spells a space as `▁`, so that one character is not told apart from it.
        let input = input.replace('▁', " ");
        let pieces = [("a", -3.0), ("b", -3.0), ("▁", -2.5), ("ab", -1.0), ("▁a", -2.0), ("é", -1.5)];
        let score = Tiny::score(&pieces)
            .set("tokenizer.ggml.add_space_prefix", Value::Bool(space))
            .build();
        prop_assert_eq!(score.decode(&score.encode(&input)), input.as_str());

        let bytes = Tiny::byte_level("qwen2", &byte_letters(), &["a b", "Ġ a", "Ã ©"]).build();
        prop_assert_eq!(bytes.decode(&bytes.encode(&input)), input.as_str());
    }

    #[test]
    fn any_ids_decode_to_something(ids in proptest::collection::vec(0u32..300, 0..20)) {
        let tokenizer = Tiny::score(&[("a", -1.0)]).build();
        let bytes: usize = ids.iter().map(|&id| tokenizer.piece_bytes(id).len()).sum();
        prop_assert!(tokenizer.decode(&ids).len() <= 3 * bytes);
    }
}

#[test]
fn real_vocabularies_agree_with_llama_cpp() {
    let (Some(gguf), Some(expected)) =
        (std::env::var_os("WENZHAI_GGUF"), std::env::var_os("WENZHAI_TOKEN_IDS"))
    else {
        crate::support::skipped("WENZHAI_GGUF and WENZHAI_TOKEN_IDS name no directories");
        return;
    };
    let mut files: Vec<_> = std::fs::read_dir(&expected)
        .expect("WENZHAI_TOKEN_IDS is a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no .jsonl", expected.display());
    for file in files {
        compare_with_llama_cpp(Path::new(&gguf), &file);
    }
}

fn compare_with_llama_cpp(gguf: &Path, expected: &Path) {
    let mut lines = BufReader::new(File::open(expected).expect("the ids")).lines();
    let mut row = || {
        let line = lines.next()?.expect("UTF-8");
        Some(serde_json::from_str::<serde_json::Value>(&line).expect("JSON"))
    };
    let vocabulary = row().expect("a first line with the vocabulary");
    let model = vocabulary["gguf"].as_str().expect("the model's path");
    let tokenizer = load(&gguf.join(model));
    check_vocabulary(&tokenizer, &vocabulary);

    let (mut texts, mut tokens, mut wrong) = (0, 0, Vec::new());
    let mut seconds = 0.0;
    while let Some(row) = row() {
        let text = row["text"].as_str().expect("a text");
        let start = Instant::now();
        let plain = tokenizer.encode(text);
        seconds += start.elapsed().as_secs_f64();
        let template = tokenizer.encode_template(text);
        if plain != ids(&row["ids"]) || template != ids(&row["template_ids"]) {
            wrong.push((text.to_owned(), plain.clone(), ids(&row["ids"])));
        }
        assert!(!plain.iter().any(|&id| tokenizer.is_control(id)), "{text:?} is {plain:?}");
        texts += 1;
        tokens += plain.len();
    }
    eprintln!("{model}: {texts} texts, {tokens} tokens in {seconds:.2} s");
    let shown: Vec<_> = wrong.iter().take(10).collect();
    assert!(wrong.is_empty(), "{model}: {} of {texts} texts differ: {shown:#?}", wrong.len());
}

fn load(path: &Path) -> Tokenizer {
    let mut file = File::open(path).expect("the model");
    let content = Content::read(&mut file).expect("GGUF");
    let start = Instant::now();
    let tokenizer = Tokenizer::from_gguf(&content.metadata).expect("a tokenizer");
    eprintln!("{}: loaded in {} ms", path.display(), start.elapsed().as_millis());
    tokenizer
}

fn check_vocabulary(tokenizer: &Tokenizer, expected: &serde_json::Value) {
    let pieces = expected["pieces"].as_array().expect("pieces");
    assert_eq!(tokenizer.vocab_size(), pieces.len());
    for (id, piece) in (0..).zip(pieces) {
        let hex: String = tokenizer.piece_bytes(id).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(Some(hex.as_str()), piece.as_str(), "token {id}");
    }
    let control: Vec<u32> =
        (0..).take(pieces.len()).filter(|&id| tokenizer.is_control(id)).collect();
    assert_eq!(control, ids(&expected["control"]));
    assert_eq!(tokenizer.end_of_generation(), ids(&expected["end_of_generation"]));
    assert_eq!(tokenizer.bos().map(Into::into), expected["bos"].as_u64());
    assert_eq!(tokenizer.eos().map(Into::into), expected["eos"].as_u64());
    assert_eq!(Some(tokenizer.add_bos()), expected["add_bos"].as_bool());
}

fn ids(list: &serde_json::Value) -> Vec<u32> {
    let list = list.as_array().expect("a list of ids");
    list.iter().map(|id| id.as_u64().and_then(|id| id.try_into().ok()).expect("an id")).collect()
}
