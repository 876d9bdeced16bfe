//! Digits: those of the source's numbers, in the forms that Chinese has for them.
//!
//! The check of numbers ([`crate::summary`]) takes whatever can be explained, so as not to call an
//! honest number invented; a guard lets through what is natural to write. Every form is a spelling
//! of digits and, where it is only right before certain characters, these: `2 million` is `200`
//! before `万`, and no bare `2`. Free are marks of enumerations, which count up from one, and
//! ordinals of two digits behind `第`.
//!
//! What is refused after some characters is refused with whatever follows them.

use crate::summary::Source;
use crate::text::numbers::{
    Decimal, Found, RANGES, TENS, WORDS, behind_range, century, in_spaced_groups, narrow_digit,
    orders_in_words, percents, powers, scale_behind, scaled_in_words, scales, scan, second_year,
    shares_in_words, without_chinese_scales, without_tex_separators,
};
use crate::text::quantity::grouped;

/// Most characters of a form: how far behind a new character a number can begin.
const MAX_CHARS: usize = 32;

/// Characters for powers of ten that digits are written before, and how many of them at most.
const SCALED: [(&str, i32, usize); 7] = [
    ("万", 4, 4),
    ("百万", 6, 3),
    ("千万", 7, 1),
    ("亿", 8, 4),
    ("百亿", 10, 1),
    ("千亿", 11, 1),
    ("万亿", 12, 4),
];

/// The numbers of a source.
#[derive(Debug)]
pub(super) struct Numbers {
    /// Sorted, so that those that begin alike stand together.
    forms: Vec<Form>,
    /// What the whole is divided by for a share in words: 3 for a third, which may be 1/3.
    shares: Vec<&'static str>,
}

/// A way to write a number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Form {
    digits: String,
    /// What has to follow; in lower case.
    suffix: String,
}

impl Form {
    /// Whether `after` is what has to follow, as far as it is written.
    fn is_before(&self, after: &str) -> bool {
        match after.strip_prefix(&self.suffix[..]) {
            // No power of ten is a part of a larger one.
            Some(rest) => self.suffix.is_empty() || !rest.starts_with(['百', '千', '万', '亿']),
            None => self.suffix.starts_with(after),
        }
    }

    /// Whether no blank may stand before what follows, as before the B of `70B`.
    fn is_glued(&self) -> bool {
        ["年代", "世纪"].contains(&&self.suffix[..]) || self.suffix.len() == 1 && self.suffix != "%"
    }
}

impl Numbers {
    pub(super) fn of(source: &Source<'_>) -> Numbers {
        let mut numbers = Numbers { forms: Vec::new(), shares: Vec::new() };
        let translations = without_chinese_scales(source.translations);
        for text in [source.title, source.abstract_text, &translations] {
            let text = without_tex_separators(text);
            let all = scan(&text);
            let (percents, scales) = (percents(&text, &all), scales(&text, &all));
            for (at, found) in all.iter().enumerate() {
                numbers.add_number(&text, found);
                if let Some(zeros) = scales[at] {
                    numbers.add_scaled(&found.value.times_ten(zeros));
                }
                let before = at.checked_sub(1).map(|before| &all[before]);
                if let Some(year) = second_year(&text, before, found) {
                    numbers.add(&year, "");
                }
                if percents[at] {
                    numbers.add_percent(&text[found.start..found.end]);
                }
                for value in powers(&text, &all, at) {
                    numbers.add_scaled(&value);
                    numbers.add_in_full(&value);
                }
            }
            for (_, number) in in_spaced_groups(&text) {
                numbers.add(&number, "");
                numbers.add(&number.replace(',', ""), "");
                numbers.add_scaled(&Decimal::parse(&number));
            }
            numbers.add_runs(&text);
            let lower = text.to_lowercase();
            numbers.add_words(&lower);
            numbers.shares.extend(shares_in_words(&lower));
        }
        numbers.forms.sort_unstable();
        numbers.forms.dedup();
        numbers
    }

    /// Whether the numbers that the last `new` of `chars` are part of may stand there.
    pub(super) fn allows(&self, chars: &[char], new: usize) -> bool {
        let first_new = chars.len() - new;
        let mut at = first_new;
        while at > first_new.saturating_sub(MAX_CHARS) && !ends_numbers(chars[at - 1]) {
            at -= 1;
        }
        // Not from the middle of a number on.
        while at > 0 && (narrow(chars[at - 1]).is_ascii_digit() || ",.".contains(chars[at - 1])) {
            at -= 1;
        }
        while at < chars.len() {
            let end = run_end(chars, at);
            if end == at {
                at += 1;
                continue;
            }
            if !self.has(&chars[..at], &chars[at..end], &chars[end..]) {
                return false;
            }
            at = end;
        }
        true
    }

