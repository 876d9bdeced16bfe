//! What the small arXiv of [`super::arxiv_server`] answers: the markup of feeds, catch-up pages, the
//! API and OAI-PMH around invented papers.

use std::fmt::Write as _;

use jiff::civil::Date;

use super::arxiv_server::{Announced, Kind};

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `%20` undone.
pub(super) fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}

/// RSS 2.0 as rss.arxiv.org has it.
pub(super) fn feed(category: &str, day: Date, papers: &[Announced]) -> String {
    let date = day.strftime("%a, %d %b %Y 00:00:00 -0500").to_string();
    let mut xml = format!(
        "<?xml version='1.0' encoding='UTF-8'?>\n<rss xmlns:arxiv='http://arxiv.org/schemas/atom' \
         version='2.0'><channel><title>{category} updates on arXiv.org</title>\
         <lastBuildDate>{date}</lastBuildDate><pubDate>{date}</pubDate>\n"
    );
    for Announced { id, version, kind, title, abstract_text } in papers {
        let kind = match kind {
            Kind::New => "new",
            Kind::Cross => "cross",
            Kind::Replace => "replace",
        };
        let (title, text) = (escaped(title), escaped(abstract_text));
        writeln!(
            xml,
            "<item><title>{title}</title><link>https://arxiv.org/abs/{id}</link><description>\
             arXiv:{id}v{version} Announce Type: {kind} \nAbstract: {text}</description>\
             <category>{category}</category><pubDate>{date}</pubDate>\
             <arxiv:announce_type>{kind}</arxiv:announce_type></item>"
        )
        .unwrap();
    }
    xml + "</channel></rss>\n"
}

/// A catch-up page with abstracts.
pub(super) fn page(
    category: &str,
    day: Date,
    papers: &[Announced],
    skip: usize,
    size: usize,
    extra: Option<usize>,
) -> String {
    let day = day.strftime("%a, %d %b %Y");
    let total = papers.len() + extra.unwrap_or(0);
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><title>Catchup</title><script>if (1 < 2) {{}}\
         </script></head><body><div id='dlpage'>\n<h1>Catchup results for {category} on {day}</h1>\n\
         <div>\n Total of {total} entries for {day}\n</div>\n"
    );
    let sections = [
        (Kind::New, "New submissions"),
        (Kind::Cross, "Cross submissions"),
        (Kind::Replace, "Replacement submissions"),
    ];
    let mut number = 0;
    for (kind, heading) in sections {
        let of_kind: Vec<&Announced> = papers.iter().filter(|paper| paper.kind == kind).collect();
        let mut entries = String::new();
        let mut shown = 0;
        for Announced { id, title, abstract_text, .. } in of_kind.iter() {
            number += 1;
            if number <= skip || number > skip + size || extra.is_none() {
                continue;
            }
            shown += 1;
            let (title, text) = (escaped(title), escaped(abstract_text));
            writeln!(
                entries,
                "<dt>\n<a name='item{number}'>[{number}]</a>\n<a href =\"/abs/{id}\" title=\"Abstract\" \
                 id=\"{id}\">\n arXiv:{id}\n </a> [<a href=\"/pdf/{id}\">pdf</a>]\n</dt>\n<dd>\n\
                 <div class='meta'><div class='list-title mathjax'><span class='descriptor'>Title:\
                 </span>\n {title}\n</div><div class='list-authors'><a href=\"/search/?q=Moor\">Ida \
                 Moor</a>, <a href=\"/search/?q=Reed\">Jo Reed</a></div>\n<div class='list-subjects'>\
                 <span class='descriptor'>Subjects:</span><span class=\"primary-subject\">Ponds \
                 ({category})</span>; Lakes (cs.LK)</div>\n<p class='mathjax'>\n {text}\n</p></div></dd>"
            )
            .unwrap();
        }
        if shown > 0 {
            let all = of_kind.len();
            let heading = format!("{heading} (showing {shown} of {all} entries)");
            write!(html, "<dl id='articles'>\n<h3>{heading}</h3>\n{entries}</dl>\n").unwrap();
        }
    }
    if number == 0 {
        write!(html, "<p>No updates for {day}.</p>").unwrap();
    }
    html + "</div></body></html>\n"
}

/// Atom as the API has it.
pub(super) fn results(
    found: &[&Announced],
    start: usize,
    size: usize,
    extra: Option<usize>,
) -> String {
    let total = found.len() + extra.unwrap_or(0);
    let size = if extra.is_some() { size } else { 0 };
    let mut xml = format!(
        "<?xml version='1.0' encoding='UTF-8'?>\n<feed xmlns='http://www.w3.org/2005/Atom' \
         xmlns:opensearch='http://a9.com/-/spec/opensearch/1.1/'><title>ArXiv Query</title>\
         <opensearch:totalResults>{total}</opensearch:totalResults>\
         <opensearch:startIndex>{start}</opensearch:startIndex>\n"
    );
    for Announced { id, version, title, abstract_text, .. } in found.iter().skip(start).take(size) {
        let (title, text) = (escaped(title), escaped(abstract_text));
        writeln!(
            xml,
            "<entry><id>http://arxiv.org/abs/{id}v{version}</id><title>{title}</title>\
             <summary>{text}</summary><author><name>Ida Moor</name></author></entry>"
        )
        .unwrap();
    }
    xml + "</feed>\n"
}

/// Records of OAI-PMH in the format `arXivRaw`.
pub(super) fn list(
    set: &str,
    papers: &[Announced],
    start: usize,
    size: usize,
    extra: usize,
) -> String {
    let mut xml = String::from(
        "<?xml version='1.0' encoding='UTF-8'?>\n<OAI-PMH \
         xmlns='http://www.openarchives.org/OAI/2.0/'><ListRecords>\n",
    );
    for Announced { id, version, title, abstract_text, .. } in papers.iter().skip(start).take(size)
    {
        let (title, text) = (escaped(title), escaped(abstract_text));
        let header = format!("<identifier>oai:arXiv.org:{id}</identifier>");
        if *version == 0 {
            writeln!(xml, "<record><header status='deleted'>{header}</header></record>").unwrap();
            continue;
        }
        let versions: String = (1..=*version)
            .map(|number| {
                format!("<version version='v{number}'><date>Mon, 2 Nov 2026 10:00:00 GMT</date></version>")
            })
            .collect();
        writeln!(
            xml,
            "<record><header>{header}</header><metadata><arXivRaw><id>{id}</id>{versions}\
             <title>{title}</title><authors>Ida Moor and Jo Reed</authors>\
             <categories>cs.CL cs.LG</categories><abstract>{text}</abstract></arXivRaw></metadata></record>"
        )
        .unwrap();
    }
    let (total, next) = (papers.len() + extra, start + size);
    let token = if next < papers.len() { format!("{set}|{next}") } else { String::new() };
    let token = format!("cursor='{start}' completeListSize='{total}'>{token}");
    xml + &format!("<resumptionToken {token}</resumptionToken></ListRecords></OAI-PMH>")
}
