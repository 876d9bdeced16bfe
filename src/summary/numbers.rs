//! Numbers: the part of a summary that can be compared with its source.
//!
//! A number of the summary is *invented* if the source has it in no form. The forms that are
//! accepted were found on references: thousands separators (`1,024`, `1\,024`), units of
//! magnitude (`2 million`, `2M`, `2\times10^6` for `200万`), per cent (`0.05` for `5%`), words
//! (`twenty-five`, `third`, `half`, `March`), decades and centuries (`1940s` for `20世纪40年代`, `two decades`
//! for `20年`), and, without looking at the source, marks of enumerations (`1）`) and ordinals (`第2`).
//!
//! A number that stands in the abstract in digits is *lost* if the paragraph has it neither so nor
//! with a unit of magnitude, as a share, or in Chinese characters (`三分之一` for `1/3`).
//!
//! What is per cent in the summary is per cent in the source, or a share (`0.05`, `half`): one child
//! in 31 is not 31 % of them.
//!
//! Values are compared exactly, as decimal digits and an exponent: a slip of one zero is found.
//! Numbers in Chinese characters are looked at where they have digits and units (三百五十); 三 alone
//! is mostly a part of a word. Left out: whether a number stands at the right thing.

use std::collections::{BTreeSet, HashSet};

use crate::text::numbers::{
    Decimal, Found, SCALE_WORDS, TENS, WORDS, behind_range, century, in_characters,
    in_spaced_groups, is_of_decade, is_recent_year, orders_in_words, percents, power_of_ten,
    powers, scaled_in_words, scales, scan, second_year, shares_in_words, units_in_characters,
    without_tex_separators,
};

/// All numbers that a summary may state.
#[derive(Debug)]
pub(super) struct SourceNumbers {
    /// Every form of every number.
    forms: HashSet<Decimal>,
    /// Powers of ten of those that count something.
    magnitudes: BTreeSet<i32>,
    /// The last two digits of every year, for decades.
    decades: HashSet<Decimal>,
    /// The centuries of every year.
    centuries: HashSet<Decimal>,
    /// What may be written before a sign of per cent.
    percents: HashSet<Decimal>,
    /// What the whole is divided by for a share in words: 3 for a third.
    shares: HashSet<Decimal>,
}

/// Longest first, so that 百万 is not read as 百.
const CHINESE_SCALES: [(&str, i32); 9] = [
    ("万亿", 12),
    ("千亿", 11),
    ("百亿", 10),
    ("千万", 7),
    ("百万", 6),
    ("亿", 8),
    ("万", 4),
    ("千", 3),
    ("百", 2),
];
impl SourceNumbers {
    pub(super) fn of(texts: &[&str]) -> Self {
        let mut known = SourceNumbers {
            forms: HashSet::new(),
            magnitudes: BTreeSet::new(),
            decades: HashSet::new(),
            centuries: HashSet::new(),
            percents: HashSet::new(),
            shares: HashSet::new(),
        };
        for text in texts {
            let text = without_tex_separators(text);
            known.add_digits(&text);
            known.add_words(&text.to_lowercase());
            for (_, number) in in_spaced_groups(&text) {
                known.add_value(Decimal::parse(&number));
            }
        }
        known
    }

    /// Powers of ten of the size of its numbers. Below a thousand only whole ones count: 94.2 is no reason
    /// to speak of dozens.
    pub(super) fn magnitudes(&self) -> &BTreeSet<i32> {
        &self.magnitudes
    }

    /// A value that the source has, not only a way to write one.
    fn add_value(&mut self, value: Decimal) {
        let magnitude = value.magnitude();
        if magnitude > 2 || value.is_whole() {
            self.magnitudes.insert(magnitude);
        }
        self.forms.insert(value);
    }

