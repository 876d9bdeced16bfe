//! In which order records stand, and which of them stand together.

use std::cmp::{Ordering, Reverse};

use super::Records;
use super::entry;
use super::overview::first_category;
use crate::error::Result;
use crate::paper::Announce;
use crate::record::Record;

/// What decides the order of records within a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By link, descending: digest order.
    Link,
    /// The latest day first, papers without one last; those of one day in digest order.
    Day,
}

/// What papers of one group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// The first category; groups are sorted by its name.
    Category,
    /// Why the paper was announced: new ones first, new versions last.
    Announce,
}

impl Group {
    /// What the group of `record` is called in a digest.
    pub fn name_of(self, record: &Record) -> String {
        match self {
            Group::Category => first_category(record).unwrap_or_else(|| "未分类".to_owned()),
            Group::Announce => record.announce.map_or("其他", announced).to_owned(),
        }
    }

    fn compare(self, one: &Record, other: &Record) -> Ordering {
        match self {
            // What has no category comes last.
            Group::Category => {
                let (one, other) = (first_category(one), first_category(other));
                one.is_none().cmp(&other.is_none()).then(one.cmp(&other))
            }
            Group::Announce => {
                let rank = |record: &Record| match record.announce {
                    Some(Announce::New) => 0,
                    Some(Announce::Cross) => 1,
                    Some(Announce::Replace) => 2,
                    Some(Announce::ReplaceCross) => 3,
                    None => 4,
                };
                rank(one).cmp(&rank(other))
            }
        }
    }
}

/// Why a paper was announced, in Chinese.
pub(super) fn announced(announce: Announce) -> &'static str {
    match announce {
        Announce::New => "新论文",
        Announce::Cross => "交叉列表",
        Announce::Replace => "新版本",
        Announce::ReplaceCross => "交叉列表的新版本",
    }
}

/// Records in memory, sorted; records that compare equal keep the order in which they came.
#[derive(Debug, Clone, Default)]
pub struct InOrder(Vec<Record>);

impl InOrder {
    /// Sorts `records` into digest order: by the place that likeness to a library gave them, and
    /// those without one behind them by link, descending.
    pub fn new(mut records: Vec<Record>) -> Self {
        let place = |record: &Record| {
            record.relevance.as_ref().and_then(|relevance| relevance.place).unwrap_or(u64::MAX)
        };
        records.sort_by(|one, other| {
            place(one).cmp(&place(other)).then_with(|| other.link.cmp(&one.link))
        });
        InOrder(records)
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sorts `records`, those of one group together; without an order, those of a group stay as
    /// they come.
    pub fn arranged(records: Vec<Record>, order: Option<Order>, group: Option<Group>) -> Self {
        InOrder(records).arrange(order, group)
    }

    /// The same records in another order, as [`InOrder::arranged`] sorts them.
    #[must_use]
    pub fn arrange(mut self, order: Option<Order>, group: Option<Group>) -> Self {
        self.0.sort_by(|one, other| {
            let grouped = group.map_or(Ordering::Equal, |group| group.compare(one, other));
            let by_link = || other.link.cmp(&one.link);
            let by_day = || Reverse(entry::day(one)).cmp(&Reverse(entry::day(other)));
            grouped.then_with(|| match order {
                None => Ordering::Equal,
                Some(Order::Link) => by_link(),
                Some(Order::Day) => by_day().then_with(by_link),
            })
        });
        self
    }

    /// Reads all of `records` into memory, and sorts them.
    pub fn read(records: &dyn Records, order: Option<Order>, group: Option<Group>) -> Result<Self> {
        let mut all = Vec::new();
        records.for_each_record(&mut |record| {
            all.push(record.clone());
            Ok(())
        })?;
        Ok(InOrder::arranged(all, order, group))
    }
}

impl Records for InOrder {
    fn for_each_record(&self, visit: &mut dyn FnMut(&Record) -> Result<()>) -> Result<()> {
        self.0.iter().try_for_each(visit)
    }
}
