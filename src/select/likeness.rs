//! Ranking by likeness to a library: BM25 (Robertson and Zaragoza, "The Probabilistic Relevance
//! Framework: BM25 and Beyond", 2009), by the crate of that name.
//!
//! The query is made of the library's most telling terms: those that many of its papers have and
//! few of the papers to be ranked. Which paper of the library is nearest is found for the first ones
//! only, to be told to the reader.

use std::collections::{BTreeSet, HashMap, HashSet};

use bm25::{
    DefaultTokenizer, Embedder, EmbedderBuilder, Embedding, Language, Scorer, TokenEmbedder as _,
    TokenEmbedding, Tokenizer,
};

use rayon::prelude::*;

use super::library::{Library, Liked};
use crate::paper::Paper;

/// Most terms of a query.
pub const MAX_QUERY_TERMS: usize = 128;

/// Of so many papers the nearest of the library is found.
const EXPLAINED: usize = 200;

/// Where a paper stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Rank {
    /// Its index in the papers that were ranked.
    pub paper: usize,
    /// BM25 score, from 0.
    pub score: f32,
    /// Title of the nearest paper of the library, where one is near at all.
    pub nearest: Option<String>,
}

/// Terms that were found before, with spaces between.
#[derive(Debug, Default)]
struct Joined;

impl Tokenizer for Joined {
    fn tokenize(&self, text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }
}

/// The tokens of papers. Each is kept once: as strings, those of a paper would take 6 KB.
#[derive(Debug, Default)]
struct Tokens {
    distinct: Vec<String>,
    /// Indices of `distinct`.
    of_papers: Vec<Vec<u32>>,
}

impl Tokens {
    fn of(papers: &[Paper]) -> Tokens {
        /// So many papers have their tokens as strings at a time.
        const AT_A_TIME: usize = 1024;
        let tokenizer = DefaultTokenizer::new(Language::English);
        let tokenize =
            |paper: &Paper| tokenizer.tokenize(&text(&paper.plain_title, &paper.plain_abstract));
        let (mut tokens, mut places) = (Tokens::default(), HashMap::<String, u32>::new());
        for papers in papers.chunks(AT_A_TIME) {
            let words: Vec<Vec<String>> = papers.par_iter().map(tokenize).collect();
            for words in words {
                let place = |word: String| {
                    *places.entry(word).or_insert_with_key(|word| {
                        tokens.distinct.push(word.clone());
                        tokens.distinct.len() as u32 - 1
                    })
                };
                let of_paper = words.into_iter().map(place).collect();
                tokens.of_papers.push(of_paper);
            }
        }
        tokens
    }

    fn of_paper(&self, paper: usize) -> impl Iterator<Item = &str> {
        self.of_papers[paper].iter().map(|place| self.distinct[*place as usize].as_str())
    }
}

/// `papers` by their likeness to `library`, the most alike first; equals keep their order. Empty
/// where nothing is known of the library's papers.
pub fn rank(papers: &[Paper], library: &Library) -> Vec<Rank> {
    let liked = library.known(papers);
    if liked.is_empty() || papers.is_empty() {
        return Vec::new();
    }
    let tokens = Tokens::of(papers);
    let total: usize = tokens.of_papers.iter().map(Vec::len).sum();
    let embedder: Embedder<u64, Joined> =
        EmbedderBuilder::with_avgdl(total as f32 / papers.len() as f32).build();
    let mut scorer = Scorer::new();
    let mut papers_with: HashMap<u64, usize> = HashMap::new();
    for paper in 0..papers.len() {
        let embedding = embedder.embed(&tokens.of_paper(paper).collect::<Vec<_>>().join(" "));
        for term in embedding.indices().collect::<HashSet<_>>() {
            *papers_with.entry(*term).or_default() += 1;
        }
        scorer.upsert(&paper, embedding);
    }
    let liked_terms: Vec<HashSet<String>> = liked.par_iter().map(terms).collect();
    let query = query(&liked_terms, &papers_with, papers.len());
    let mut ranks: Vec<Rank> = (0..papers.len())
        .into_par_iter()
        .map(|paper| Rank {
            paper,
            score: scorer.score(&paper, &query).unwrap_or(0.0),
            nearest: None,
        })
        .collect();
    ranks.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut liked_with: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, terms) in liked_terms.iter().enumerate() {
        terms.iter().for_each(|term| liked_with.entry(term).or_default().push(at));
    }
    let explained = ranks.iter().take(EXPLAINED).take_while(|rank| rank.score > 0.0).count();
    ranks[..explained].par_iter_mut().for_each(|rank| {
        // The score of a query is the sum of its terms', so each term is scored once for all liked papers
        // that have it.
        let mut scores = vec![0.0; liked.len()];
        let terms: BTreeSet<&str> = tokens.of_paper(rank.paper).collect();
        for term in terms {
            let Some(with) = liked_with.get(term) else { continue };
            let score = scorer.score(&rank.paper, &embedding([term].into_iter())).unwrap_or(0.0);
            with.iter().for_each(|at| scores[*at] += score);
        }
        let (at, score) = scores
            .into_iter()
            .enumerate()
            .fold((0, 0.0), |best, (at, score)| if score > best.1 { (at, score) } else { best });
        let itself = liked[at].id.is_some() && liked[at].id == papers[rank.paper].id;
        if score > 0.0 && !itself {
            rank.nearest = Some(liked[at].title.clone());
        }
    });
    ranks
}