    fn has(&self, before: &[char], run: &[char], after: &[char]) -> bool {
        let run: String = run.iter().map(|c| narrow(*c)).collect();
        if before.last() == Some(&'第') && run.len() <= 2 {
            return true;
        }
        if self.begins_share(before, &run, after) {
            return true;
        }
        // More digits can follow, also behind a separator.
        let open = after.is_empty();
        let longer = match after {
            [separator @ (',' | '.')] => format!("{run}{separator}"),
            _ => String::new(),
        };
        let spaced = after.first() == Some(&' ');
        let after: String = after.iter().skip_while(|c| **c == ' ').take(MAX_CHARS).collect();
        let of_range = behind_range(&after).map(|second| {
            let end = second.find(|c: char| !c.is_ascii_digit() && !",.".contains(c));
            let (second, rest) = second.split_at(end.unwrap_or(second.len()));
            (second.to_owned(), rest.to_owned())
        });
        // 600多万.
        let after = after.trim_start_matches(['多', '余']);
        let after = after.replace('％', "%").to_lowercase();
        let needs_suffix =
            after.starts_with('%') || SCALED.iter().any(|(scale, ..)| after.starts_with(scale));
        // Both numbers of 500-1000万 have the unit.
        let is_scaled_range = |form: &Form| {
            let Some((second, rest)) = &of_range else { return false };
            let goes_with = |other: &Form| {
                other.suffix == form.suffix
                    && other.digits != form.digits
                    && if rest.is_empty() {
                        other.digits.starts_with(&second[..])
                    } else {
                        other.digits == *second
                    }
            };
            SCALED.iter().any(|(scale, ..)| form.suffix == *scale)
                && form.is_before(rest)
                && self.forms.iter().any(goes_with)
        };
        let fits = |form: &Form| {
            is_scaled_range(form)
                || form.is_before(&after)
                    && !(needs_suffix && form.suffix.is_empty())
                    && !(spaced && form.is_glued())
        };
        let goes_on = open && self.begins_form(&run)
            || !longer.is_empty() && self.begins_form(&longer)
            || !open && self.forms_of(&run).any(fits);
        goes_on || !spaced && enumerates(before, &run, &after, open)
    }

    /// Whether `run` is the 1 or the 3 of `1/3` for a third, as far as it is written.
    fn begins_share(&self, before: &[char], run: &str, after: &[char]) -> bool {
        let is_share = |below: &str| self.shares.contains(&below);
        if let Some(above) = before.strip_suffix(&['1', '/']) {
            // 11/3 and 2/1/3 are something else.
            let is_part = |c: &char| c.is_ascii_digit() || "./,".contains(*c);
            return !above.last().is_some_and(is_part) && is_share(run);
        }
        match (run, after) {
            ("1", []) => !self.shares.is_empty(),
            ("1", ['/', below @ ..]) => {
                let digits = below.iter().take_while(|c| c.is_ascii_digit());
                let digits: String = digits.collect();
                below.is_empty() && !self.shares.is_empty() || is_share(&digits)
            }
            _ => false,
        }
    }

    /// Whether the digits of a form begin with `digits`.
    fn begins_form(&self, digits: &str) -> bool {
        let first = self.forms.partition_point(|form| &form.digits[..] < digits);
        self.forms.get(first).is_some_and(|form| form.digits.starts_with(digits))
    }

    /// The forms whose digits are `digits`.
    fn forms_of(&self, digits: &str) -> impl Iterator<Item = &Form> {
        let first = self.forms.partition_point(|form| &form.digits[..] < digits);
        self.forms[first..].iter().take_while(move |form| form.digits == digits)
    }

    fn add(&mut self, digits: &str, suffix: &str) {
        if !digits.is_empty() {
            let (digits, suffix) = (digits.to_owned(), suffix.to_lowercase());
            self.forms.push(Form { digits, suffix });
        }
    }

    fn add_number(&mut self, text: &str, found: &Found) {
        let digits = &text[found.start..found.end];
        let scale = scale_behind(text, found.end);
        let (is_decades, is_scaled) = match &scale {
            Some(scale) => (scale.word == "decades", scale.word != "decades"),
            None => (false, false),
        };
        let suffix = match &scale {
            Some(scale) if is_scaled && scale.is_certain => scale.word,
            _ => "",
        };
        self.add(digits, suffix);
        self.add(&digits.replace(',', ""), suffix);
        // With its unit, `of` adds it.
        if suffix.is_empty() {
            self.add_scaled(&found.value);
        }
        if text[..found.start].ends_with('.') {
            self.add(&format!("0.{digits}"), "");
            let share = Decimal::parse(&format!("0.{digits}")).times_ten(2);
            self.add(&share.plain().unwrap_or_default(), "%");
        }
        if let Some(century) = century(digits)
            && ["s", "'s", "’s"].iter().any(|s| text[found.end..].starts_with(s))
        {
            self.add(&digits[2..], "年代");
            self.add(&century.to_string(), "世纪");
        }
        if is_decades {
            self.add(&found.value.times_ten(1).plain().unwrap_or_default(), "年");
        }
        if digits.starts_with("0.") && digits.len() > 3 {
            self.add(&found.value.times_ten(2).plain().unwrap_or_default(), "%");
        }
        // Four digits may be a year.
        if !is_scaled && digits.len() > 4 && !digits.contains([',', '.']) {
            self.add(&grouped(digits), "");
        }
    }