    /// The numbers of `text` that the source does not have, as they stand there.
    pub(super) fn invented_in(&self, text: &str) -> Vec<String> {
        let mut invented = Vec::new();
        let text = without_tex_separators(text);
        for found in scan(&text) {
            let number = text[found.start..found.end].to_owned();
            if !self.accepts(&text, &found) && !invented.contains(&number) {
                invented.push(number);
            }
        }
        for (start, number, value) in units_in_characters(&text) {
            let around = (&text[..start], &text[start + number.len()..]);
            if !self.accepts_in_characters(around, &value)
                && !invented.iter().any(|known| known == number)
            {
                invented.push(number.to_owned());
            }
        }
        invented
    }

    /// Whether the source has a number that stands in Chinese characters between `before` and `after`.
    fn accepts_in_characters(&self, (before, after): (&str, &str), value: &Decimal) -> bool {
        // A part of a number in digits (3百五十) or with a fraction (九十五点五), of a word (十六进制,
        // 十四行诗), or roughly (三十多, 两百年 for two centuries) is not looked at.
        const PARTS: [&str; 17] = [
            "点", "进制", "面体", "边形", "角形", "指肠", "行诗", "极", "烷", "烯", "醇", "碳",
            "酸", "几", "多", "余", "来",
        ];
        if before.ends_with(|c: char| c.is_ascii_digit())
            || PARTS.iter().any(|part| after.starts_with(part))
            || (after.starts_with('年') && value.is_of_hundreds())
        {
            return true;
        }
        if before.ends_with("百分之") {
            return self.percents.contains(value);
        }
        before.ends_with('第')
            || (after.starts_with("年代") && self.decades.contains(value))
            || (after.starts_with("世纪") && self.centuries.contains(value))
            || self.forms.contains(value)
    }

    fn accepts(&self, text: &str, found: &Found) -> bool {
        let (before, after) = (&text[..found.start], &text[found.end..]);
        let enumerates = found.end - found.start == 1 && after.starts_with([')', '）', '、']);
        let decade = is_of_decade(after) && self.decades.contains(&found.value);
        let century = after.starts_with("世纪") && self.centuries.contains(&found.value);
        enumerates
            || decade
            || century
            || before.trim_end().ends_with('第')
            || self.has(text, found)
    }

    fn has(&self, text: &str, found: &Found) -> bool {
        if text[found.end..].trim_start().starts_with(['%', '％']) {
            return self.percents.contains(&found.value);
        }
        // With a unit of magnitude it is no number that the source has without: 7亿 is not 7 billion.
        // 千 and 百 begin words, too (5千米).
        let scale = chinese_scale(text, found.end).filter(|(_, zeros)| *zeros > 3);
        match scale {
            Some((_, zeros)) => self.forms.contains(&found.value.times_ten(*zeros)),
            None if self.has_share(text, found) => true,
            None => readings(text, found).iter().any(|value| self.forms.contains(value)),
        }
    }

    /// Whether it is the 1 or the 3 of `1/3` for a third.
    fn has_share(&self, text: &str, found: &Found) -> bool {
        let parts = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let whole = |text: &str| Decimal::parse(&text[..parts(text)]);
        let is_one = &text[found.start..found.end] == "1";
        match text[found.end..].strip_prefix('/') {
            Some(below) if is_one => parts(below) > 0 && self.shares.contains(&whole(below)),
            _ => {
                let above = text[..found.start].strip_suffix("1/");
                let is_part = |c: char| c.is_ascii_digit() || "./,".contains(c);
                above.is_some_and(|above| !above.ends_with(is_part))
                    && self.shares.contains(&found.value)
            }
        }
    }

