//! Papers of a run once more, after all were offered: they get places, or are left out.

use rusqlite::params;

use super::run::Run;
use crate::error::Result;
use crate::paper::Paper;
use crate::record::Relevance;

/// A paper that was offered, to be placed or left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferedPaper(i64);

impl Run<'_> {
    /// Hands `take` the papers that were offered, with why the reader gets them.
    pub fn for_each_offered(
        &self,
        take: &mut dyn FnMut(OfferedPaper, Paper, Relevance),
    ) -> Result<()> {
        let sql = "SELECT ticket, content, relevance FROM temp.offered INDEXED BY digest_order
            ORDER BY score DESC, link DESC, ticket";
        let failed = |cause| self.failed(cause);
        let mut statement = self.store.connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let content: String = row.get(1).map_err(failed)?;
            let relevance: Option<String> = row.get(2).map_err(failed)?;
            let relevance = relevance.map(|text| self.parse_json(&text)).transpose()?;
            let offered = OfferedPaper(row.get(0).map_err(failed)?);
            take(offered, self.parse_json(&content)?, relevance.unwrap_or_default());
        }
        Ok(())
    }

    /// Gives an offered paper its place: by `score`, the highest first.
    pub fn place(
        &mut self,
        offered: OfferedPaper,
        score: f32,
        relevance: &Relevance,
    ) -> Result<()> {
        let relevance = self.to_json(relevance)?;
        let sql = "UPDATE temp.offered SET score = ?2, relevance = ?3 WHERE ticket = ?1";
        self.execute(sql, params![offered.0, score, relevance])
    }

    /// Leaves an offered paper out after all.
    pub fn leave_out(&mut self, offered: OfferedPaper) -> Result<()> {
        self.execute("DELETE FROM temp.offered WHERE ticket = ?1", [offered.0])?;
        self.counted.filtered += 1;
        Ok(())
    }
}