    /// A number that is per cent in the source, without its separators as well.
    fn add_percent(&mut self, digits: &str) {
        self.add(digits, "%");
        self.add(&digits.replace(',', ""), "%");
    }

    /// Large numbers before the characters that stand for powers of ten.
    fn add_scaled(&mut self, value: &Decimal) {
        for (scale, zeros, most) in SCALED {
            let is_natural = |digits: &String| {
                let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
                !whole.starts_with('0') && whole.len() <= most && fraction.len() <= 3
            };
            if let Some(digits) = value.times_ten(-zeros).plain().filter(is_natural) {
                self.add(&digits, scale);
            }
        }
    }

    /// What is not written in digits, such as two hundred and 10^3, in digits; larger ones nobody writes out.
    fn add_in_full(&mut self, value: &Decimal) {
        if let Some(digits) = value.plain().filter(|digits| digits.len() <= 6) {
            self.add(&digits, "");
            if digits.len() > 3 && !digits.contains('.') {
                self.add(&grouped(&digits), "");
            }
        }
    }

    /// Digits with any separators between them, as they stand: versions, dates, lists and
    /// intervals such as `[0,1]`.
    fn add_runs(&mut self, text: &str) {
        let chars: Vec<char> = text.chars().collect();
        let mut at = 0;
        while at < chars.len() {
            let end = run_end(&chars, at);
            let run: String = chars[at..end].iter().collect();
            let separators = run.matches([',', '.']).count();
            if separators > 0 && scan(&run).first().is_none_or(|found| found.end != run.len()) {
                self.add(&run, "");
            }
            at = end.max(at + 1);
        }
    }

    fn add_words(&mut self, lower: &str) {
        let (scaled, decades) = scaled_in_words(lower);
        for value in &scaled {
            self.add_scaled(value);
            self.add_in_full(value);
            self.add(&value.plain().unwrap_or_default(), "%");
        }
        for factor in orders_in_words(lower) {
            self.add(&factor.plain().unwrap_or_default(), "倍");
            self.add_scaled(&factor);
        }
        for decades in decades {
            self.add(&decades.times_ten(1).plain().unwrap_or_default(), "年");
        }
        let mut tens = None;
        for word in lower.split(|c: char| !c.is_ascii_alphabetic()).filter(|w| !w.is_empty()) {
            let mut rows = WORDS.iter().filter(|row| row.words.contains(&word));
            let named = rows.find_map(|row| Some((row.digits, row.before?)));
            if let Some((digits, suffix)) = named {
                // The five of `twenty-five` is none.
                match tens.filter(|_| digits.len() == 1 && suffix.is_empty()) {
                    Some(tens) => self.add_word(&format!("{tens}{digits}"), ""),
                    None => self.add_word(digits, suffix),
                }
            }
            tens = TENS.iter().position(|name| *name == word).map(|index| index + 2);
            if let Some(tens) = tens {
                self.add_word(&format!("{tens}0"), "");
            }
        }
    }

    /// A number in words, which may be per cent where nothing else has to follow.
    fn add_word(&mut self, digits: &str, suffix: &str) {
        self.add(digits, suffix);
        if suffix.is_empty() {
            self.add(digits, "%");
        }
    }
}

/// Whether `run` is a mark of an enumeration: behind a stop, and the next after the one before.
fn enumerates(before: &[char], run: &str, after: &str, open: bool) -> bool {
    let number = run.parse::<u32>().unwrap_or(0);
    let begins = before.last().is_none_or(|c| " ：；，。、（(:;,".contains(*c));
    let marked = open || after.starts_with([')', '）', '、']);
    let follows = || {
        let earlier = char::from_digit(number - 1, 10).unwrap_or('0');
        before.windows(2).any(|pair| pair[0] == earlier && ")）、".contains(pair[1]))
    };
    run.len() == 1 && number > 0 && begins && marked && (number == 1 || follows())
}

/// Where the run of digits, with single separators between them, that begins at `at` ends; at `at`
/// where none does. A separator behind which nothing stands yet belongs to none.
fn run_end(chars: &[char], at: usize) -> usize {
    let is_digit = |at: usize| chars.get(at).is_some_and(|c| narrow(*c).is_ascii_digit());
    let mut end = at;
    while is_digit(end) || (end > at && matches!(chars[end], ',' | '.') && is_digit(end + 1)) {
        end += 1;
        if end >= chars.len() {
            break;
        }
    }
    end
}

/// Whether no number before `c` can depend on what stands behind it.
fn ends_numbers(c: char) -> bool {
    !(c.is_ascii_alphanumeric()
        || narrow(c).is_ascii_digit()
        || ",. 百千万亿年代月世纪%％)）、/".contains(c)
        || RANGES.contains(&c))
}

fn narrow(c: char) -> char {
    if let '０'..='９' = c { narrow_digit(c) } else { c }
}