    fn add_digits(&mut self, text: &str) {
        let numbers = scan(text);
        let (percents, scales) = (percents(text, &numbers), scales(text, &numbers));
        for (at, found) in numbers.iter().enumerate() {
            self.add_number(text, found);
            if let Some(zeros) = scales[at] {
                self.add_value(found.value.times_ten(zeros));
            }
            let before = at.checked_sub(1).map(|before| &numbers[before]);
            if let Some(year) = second_year(text, before, found) {
                self.forms.insert(Decimal::parse(&year));
            }
            // 0.05 is 5 %, and .803 is 80.3 %.
            let digits = &text[found.start..found.end];
            let is_fraction = digits.starts_with("0.") || text[..found.start].ends_with('.');
            if percents[at] {
                self.percents.insert(found.value.clone());
            }
            if is_fraction {
                let digits = digits.trim_start_matches("0.");
                self.percents.insert(Decimal::parse(&format!("0.{digits}")).times_ten(2));
            }
            powers(text, &numbers, at).into_iter().for_each(|value| self.add_value(value));
        }
    }

    fn add_number(&mut self, text: &str, found: &Found) {
        let digits = &text[found.start..found.end];
        for part in digits.split([',', '.']) {
            self.forms.insert(Decimal::parse(part));
        }
        if let Some(century) = century(digits) {
            self.decades.insert(Decimal::parse(&digits[2..]));
            self.centuries.insert(Decimal::parse(&century.to_string()));
        }
        if text[..found.start].ends_with('.') {
            self.forms.insert(Decimal::parse(&format!("0.{digits}")));
        }
        match is_recent_year(digits) {
            true => drop(self.forms.insert(found.value.clone())),
            false => self.add_value(found.value.clone()),
        }
        self.forms.insert(found.value.times_ten(-2));
    }

    fn add_words(&mut self, lower: &str) {
        self.shares.extend(shares_in_words(lower).into_iter().map(Decimal::parse));
        let (scaled, decades) = scaled_in_words(lower);
        let years = decades.iter().map(|decades| decades.times_ten(1));
        self.percents.extend(scaled.iter().filter(|value| value.magnitude() <= 2).cloned());
        let orders = orders_in_words(lower);
        scaled.into_iter().chain(years).chain(orders).for_each(|value| self.add_value(value));
        let mut tens = None;
        let words = lower.split(|c: char| !c.is_ascii_alphabetic());
        for word in words.filter(|word| !word.is_empty()) {
            if let Some((_, zeros)) = SCALE_WORDS.iter().find(|(scale, _)| *scale == word) {
                self.add_scaled_words(*zeros);
            }
            for row in WORDS.iter().filter(|row| row.words.contains(&word)) {
                self.add_word(row.digits);
                // The five of twenty-five; no month, and no twelve.
                let of_tens = tens.filter(|_| row.digits.len() == 1 && row.before == Some(""));
                if let Some(tens) = of_tens {
                    self.add_word(&format!("{tens}{}", row.digits));
                }
            }
            tens = TENS.iter().position(|name| *name == word).map(|index| index + 2);
            if let Some(tens) = tens {
                self.add_word(&format!("{tens}0"));
            }
        }
    }

    /// A number in words, which may be per cent or a share.
    fn add_word(&mut self, digits: &str) {
        let value = Decimal::parse(digits);
        self.percents.insert(value.clone());
        self.add_value(value);
    }

    /// "two million": any small number in words may have stood before the scale.
    fn add_scaled_words(&mut self, zeros: i32) {
        let scaled: Vec<_> = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]
            .into_iter()
            .map(Decimal::parse)
            .filter(|value| *value == Decimal::parse("1") || self.forms.contains(value))
            .map(|value| value.times_ten(zeros))
            .collect();
        scaled.into_iter().for_each(|value| self.add_value(value));
    }
}

