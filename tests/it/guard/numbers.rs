//! The guard of numbers, and that of magnitudes.

use super::{accepts, accepts_of, check_text, of_numbers as numbers, refused};
use wenzhai::summary::Source;

#[test]
fn numbers_stand_as_in_the_source_or_in_a_form_that_chinese_has() {
    for text in [
        "63.4%",
        "提升4.1个百分点，",
        "200万个迷宫",
        "2百万",
        "2 million",
        "1,024个",
        "1024",
        "3D",
        "25步",
        "5%",
        "4.1%",
        "63.4％",
        "25%",
        "0.05",
        "70B",
        "700亿",
        "2026年3月",
        "80年代",
        "1980年代",
        "V3.1，Qwen2.5。",
        "第2",
        "：1）一，2）二",
        "（1）一；（2）二",
        "解决了63.4%。",
    ] {
        check_text(numbers(), text, true);
    }
    for text in [
        "63%",
        "1024%",
        "1,024%",
        "0.05%",
        "3.1 %",
        "2026％",
        "63.",
        "6.34",
        "63.40",
        "4.2",
        "2个",
        "20万",
        "2000万",
        "2亿",
        "1,025",
        "102",
        "7B",
        "26",
        "5个",
        "0.5",
        "2025年",
        "26年代",
        "19.8百分点",
        "05年代",
        "4月",
        "8",
        "：2）二",
        "提升1、",
        "第123",
        "９",
    ] {
        check_text(numbers(), text, false);
    }
}

#[test]
fn times_and_multiples_have_forms_of_their_own() {
    let source = Source {
        abstract_text: "Over the past two decades and since the 1990s, in the twentieth century and \
            a decade after 2008-09, 10 000 stars and $60\\,\\%$ of fifty thousand doubled tenfold; \
            half a million, a hundred thousand, 5-10 million, twenty-five billion.",
        ..Source::default()
    };
    let check = |text: &str, expected: bool| {
        assert_eq!(accepts(&source, numbers(), text), expected, "{text}");
    };
    for text in [
        "过去20年",
        "20世纪90年代",
        "20世纪",
        "10年后",
        "2008-2009年",
        "10,000颗",
        "10000颗",
        "1万颗",
        "60%",
        "5万",
        "2倍",
        "10倍",
        "50万",
        "10万",
        "500万至1000万",
        "1千万",
        "250亿",
    ] {
        check(text, true);
    }
    for text in ["90世纪", "19世纪", "2009000", "5千万", "100亿", "200年", "5亿", "25亿"]
    {
        check(text, false);
    }
    let share = Source { abstract_text: "An F1 of .803.", ..Source::default() };
    let allowed = ["80.3%", "0.803", "8.03%"].map(|text| accepts(&share, numbers(), text));
    assert_eq!(allowed, [true, true, false]);
    let nineties = Source { abstract_text: "Since the 1990s.", ..Source::default() };
    let allowed =
        ["20世纪90年代", "20世界", "20个"].map(|text| accepts(&nineties, numbers(), text));
    assert_eq!(allowed, [true, false, false]);
}

#[test]
fn numbers_in_words_may_be_written_in_digits() {
    let abstract_text = "Two hundred languages, one hundred and fifty tasks, five thousand hours, and \
        10$^{6}$ stars, or 2.1$\\times$10$^5$ of them.";
    let source = Source { title: "T", abstract_text, ..Source::default() };
    for text in ["200种", "150项", "5000小时", "5,000小时", "100万颗", "21万颗"] {
        assert!(accepts(&source, numbers(), text), "{text}");
    }
    for text in ["250种", "500小时", "50000", "600万颗", "210万颗", "102项", "100项"] {
        assert!(!accepts(&source, numbers(), text), "{text}");
    }
    let source = Source {
        abstract_text: "From the 1980s to the 1990s a sixfold gain in two and a half years.",
        translations: "700万",
        ..source
    };
    for text in ["80年代和90年代", "6倍", "2.5年"] {
        assert!(accepts(&source, numbers(), text), "{text}");
    }
    for text in ["80和90年代", "7倍", "3.5年", "700人", "80人"] {
        assert!(!accepts(&source, numbers(), text), "{text}");
    }
}

#[test]
fn numbers_of_a_list_stand_with_or_without_blanks() {
    let abstract_text = "We share weights alpha in [0,1] among (12,1,5) devices and 1,024 mazes.";
    let source = Source { title: "T", abstract_text, ..Source::default() };
    for text in ["[0,1]", "[0, 1]", "（12,1,5）", "1,024个", "1024"] {
        assert!(accepts(&source, numbers(), text), "{text}");
    }
    for text in ["[0,12]", "[1,0]", "[01]", "0,1,5", "0.1", "1,02"] {
        assert!(!accepts(&source, numbers(), text), "{text}");
    }
}

#[test]
fn units_behind_a_number_are_no_magnitudes() {
    let of =
        "In fields of 13-26 T at 300 K we see 500 M dwarfs of 0.6 M$_\\odot$, and 70B weights.";
    let check = |text: &str, expected: bool| {
        assert_eq!(accepts_of(numbers(), of, "", text), expected, "{text}");
    };
    for text in
        ["13-26 T的", "300 K下", "300开", "26特斯拉", "500颗M矮星", "0.6个太阳", "70B", "700亿"]
    {
        check(text, true);
    }
    for text in ["26万亿", "6000亿", "70个"] {
        check(text, false);
    }
}

