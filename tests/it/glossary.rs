//! Glossaries: from a file to the line of a prompt.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use wenzhai::card;
use wenzhai::feed::{self, Event, Source};
use wenzhai::glossary::{Glossary, MAX_TOLD};
use wenzhai::paper::Paper;
use wenzhai::prompt::{Codec, Encoding, Template};

use crate::support::scribe::Characters;

const MAX_POSITIONS: usize = 4000;

fn prompt(template: &str, glossary: Option<&Glossary>, title: &str, abstract_text: &str) -> String {
    let template = Template::built_in(template).unwrap();
    let mut codec = Codec::new(&template, &Characters, MAX_POSITIONS).unwrap();
    if let Some(glossary) = glossary {
        codec = codec.with_glossary(glossary);
    }
    let paper = Paper {
        plain_title: title.into(),
        plain_abstract: abstract_text.into(),
        ..Paper::default()
    };
    Characters.decode(&codec.prompt(&paper).unwrap().tokens)
}

fn built_in() -> Glossary {
    Glossary::parse("built-in", card::find(card::DEFAULT).unwrap().glossary_text().unwrap())
        .unwrap()
}

#[test]
fn a_prompt_tells_the_terms_that_its_paper_has_and_no_line_where_there_are_none() {
    let glossary = Glossary::parse("g", "sheep\t绵羊\nLiDAR\tLiDAR\n").unwrap();
    let told = prompt("gemma3-270m-zh", Some(&glossary), "On Sheep", "We use LiDAR.");
    assert_eq!(
        told,
        "Title: On Sheep\nAbstract: We use LiDAR.\nTerms: sheep=绵羊\nKeep: LiDAR\n标题："
    );
    let untold = "Title: On Goats\nAbstract: We use lidar.\n标题：";
    assert_eq!(prompt("gemma3-270m-zh", Some(&glossary), "On Goats", "We use lidar."), untold);
    assert_eq!(prompt("gemma3-270m-zh", None, "On Goats", "We use lidar."), untold);
    let plain = |glossary| prompt("plain", glossary, "On Sheep", "We use LiDAR.");
    assert_eq!(plain(Some(&glossary)), plain(None), "it has no place for terms");
}

#[test]
fn the_default_models_glossary_knows_terms_of_the_field() {
    let glossary = built_in();
    assert!(glossary.len() > 20_000, "{}", glossary.len());
    let text = "We study federated learning, point clouds, knowledge distillation in practice, \
        reinforcement learning of diffusion models, and dark matter.";
    let told = prompt("gemma3-270m-zh", Some(&glossary), "T", text);
    for pair in [
        "federated learning=联邦学习",
        "point cloud=点云",
        "knowledge distillation=知识蒸馏",
        "reinforcement learning=强化学习",
        "diffusion model=扩散模型",
        "dark matter=暗物质",
    ] {
        assert!(told.to_lowercase().contains(pair), "{told}");
    }
}

/// Who adds a term by hand forgets a column, repeats a term, or sets a remark behind it.
#[test]
fn each_line_of_the_default_models_glossary_is_a_term_of_its_own_in_chinese_or_as_it_is() {
    let text = card::find(card::DEFAULT).unwrap().glossary_text().unwrap();
    let (mut clear, mut meanings) = (Vec::new(), HashSet::new());
    for line in text.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let (term, translation, papers) = match columns[..] {
            [term, translation, papers] => {
                clear.push(line);
                (term, translation, papers)
            }
            [term, translation, papers, beside] => {
                assert!(meanings.insert((term.to_lowercase(), beside)), "{line}");
                (term, translation, papers)
            }
            _ => panic!("{line}"),
        };
        assert!(papers.parse::<u32>().is_ok_and(|papers| papers > 0), "{line}");
        let is_chinese = translation.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        assert!(is_chinese || translation.eq_ignore_ascii_case(term), "{line}");
        let is_remark = |c: char| "（）()；;，,/、".contains(c);
        assert!(!translation.contains(is_remark), "{line}");
    }
    let of_one_meaning = Glossary::parse("g", &clear.join("\n")).unwrap();
    assert_eq!(of_one_meaning.len(), clear.len(), "no term is there twice");
}

#[test]
fn the_default_models_glossary_tells_meanings_apart_by_the_words_beside_them() {
    let glossary = built_in();
    for (text, expected) in [
        ("A warp of threads on GPUs and CUDA cores", "warp=线程束"),
        ("Fixed points of a contraction mapping", "fixed point=不动点"),
        ("Fixed-point networks on an FPGA", "fixed point=定点"),
        ("Channels and decoding of each codeword", "decoding=译码"),
        ("Token holdings of voters on Ethereum", "token=代币"),
        ("Tokens of a prompt", "token=词元"),
    ] {
        let told = glossary.terms_of("", text);
        let told = told.iter().map(|term| format!("{}={}", term.term, term.translation));
        let told: Vec<String> = told.collect();
        assert!(told.iter().any(|pair| pair == expected), "{text}: {told:?}");
    }
    for text in ["A pragmatic guide", "It stems from an electron", "We make new recommendations"] {
        let told = glossary.terms_of("", text);
        let wrong = ["pragmatics", "STEM", "news recommendation"];
        assert!(told.iter().all(|term| !wrong.contains(&&*term.term)), "{text}: {told:?}");
    }
    let told = glossary.terms_of("", "A warp, a fixed point and decoding");
    assert!(told.iter().all(|term| !["warp", "decoding"].contains(&&*term.term)), "{told:?}");
}