/// The different numbers of `abstract_text` that `paragraph` lacks, as they stand there, and how
/// many it has in all. Digits in a name (`GPT4`, `v1.2`) are none, as in [`crate::text::patterns::NUMBER`],
/// nor are exponents and indices (`n^2`, `\ell_{2,0}`).
pub(super) fn lost(abstract_text: &str, paragraph: &str) -> (Vec<String>, usize) {
    let mut abstract_text = without_tex_separators(abstract_text);
    for (place, number) in in_spaced_groups(&abstract_text).into_iter().rev() {
        abstract_text.replace_range(place, &number);
    }
    let paragraph = without_tex_separators(paragraph);
    let mut written: HashSet<Decimal> =
        scan(&paragraph).iter().flat_map(|found| readings(&paragraph, found)).collect();
    written.extend(in_characters(&paragraph));
    if ["一半", "半数"].iter().any(|half| paragraph.contains(half)) {
        written.extend(["0.5", "50"].map(Decimal::parse));
    }
    let (mut stated, mut lost) = (HashSet::new(), Vec::new());
    let numbers = scan(&abstract_text);
    let scales = scales(&abstract_text, &numbers);
    for (at, found) in numbers.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| &numbers[before]);
        let in_name = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        let is_power = before.is_some_and(|base| power_of_ten(&abstract_text, base).is_some());
        let ahead = &abstract_text[..found.start];
        let is_script = ahead.trim_end_matches(['{', '-', '+']).ends_with(['^', '_']);
        let is_part = is_script || ahead.ends_with(in_name) || is_mark(&abstract_text, found);
        let is_number = !is_power && !is_part;
        if is_number && stated.insert(found.value.clone()) {
            let mut forms = powers(&abstract_text, &numbers, at);
            forms.extend(scales[at].map(|zeros| found.value.times_ten(zeros)));
            forms.push(found.value.clone());
            let year = second_year(&abstract_text, before, found);
            forms.extend(year.map(|year| Decimal::parse(&year)));
            // The 1980s are 80年代.
            let after = abstract_text[found.end..].trim_start_matches(['\'', '’']);
            let digits = &abstract_text[found.start..found.end];
            if century(digits).is_some() && after.starts_with('s') {
                forms.push(Decimal::parse(&digits[2..]));
            }
            if !forms.iter().any(|form| written.contains(form)) {
                lost.push(abstract_text[found.start..found.end].to_owned());
            }
        }
    }
    (lost, stated.len())
}

/// Whether a number is the mark of an item, `(1)` or `1)`, or that of a citation, `[12]` or `(Moor, 2019)`.
fn is_mark(text: &str, found: &Found) -> bool {
    let (before, digits) = (&text[..found.start], &text[found.start..found.end]);
    let after = &text[found.end..];
    let is_whole = digits.bytes().all(|byte| byte.is_ascii_digit());
    let begins = before.is_empty() || before.ends_with(|c: char| c == '(' || c.is_whitespace());
    let is_item = digits.len() <= 2 && begins && after.starts_with(')');
    let of_list = |c: char| c.is_ascii_digit() || ", -–".contains(c);
    let is_listed = before.trim_end_matches(of_list).ends_with('[')
        && after.trim_start_matches(of_list).starts_with(']');
    let is_year = digits.len() == 4
        && before.trim_end().ends_with([',', '.'])
        && after.starts_with([')', ';'])
        && century(digits).is_some();
    is_whole && (is_item || is_listed || is_year)
}

/// The unit of magnitude behind a number of a Chinese text that ends at `end`.
fn chinese_scale(text: &str, end: usize) -> Option<&'static (&'static str, i32)> {
    // 600多万.
    let after = text[end..].trim_start().trim_start_matches(['多', '余']);
    CHINESE_SCALES.iter().find(|(word, _)| after.starts_with(word))
}

/// The value of the first number of a range whose second one has a unit of magnitude, `500-1000万`, with that unit.
fn with_scale_of_range(text: &str, found: &Found) -> Option<Decimal> {
    let second = behind_range(&text[found.end..])?;
    let digits = second.bytes().take_while(|b| b.is_ascii_digit() || b",.".contains(b)).count();
    let (_, zeros) = chinese_scale(text, text.len() - second.len() + digits)?;
    (digits > 0).then(|| found.value.times_ten(*zeros))
}

