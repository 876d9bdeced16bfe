//! The names of arXiv's categories and archives, as its listings and feeds know them.

/// Every name that a listing has. Archives without categories are categories themselves.
const NAMES: &str = "
    astro-ph astro-ph.CO astro-ph.EP astro-ph.GA astro-ph.HE astro-ph.IM astro-ph.SR
    cond-mat cond-mat.dis-nn cond-mat.mes-hall cond-mat.mtrl-sci cond-mat.other
    cond-mat.quant-gas cond-mat.soft cond-mat.stat-mech cond-mat.str-el cond-mat.supr-con
    cs cs.AI cs.AR cs.CC cs.CE cs.CG cs.CL cs.CR cs.CV cs.CY cs.DB cs.DC cs.DL cs.DM cs.DS cs.ET
    cs.FL cs.GL cs.GR cs.GT cs.HC cs.IR cs.IT cs.LG cs.LO cs.MA cs.MM cs.MS cs.NA cs.NE cs.NI
    cs.OH cs.OS cs.PF cs.PL cs.RO cs.SC cs.SD cs.SE cs.SI cs.SY
    econ econ.EM econ.GN econ.TH
    eess eess.AS eess.IV eess.SP eess.SY
    gr-qc hep-ex hep-lat hep-ph hep-th math-ph
    math math.AC math.AG math.AP math.AT math.CA math.CO math.CT math.CV math.DG math.DS math.FA
    math.GM math.GN math.GR math.GT math.HO math.IT math.KT math.LO math.MG math.MP math.NA math.NT
    math.OA math.OC math.PR math.QA math.RA math.RT math.SG math.SP math.ST
    nlin nlin.AO nlin.CD nlin.CG nlin.PS nlin.SI
    nucl-ex nucl-th
    physics physics.acc-ph physics.ao-ph physics.app-ph physics.atm-clus physics.atom-ph
    physics.bio-ph physics.chem-ph physics.class-ph physics.comp-ph physics.data-an
    physics.ed-ph physics.flu-dyn physics.gen-ph physics.geo-ph physics.hist-ph physics.ins-det
    physics.med-ph physics.optics physics.plasm-ph physics.pop-ph physics.soc-ph physics.space-ph
    q-bio q-bio.BM q-bio.CB q-bio.GN q-bio.MN q-bio.NC q-bio.OT q-bio.PE q-bio.QM q-bio.SC q-bio.TO
    q-fin q-fin.CP q-fin.EC q-fin.GN q-fin.MF q-fin.PM q-fin.PR q-fin.RM q-fin.ST q-fin.TR
    quant-ph
    stat stat.AP stat.CO stat.ME stat.ML stat.OT stat.TH";

/// Whether there is such a category or archive.
pub(super) fn is_known(name: &str) -> bool {
    names().any(|known| known == name)
}

/// The name that is meant, if one is near: the same in other letters, or two slips away.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let typed = name.to_lowercase();
    let distance = |known: &str| strsim::levenshtein(&typed, &known.to_lowercase());
    let nearest = names().min_by_key(|known| distance(known))?;
    (distance(nearest) <= 2).then_some(nearest)
}

/// The names of all categories and archives.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    NAMES.split_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_slips() {
        assert!(is_known("cs.CL") && is_known("hep-th") && is_known("math"));
        assert!(!is_known("cs.cl") && !is_known("cs.XX"));
        assert_eq!(nearest("cs.cl"), Some("cs.CL"));
        assert_eq!(nearest("csCL"), Some("cs.CL"));
        assert_eq!(nearest("hepth"), Some("hep-th"));
        assert_eq!(nearest("cooking"), None);
    }
}