#[test]
fn terms_that_capitals_tell_apart_are_two_and_any_hyphen_joins_one() {
    let glossary = Glossary::parse(
        "own",
        "LoRA\t低秩适配器\nLoRa\t远距无线\nsheep-dog\t牧羊犬\nk-means\tk均值\nnews\t新闻\ngamma-ray\t伽马射线\n\
         minima\t极小值\nflock-based\t基于羊群的\n",
    );
    let glossary = glossary.unwrap();
    let told = |text: &str| -> Vec<String> {
        glossary.terms_of("", text).into_iter().map(|term| term.translation).collect()
    };
    assert_eq!(told("LoRa and LoRA"), ["远距无线", "低秩适配器"]);
    for text in ["sheep-dog", "sheep--dogs", "sheep–dog", "sheep dog"] {
        assert_eq!(told(text), ["牧羊犬"], "{text}");
    }
    assert_eq!(told("$k$-means"), ["k均值"]);
    for text in
        ["anti-news", "non-news", "non news", r"$\news$", "the minimum", "flocks based on age"]
    {
        assert!(told(text).is_empty(), "{text}");
    }
    assert_eq!(told(r"a $\gamma$-ray burst"), ["伽马射线"]);
    assert_eq!(told("non-sheep-dog, minima, flock based"), ["牧羊犬", "极小值", "基于羊群的"]);
    assert!(told("new ideas").is_empty());
}

/// Neither a term of the file nor a paper can open another line of the prompt.
#[test]
fn what_is_told_stays_on_one_line_and_is_bounded() {
    let abstract_text = "A glossary of terms: ".to_owned()
        + &built_in()
            .terms_of("", "graph neural network and reinforcement learning")
            .iter()
            .map(|term| format!("{} ", term.term))
            .collect::<String>()
            .repeat(30)
        + "point cloud lidar robot grasping quantum computing satellite drone protein seizure \
           tokamak galaxy neutrino catalyst enzyme genome epilepsy tumor pathology radiology";
    let told = prompt("gemma3-270m-zh", Some(&built_in()), "T", &abstract_text);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 4, "{told}");
    let terms = lines[2].strip_prefix("Terms: ").expect("a line of terms");
    assert!((1..=MAX_TOLD).contains(&terms.split('；').count()), "{terms}");
}

/// Training tells the terms that the program will tell: `models/training/glossary.py` finds them once more.
#[test]
fn the_recipe_finds_the_terms_that_the_program_finds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut papers = vec![(
        "Spectra of nuclei".to_owned(),
        r"Random matrices of non-local operators, $\bar{x}$ and $k$-means; anti-ferromagnetic order of
        Navier--Stokes vortices, LoRa beside LoRA, comics and genomics, an edge of a subgraph, GPUs."
            .to_owned(),
    )];
    let sample = Source::Path(root.join("examples/cs.CL-sample.xml"));
    let shared = root.join("../shared/feeds/day-2026-06-29.jsonl");
    for source in
        [Some(sample), shared.exists().then_some(Source::Path(shared))].into_iter().flatten()
    {
        let mut take = |event| {
            if let Event::Item(item) = event {
                papers.push((item.paper.plain_title, item.paper.plain_abstract));
            }
            Ok(())
        };
        feed::read(&source, &mut take).unwrap();
    }
    let program = "import json, sys\n\
        from glossary import read_table, terms_in\n\
        table = read_table('../zh.terms.tsv')\n\
        for title, text in json.load(sys.stdin):\n    \
            print(json.dumps([term[1] for term in terms_in(f'{title}\\n{text}', table, int(sys.argv[1]))]))\n";
    let python = Command::new("python3")
        .args(["-B", "-c", program, &MAX_TOLD.to_string()])
        .current_dir(root.join("models/training"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut python = match python {
        Ok(python) => python,
        Err(error) => return crate::support::skipped(format_args!("python3: {error}")),
    };
    let input = serde_json::to_vec(&papers).unwrap();
    python.stdin.take().unwrap().write_all(&input).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    let glossary = built_in();
    let found = String::from_utf8(output.stdout).unwrap();
    assert_eq!(found.lines().count(), papers.len());
    for ((title, abstract_text), theirs) in papers.iter().zip(found.lines()) {
        let ours = glossary.terms_of(title, abstract_text);
        let ours: Vec<String> = ours.into_iter().map(|term| term.translation).collect();
        assert_eq!(ours, serde_json::from_str::<Vec<String>>(theirs).unwrap(), "{title}");
    }
}
