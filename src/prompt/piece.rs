//! What a rendered template is: text, and control tokens that the template named.
//!
//! minijinja renders to one string, so a control token is marked in it with characters that
//! Unicode sets aside for use inside of programs, and that are taken out of papers.

/// Noncharacters (Unicode 16, section 23.7) that enclose the name of a control token.
const CONTROL_BEGIN: char = '\u{fdd0}';
const CONTROL_END: char = '\u{fdd1}';

/// A stretch of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text, in which nothing is a control token.
    Text(String),
    /// The name of a control token, from the template.
    Control(String),
}

/// The pieces of what a template rendered to, none of them an empty text.
pub(super) fn pieces(rendered: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let add_text = |pieces: &mut Vec<Piece>, text: &str| {
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
    };
    let mut rest = rendered;
    while let Some((text, marked)) = rest.split_once(CONTROL_BEGIN) {
        let (name, after) = marked.split_once(CONTROL_END).unwrap_or((marked, ""));
        add_text(&mut pieces, text);
        pieces.push(Piece::Control(name.to_owned()));
        rest = after;
    }
    add_text(&mut pieces, rest);
    pieces
}

/// The control token called `name`, as it stands in rendered text.
pub(super) fn marked(name: &str) -> String {
    format!("{CONTROL_BEGIN}{name}{CONTROL_END}")
}

/// Text of a paper, without the marks of control tokens.
pub(super) fn plain(text: &str) -> String {
    text.replace([CONTROL_BEGIN, CONTROL_END], "")
}