/// What a number of a Chinese text can mean: itself, with its unit of magnitude (`200万`), as a
/// share of one (`5%`).
fn readings(text: &str, found: &Found) -> Vec<Decimal> {
    let after = text[found.end..].trim_start();
    let scale = chinese_scale(text, found.end);
    let percent = after.starts_with(['%', '％']);
    let scaled = scale.map(|(_, zeros)| found.value.times_ten(*zeros));
    let share = percent.then(|| found.value.times_ten(-2));
    let of_range = with_scale_of_range(text, found);
    [Some(found.value.clone()), scaled, of_range, share].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, summary: &str, expected: &[&str]) {
        assert_eq!(SourceNumbers::of(&[source]).invented_in(summary), expected, "{source}");
    }

    #[test]
    fn finds_numbers_that_the_source_lacks() {
        check("We use 12 models.", "我们使用13个模型，准确率95.5%。", &["13", "95.5"]);
        check("It gains 3.5 points.", "提升35个点，再提升35个点", &["35"]);
        check("We have 2 million users.", "我们有20万用户，2000万", &["20", "2000"]);
        check("", "共3个", &["3"]);
        check("It affects 1 in 31 children.", "影响31%的儿童，每31名中有1名", &["31"]);
        check("a perplexity of 61.46 vs 52.98 (16 %)", "61.46% vs 52.98，16%", &["61.46"]);
        check("3 of 17 models gain 5x", "5%", &["5"]);
        check(
            "7B weights, 1.5 billion, 20 million",
            "7亿，1.5亿，20万，70亿，15亿",
            &["7", "1.5", "20"],
        );
        check(
            "a field of 14 T, 12 - 40 M_sun at 4 K, 5 m long, 36\\,M_\\odot and 10 t of it",
            "14万亿，4000万，4000，500万，3600万，10万亿",
            &["14", "4000", "500", "3600", "10"],
        );
        check(
            "5-10 million; a third of 20 MT systems",
            "500-1000，1/4，2000万",
            &["500", "1000", "4", "2000"],
        );
        check("two models over 3 decades", "40年，30年，20世纪", &["40", "20"]);
        check("at twenty, twelve of them, twenty February", "212，22，20，12，2月", &["212", "22"]);
    }

    #[test]
    fn accepts_every_form_of_a_number() {
        check("1,024 and 11{,}571 and 2\\,048", "1024、11,571和2,048", &[]);
        check("2 million users, 1.4 billion people, 7B weights", "200万，14亿，70亿", &[]);
        check("500 M dwarfs, 278 B of state, 14 T", "500颗M矮星，2780亿，14 T", &[]);
        check("over 6 million cases, 3.5 million", "600多万，350余万", &[]);
        check("$1.15$M parameters, 80M tokens", "115万参数，8000万", &[]);
        check("$2\\times10^5$ and $10^{6}$", "20万和100万", &[]);
        check("accuracy of .803, 0.50 and 97\\%", "0.803、0.5与97%", &[]);
        check("a rate of 0.05", "5%的比率", &[]);
        check("an F1 of 0.8, 4.1 points more", "F1为80%，高出4.1%", &[]);
        check(
            "10, 20 and 30 \\%, $5$--$10\\%$, from 41.3 to 48.9 percent",
            "10%、20%、5%、41.3%",
            &[],
        );
        check("a third, one in five, twenty percent", "3%，20 %", &[]);
        check("twenty-five agents, the third of seven, half", "25个，第3个，7个，50%", &[]);
        check("two and a half percent, one hundred per cent", "2.5%，100%", &[]);
        check("in the 1940s; in March 2024", "40年代；2024年3月", &[]);
        check("two million papers", "200万篇", &[]);
        check("the past two decades, a decade; since the 1920s", "20年，10年，20世纪20年代", &[]);
        check("the twentieth and the twelfth century", "20世纪，12世纪", &[]);
        check("at $60\\,\\%$ of 10 000 stars, 5\\,cm", "60%，1万颗，10,000颗，5厘米", &[]);
        check("two-thirds, three quarters, a tenfold gain, halved", "2/3，75%，10倍，50%", &[]);
        check("doubled in 2008-09; tripling", "2倍，2008-2009年，3倍", &[]);
        check("fifty thousand, a hundred thousand, half a million", "5万，10万，50万", &[]);
        check("5-10 million, between 3 and 4 billion", "500万到1000万，30亿，40亿", &[]);
        check("20 million users, 5 km", "2千万，5千米", &[]);
        check("5-10 million; 20,000 to 50,000 of them", "500-1000万，2至5万", &[]);
        check(
            "10 Myr, 4.5 Gyr, 40 Mpc, $350bn, 35 mln, 3 Gb, 13 TeV, $(6.5 \\pm 0.7)\\times 10^9$",
            "1000万年、45亿年、4000万秒差距、3500亿、3500万、30亿、13万亿电子伏、65亿",
            &[],
        );
        check("about a third, a quarter and half", "约1/3、1/4和1/2", &[]);
        check("an order of magnitude, two orders of magnitude", "10倍，100倍", &[]);
        check("\\(12.9\\) percent, \\(6\\)\\%, 95${\\%}$", "12.9%、6%、95%", &[]);
        check("$42\\sim62\\%$, 21.9 $\\rightarrow$ 57.8\\%", "42%、62%、21.9%、57.8%", &[]);
        check("GPT-4 and WN18RR v1.2.3", "GPT4、WN18RR与1.2.3", &[]);
        check("no numbers", "1）方法，2)实验，第2种", &[]);
        check("the past decade and a half, five preceding decades", "15年，五十年，十五年", &[]);
        check("a few decades", "十年", &[]);
        check("a few long decades", "二十年", &["二十"]);
        check("sonnets, the duodenum and hexadecane", "十四行诗、十二指肠和十六烷", &[]);
    }

    #[test]
    fn tells_which_numbers_were_lost() {
        let check = |source: &str, summary: &str, expected: &[&str]| {
            assert_eq!(lost(source, summary).0, expected, "{source}");
        };
        check("We gain 10, 20 and 30 %.", "我们提升20%。", &["10", "30"]);
        check("We gain 10, 20 and 10 %.", "我们有所提升。", &["10", "20"]);
        check(
            "2 million users, 1,024 or 2\\,048 of them in 2024",
            "200万，1024，2,048，2024年",
            &[],
        );
        check("a rate of 0.05 in 7B weights", "5%，70亿", &[]);
        check(
            "(1) sheep, (2) goats (Moor, 2019) [3, 12-14], of 95% (97) in 2020",
            "有",
            &["95", "2020"],
        );
        check("0.5 and 0.25 and 5", "0.5", &["0.25", "5"]);
        check("GPT-4, Llama3, v1.2 and x_3", "不提", &["4"]);
        check("$2\\times10^5$ steps of $10^{-3}$", "20万步，每步为$10^{-3}$", &["2"]);
        check("$10^{6}$ steps", "百步", &["10"]);
        check("$n^2$, $2^{-7}$ and $\\ell_{3}$ of 5 cm$^{3}$", "不提", &["2", "5"]);
        check("no numbers", "3个", &[]);
        check("10 000 stars, 5-10 million", "1万颗，500万至1000万", &[]);
        check("10 000-20 000 of 30\u{a0}000", "1万至2万，3万", &[]);
        check("GPT-3 175B, Llama 3 405B on 224 224x7", "GPT-3 175B和Llama 3 405B，224，224x7", &[]);
        check("1/3 of the cost on 12 tasks, 50% of 7", "十二项任务上三分之一的开销，一半", &["7"]);
        assert_eq!(lost("7, 7.0, 8 and GPT4", "").1, 2);
    }
}