fn text(title: &str, abstract_text: &str) -> String {
    format!("{title}\n{abstract_text}")
}

fn terms(liked: &Liked) -> HashSet<String> {
    let tokenizer = DefaultTokenizer::new(Language::English);
    tokenizer.tokenize(&text(&liked.title, &liked.abstract_text)).into_iter().collect()
}

/// The terms with the largest product of how many liked papers have them and how few of the papers
/// to be ranked do, as BM25 counts that; of equals the first by the alphabet.
fn query(
    liked: &[HashSet<String>],
    papers_with: &HashMap<u64, usize>,
    papers: usize,
) -> Embedding<u64> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for term in liked.iter().flatten() {
        *counts.entry(term).or_default() += 1;
    }
    let weight = |term: &str, count: usize| {
        let with = *papers_with.get(&u64::embed(term))?;
        let rarity = (1.0 + (papers as f64 - with as f64 + 0.5) / (with as f64 + 0.5)).ln();
        Some(count as f64 * rarity)
    };
    let mut terms: Vec<(f64, &str)> =
        counts.into_iter().filter_map(|(term, count)| Some((weight(term, count)?, term))).collect();
    terms.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    embedding(terms.into_iter().take(MAX_QUERY_TERMS).map(|(_, term)| term))
}

/// Terms of a query, in one order, since sums of floats depend on it.
fn embedding<'a>(terms: impl Iterator<Item = &'a str>) -> Embedding<u64> {
    let mut terms: Vec<&str> = terms.collect();
    terms.sort_unstable();
    let term = |term| TokenEmbedding { index: u64::embed(term), value: 1.0 };
    Embedding(terms.into_iter().map(term).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paper(title: &str, abstract_text: &str) -> Paper {
        let (plain_title, plain_abstract) = (title.to_owned(), abstract_text.to_owned());
        Paper { plain_title, plain_abstract, ..Paper::default() }
    }

    #[test]
    fn what_is_like_the_library_comes_first_and_names_the_nearest() {
        let papers = [
            paper("Bread", "We bake bread with models and data."),
            paper("Goats", "We count goats on farms with models and data."),
            paper("Sheep at Night", "We count sheep at night by infrared cameras with models."),
        ];
        let liked = |title: &str, abstract_text: &str| Liked {
            title: title.into(),
            abstract_text: abstract_text.into(),
            ..Liked::default()
        };
        let library = Library {
            liked: vec![
                liked("Infrared Cameras for Sheep", "We count sheep by night."),
                liked("Farms", "We count goats on farms."),
            ],
            ..Library::default()
        };
        let ranks = rank(&papers, &library);
        let order: Vec<usize> = ranks.iter().map(|rank| rank.paper).collect();
        assert_eq!(order, [2, 1, 0]);
        assert_eq!(ranks[0].nearest.as_deref(), Some("Infrared Cameras for Sheep"));
        assert_eq!(ranks[1].nearest.as_deref(), Some("Farms"));
        assert!(ranks[0].score > ranks[1].score && ranks[1].score > ranks[2].score);
        assert!(rank(&papers, &Library::default()).is_empty());
        // However many there are, and wherever in the library.
        let mut library = library;
        library
            .liked
            .extend((0..1_000).map(|at| liked(&format!("Trains {at}"), "We run at night.")));
        assert_eq!(rank(&papers, &library)[0].nearest, ranks[0].nearest);
    }
}