#[test]
fn magnitudes_are_those_of_the_source() {
    let accepts = |abstract_text: &str, text: &str| {
        accepts(&Source { title: "T", abstract_text, ..Source::default() }, numbers(), text)
    };
    let source = "Tens of billions of items, millions of updates, a few hundred shops.";
    for text in ["数百亿件商品", "数百万次更新，数百家店", "参数十分多，对数组和数据", "数百个亿"]
    {
        assert!(accepts(source, text), "{text}");
    }
    for text in ["数十亿件", "数十个", "数亿", "数千", "数百万亿", "数万", "数百百万"]
    {
        assert!(!accepts(source, text), "{text}");
    }
    let refused = |text: &str| {
        refused(&Source { abstract_text: source, ..Source::default() }, numbers(), text)
    };
    // What may become one of the source is refused when it has not.
    assert_eq!(refused("数百个亿").as_deref(), None);
    assert_eq!(refused("达到数十亿件").as_deref(), Some("达到数十"));
    // Model predictive control is no megaparsec.
    assert!(!accepts("We use MPC for gliders.", "数百万"));
    assert!(accepts("It is 3 Mpc away, or a few Mpc.", "数百万秒差距"));
    let source = "Tens of trillions of tokens.";
    assert!(accepts(source, "数十万亿个词元") && !accepts(source, "数十万个"));
}

#[test]
fn both_ends_of_a_range_have_its_unit() {
    let abstract_text = "It takes 5-10 million steps, 20,000 to 50,000 of them long, and 3 lakes.";
    let source = Source { title: "T", abstract_text, ..Source::default() };
    for text in ["500-1000万步", "500至1000万步", "500万至1000万步", "2-5万步", "2～5万", "3个"]
    {
        assert!(accepts(&source, numbers(), text), "{text}");
    }
    for text in ["500-1000步", "500步", "50-1000万步", "2-5个", "500-2000万步"] {
        assert!(!accepts(&source, numbers(), text), "{text}");
    }
}

#[test]
fn units_that_have_a_power_of_ten_in_them_may_be_told_with_it() {
    let abstract_text = "After 10 Myr and 4.5 Gyr at 40,000 Mpc, $350bn and 35 mln, 3 Gb at 13 TeV; \
        $(6.5 \\pm 0.7)\\times 10^9$ suns.";
    let source = Source { title: "T", abstract_text, ..Source::default() };
    for text in [
        "1000万年",
        "10 Myr",
        "45亿年",
        "4.5 Gyr",
        "4万Mpc",
        "3500亿美元",
        "3500万",
        "30亿碱基",
        "13万亿电子伏",
        "13 TeV",
        "65亿",
        "(6.5 ± 0.7)",
    ] {
        assert!(accepts(&source, numbers(), text), "{text}");
    }
    for text in ["100万年", "4亿年", "13亿", "650亿", "350亿"] {
        assert!(!accepts(&source, numbers(), text), "{text}");
    }
}

/// Of a range or an error both numbers have the power behind it, and what stands before has not.
#[test]
fn a_power_of_ten_belongs_to_its_factor() {
    for (of, text, expected) in [
        (r"from $2\times10^{3}$ to $5\times10^{6}$", "500万", true),
        (r"from $2\times10^{3}$ to $5\times10^{6}$", "300万", false),
        ("2×10^3 and 5×10^6 herons", "200万", false),
        ("2×10^3 and 5×10^6 herons", "1000万", false),
        (r"In 2024, 3 to 5$\times 10^6$", "300万到500万", true),
        (r"In 2024, 3 to 5$\times 10^6$", "20.24亿", false),
        (r"on 12 of 30, 40 and $7\times10^4$", "30万", false),
        (r"some $1.5\times 10^4$ herons", "15,000只", true),
        (r"some $1.5\times 10^4$ herons", "15000只", true),
        (r"some $1.5\times 10^4$ herons", "1500只", false),
        (r"some $2\times 10^3$ herons", "2000只", true),
        (r"below $10^3$ herons", "1000只", true),
        (r"$4.3^{+0.2}_{-0.3}\times10^{6}$", "430万", true),
        (r"$(4.3\pm0.2\pm0.3)\times10^6$", "430万", true),
        (r"$(6 \pm 2) \times 10^6$", "600万", true),
        (r"$(6 \pm 2) \times 10^6$", "200万", true),
    ] {
        assert_eq!(accepts_of(numbers(), of, "", text), expected, "{text} of {of}");
    }
}

#[test]
fn orders_of_magnitude_may_be_multiples() {
    let source = Source {
        title: "T",
        abstract_text: "It is two orders of magnitude faster, and an order of magnitude smaller.",
        ..Source::default()
    };
    for text in ["快100倍", "小10倍", "2个数量级"] {
        assert!(accepts(&source, numbers(), text), "{text}");
    }
    for text in ["快1000倍", "100个", "10种"] {
        assert!(!accepts(&source, numbers(), text), "{text}");
    }
}

#[test]
fn a_share_in_words_may_be_a_fraction() {
    let abstract_text = "About a third of them, a quarter of us, and half of you.";
    let source = Source { title: "T", abstract_text, ..Source::default() };
    for text in ["约1/3的人", "1/4", "1/2"] {
        assert!(accepts(&source, numbers(), text), "{text}");
    }
    for text in ["1/5", "1/33", "2个", "4个", "1个人", "1/3/5", "3/4"] {
        let is_allowed = accepts(&source, numbers(), text);
        assert!(!is_allowed, "{text}");
    }
    let of = "About a quarter of 11 herons, all 21 of them and 2.1 more.";
    for (text, expected) in [("1/4", true), ("11/4", false), ("21/4", false), ("2.1/4", false)] {
        assert_eq!(accepts_of(numbers(), of, "", text), expected, "{text}");
    }
    assert!(!accepts_of(numbers(), "The third of them.", "", "1/3"));
}
